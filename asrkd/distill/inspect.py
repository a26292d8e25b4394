"""What is in a soft-target store, in a few lines."""

from collections.abc import Iterator
from pathlib import Path

import torch

from asrkd.distill.records import unpack
from asrkd.distill.store import SoftTargetStore
from asrkd.distill.targets import SoftTargets

SAMPLE = 10_000  # frames, about, that the means are taken over


def inspect_targets(path: Path) -> Iterator[str]:
    """Lines to print. All records are read; raises UserError when the store is missing or damaged."""
    store = SoftTargetStore.open(path, verify=True)
    card, frames = store.card, sum(len(shard.records) for shard in store.shards)
    size = sum(shard.path.stat().st_size for shard in store.shards)
    form = f"the {store.top_k} most probable pdfs and the tail" if store.top_k else "all pdfs, in 8 bits each"
    yield f"{path}: {form}, of {store.num_pdfs}, at temperature {store.temperature:g}"
    yield f"label set {card['label_set']}, features {card['features']}"
    yield f"{len(card['members'])} members: {' '.join(card['members'])}"
    yield f"{len(store):,} utterances, {frames:,} frames, {len(store.shards)} shards, all of them whole"
    if not frames:
        return
    yield f"{size:,} bytes, {size / frames:.1f} a frame"
    stride = max(1, frames // SAMPLE)
    targets = unpack(torch.cat([shard.records[::stride] for shard in store.shards]), store.top_k)
    if isinstance(targets, SoftTargets):
        yield f"mass outside the {store.top_k}: {100 * float(targets.tail.mean()):.2f} % on average"
        targets = targets.dense(store.num_pdfs)
    entropy = -torch.special.xlogy(targets, targets).sum(1).mean()
    yield f"the most probable pdf has {100 * float(targets.amax(1).mean()):.1f} %, the entropy is {entropy:.2f} nats"
