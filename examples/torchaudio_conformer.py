"""Distilling a CTC recogniser built on torchaudio's Conformer.

    pip install '.[examples]'        (in a clone)
    python examples/torchaudio_conformer.py

The hard part of the loss is torch's CTC, the soft part is DistillationLoss with hard_weight=0 on the frames within each
length. A CTC model's frames have no labels of their own, so the parts are weighted here and not in DistillationLoss.
The student must have the teacher's frame rate and vocabulary.
"""

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from asrkd import DistillationLoss, ensemble_posteriors

D, C = 20, 12  # features, tokens with the blank, which is 0
TEMPERATURE, HARD_WEIGHT = 2.0, 0.2
Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # features (N, T, D), lengths (N,), tokens (N, U), their counts (N,)


class Recognizer(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.input = nn.Linear(D, width)
        self.encoder = torchaudio.models.Conformer(
            width, num_heads=4, ffn_dim=2 * width, num_layers=layers, depthwise_conv_kernel_size=7
        )
        self.output = nn.Linear(width, C)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        encoded, _ = self.encoder(self.input(features), lengths)
        return self.output(encoded)  # (N, T, C)


def made_up_data(n: int = 16, u: int = 5) -> Batch:
    """Each token lasts three to six frames that scatter about the token's mean."""
    tokens = torch.randint(1, C, (n, u))
    frames = torch.randint(3, 7, (n, u))
    means = torch.randn(C, D)
    spoken = [means[tokens[i].repeat_interleave(frames[i])] for i in range(n)]
    features = nn.utils.rnn.pad_sequence(spoken, batch_first=True)  # (N, T, D)
    return features + 0.5 * torch.randn_like(features), frames.sum(1), tokens, torch.full((n,), u)


def objective(logits: Tensor, teacher_logits: Tensor | None, batch: Batch) -> Tensor:
    """The loss of logits (N, T, C): CTC alone without a teacher."""
    _, lengths, tokens, counts = batch
    hard = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), tokens, lengths, counts)
    if teacher_logits is None:
        return hard
    mask = torch.arange(logits.shape[1]) < lengths.unsqueeze(1)  # (N, T)
    targets = ensemble_posteriors([teacher_logits], TEMPERATURE)  # an ensemble of one
    soft = DistillationLoss(TEMPERATURE, hard_weight=0.0)(logits, targets, mask=mask)
    return HARD_WEIGHT * hard + (1 - HARD_WEIGHT) * soft


def fit(model: Recognizer, batch: Batch, teacher: Recognizer | None, steps: int) -> list[float]:
    features, lengths, _, _ = batch
    with torch.no_grad():
        teacher_logits = None if teacher is None else teacher(features, lengths)  # (N, T, C)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(steps):
        loss = objective(model(features, lengths), teacher_logits, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train(steps: int = 60) -> list[float]:
    torch.manual_seed(0)
    batch = made_up_data()
    teacher = Recognizer(width=64, layers=2)
    fit(teacher, batch, None, steps)
    teacher.eval()
    return fit(Recognizer(width=16, layers=1), batch, teacher, steps)


def main() -> None:
    losses = train()
    print(f"loss {losses[0]:.2f} at the start, {losses[-1]:.2f} after {len(losses)} steps")


if __name__ == "__main__":
    main()
