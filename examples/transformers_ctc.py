"""Distilling a CTC model of Hugging Face Transformers: a Trainer whose loss has a soft part.

    pip install '.[examples]'        (in a clone)
    python examples/transformers_ctc.py

Both models are made from a config and nothing is downloaded; from_pretrained() takes the config's place in earnest. The
hard part of the loss is the model's own CTC, the soft part is DistillationLoss with hard_weight=0 on the frames that
are no padding. Student and teacher must have the same frame rate, that is the same strides, and the same vocabulary.
"""

import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainingArguments, Wav2Vec2Config, Wav2Vec2ForCTC

from asrkd import DistillationLoss, ensemble_posteriors

RATE, C = 16000, 8  # Hz, tokens with the blank, which is 0


class DistillingTrainer(Trainer):
    def __init__(
        self, *args: Any, teacher: Any, temperature: float = 2.0, hard_weight: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.teacher = teacher.eval().to(self.args.device)
        self.soft_loss = DistillationLoss(temperature, hard_weight=0.0)
        self.hard_weight = hard_weight
        self.model_accepts_loss_kwargs = False  # the loss is a mean: have it divided by the steps of accumulation

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        outputs = model(**inputs)
        with torch.no_grad():
            logits = self.teacher(inputs["input_values"], attention_mask=inputs["attention_mask"]).logits  # (N, T, C)
        # The model's own count, by which its CTC loss goes, too.
        frames = self.teacher._get_feat_extract_output_lengths(inputs["attention_mask"].sum(-1))  # (N,)
        mask = torch.arange(logits.shape[1], device=logits.device) < frames.unsqueeze(1)  # (N, T)
        targets = ensemble_posteriors([logits], self.soft_loss.temperature)  # an ensemble of one
        soft = self.soft_loss(outputs.logits, targets, mask=mask)
        loss = self.hard_weight * outputs.loss + (1 - self.hard_weight) * soft
        return (loss, outputs) if return_outputs else loss


def recognizer(width: int, layers: int) -> Any:
    """A tiny wav2vec 2.0 with a frame each 20 ms, and without dropout and masking, which are for longer trainings."""
    size = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers, "num_attention_heads": 2}
    frames = {"conv_dim": (32, 32), "conv_kernel": (40, 16), "conv_stride": (20, 16), "feat_extract_norm": "layer"}
    position = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4}
    parts = ("hidden", "attention", "activation", "feat_proj", "final")
    off = dict.fromkeys([*(f"{part}_dropout" for part in parts), "layerdrop", "mask_time_prob"], 0.0)
    ctc = {"vocab_size": C, "pad_token_id": 0, "ctc_loss_reduction": "mean"}
    return Wav2Vec2ForCTC(Wav2Vec2Config(**size, **frames, **position, **off, **ctc))


def made_up_data(n: int = 16, u: int = 4) -> list[dict[str, Tensor]]:
    """Utterances of u tokens; each token is a tone of its own, of 80 to 160 ms, in noise."""
    data = []
    for _ in range(n):
        tokens = torch.randint(1, C, (u,))
        hertz = 300.0 * tokens.repeat_interleave(torch.randint(8 * RATE // 100, 16 * RATE // 100, (u,)))  # (samples,)
        sound = torch.sin(2 * torch.pi * (hertz / RATE).cumsum(0)) + 0.1 * torch.randn(len(hertz))
        padding = (0, u * 16 * RATE // 100 - len(sound))
        values, mask = (nn.functional.pad(x, padding) for x in (sound, torch.ones_like(sound).long()))
        data.append({"input_values": values, "attention_mask": mask, "labels": tokens})
    return data


def train(folder: str, steps: int = 100) -> list[float]:
    torch.manual_seed(0)
    length = {"max_steps": steps, "per_device_train_batch_size": 8, "logging_steps": 1}
    quiet = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False}
    settings = TrainingArguments(folder, learning_rate=0.003, use_cpu=True, **length, **quiet)
    data, teacher, student = made_up_data(), recognizer(64, layers=2), recognizer(32, layers=1)
    trainer = Trainer(teacher, settings, train_dataset=data)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer = DistillingTrainer(student, settings, train_dataset=data, teacher=teacher)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        losses = train(folder)
    print(f"loss {losses[0]:.2f} at the start, {losses[-1]:.2f} after {len(losses)} steps")


if __name__ == "__main__":
    main()
