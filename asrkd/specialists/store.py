"""The combination's soft targets of the training frames, for the shards of stage 11."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from asrkd.config import Config
from asrkd.features.store import FrameStore
from asrkd.specialists.trained import combined_posteriors, load_all, softened
from asrkd.train.device import choose_device
from asrkd.train.training import TargetKind


def combined_targets(
    exp: Path, config: Config, teachers: Sequence[str], utterances: Sequence[str], kinds: Sequence[TargetKind]
) -> Iterator[tuple[str, list[Tensor]]]:
    """For each utterance what the generalist and the specialists, the first and the other teachers, say together of its
    frames: (T, C) at the temperature of each kind."""
    models = [f"models/{name}" for name in teachers]
    generalist, specialists = load_all(exp, models, choose_device(config.run.device))
    store = FrameStore.open(exp / "features" / "train")
    for name, said in combined_posteriors(generalist, specialists, store, utterances, config.train.precision):
        yield name, [softened(said.combined, kind.temperature) for kind in kinds]
