"""The combination's soft targets of the training frames: a parallel job a shard of utterances."""

from collections.abc import Mapping
from pathlib import Path

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.experiment import read_json
from asrkd.features.store import FrameStore
from asrkd.specialists.trained import combined_posteriors, load_all, softened
from asrkd.train.device import choose_device
from asrkd.train.target_shards import Shard


def write_combined_shard(
    exp: Path, config: Config, shard: Shard, folder: Path, temperature: float, models: Mapping[str, str], features: str
) -> None:
    """The shard's utterances as the generalist and the specialists have them together, but for those that are there
    already.

    models: models/NAME -> its hash, of the generalist and then of the specialists; features: the FrameStore's hash.
    """
    label_set = read_json(exp / "align" / "label_set.json")
    with SoftTargetStore.create(
        folder,
        temperature=temperature,
        num_pdfs=label_set["num_pdfs"],
        top_k=min(config.distill.top_k, label_set["num_pdfs"]),
        label_set=label_set["hash"],
        features=features,
        members=list(models.values()),
        shard=shard.name,
    ) as writer:
        missing = [name for name in shard.utterances if name not in writer]  # the rest: before a call was killed
        if not missing:
            return
        generalist, specialists = load_all(exp, list(models), choose_device(config.run.device))
        store = FrameStore.open(exp / "features" / "train")
        for name, said in combined_posteriors(generalist, specialists, store, missing, config.train.precision):
            writer.add(name, softened(said.combined, temperature), first=int(store.first[store.index[name]]))
