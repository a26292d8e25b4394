"""The soft-target store: what goes in comes out, and what does not fit is refused."""

import multiprocessing
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrkd import SoftTargetStore
from asrkd.distill.store import SoftTargetWriter
from asrkd.errors import UserError

C = 11


def probabilities(frames: int, seed: int = 0, num_pdfs: int = C) -> Tensor:
    return (3 * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed))).softmax(-1)


def create(path: Path, top_k: int = 3, shard: str | None = None, temperature: float = 2.0) -> SoftTargetWriter:
    return SoftTargetStore.create(
        path,
        temperature=temperature,
        num_pdfs=C,
        top_k=top_k,
        label_set="labels",
        features="features",
        members=["a", "b"],
        shard=shard,
    )


@settings(max_examples=15, deadline=None)
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=8), top_k=st.integers(1, C), data=st.data())
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], top_k: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("store")
    shards = data.draw(st.lists(st.integers(0, 2), min_size=len(counts), max_size=len(counts)))
    probs = {f"u{u}": probabilities(count, seed=u) for u, count in enumerate(counts)}
    first = {f"u{u}": sum(counts[:u]) + 5 for u in range(len(counts))}
    for shard in range(3):
        with create(path, top_k, shard=f"s{shard}") as writer:
            for name, own in zip(probs, shards, strict=True):
                if own == shard:
                    writer.add(name, probs[name], first=first[name])
    frames_of = {name: len(dense) for name, dense in probs.items()}
    store = SoftTargetStore.open(path, label_set="labels", features="features", frames=frames_of)
    assert sorted(store.ids) == sorted(probs)
    for name, dense in probs.items():
        found = store[name]
        kept, ids = dense.topk(top_k)
        assert torch.equal(found.ids, ids)
        assert torch.equal(found.probs, kept.half().float())
        torch.testing.assert_close(found.probs.sum(1) + found.tail, torch.ones(len(dense)), atol=1e-3, rtol=0)
        torch.testing.assert_close(found.dense(C).sum(1), torch.ones(len(dense)), atol=1e-3, rtol=0)
    frames = [(first[name] + t, name, t) for name in probs for t in range(len(probs[name]))]
    order = data.draw(st.permutations(frames))
    gathered = store.gather(torch.tensor([frame for frame, _, _ in order]))
    for row, (_, name, t) in enumerate(order):
        for column, expected in zip(gathered, store[name], strict=True):
            assert torch.equal(column[row], expected[t])
    for outside in (4, 5 + sum(counts), -1):
        with pytest.raises(UserError, match=f"frame {outside} "):
            store.gather(torch.tensor([5, outside]))


def test_format_on_disk(tmp_path: Path) -> None:
    with create(tmp_path, top_k=2, shard="one") as writer:
        writer.add("u", torch.tensor([[0.5, 0.25, 0.125, 0.125] + [0] * 7, [0] * 10 + [1.0]]))
    data = (tmp_path / "one.targets").read_bytes()
    assert len(data) == 2 * 12
    assert struct.unpack("<2H2ef", data[:12]) == (0, 1, 0.5, 0.25, 0.25)
    assert struct.unpack("<HHeef", data[12:])[0] == 10
    assert (tmp_path / "one.jsonl").read_text() == '{"id": "u", "first": 0, "frames": 2, "row": 0}\n'


def _write(path: Path, worker: int) -> None:
    with create(path) as writer:
        for u in range(worker, 20, 2):
            writer.add(f"u{u}", probabilities(50, seed=u), first=50 * u)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(tmp_path, worker)) for worker in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    store = SoftTargetStore.open(tmp_path)
    assert len(store) == 20
    expected = torch.cat([probabilities(50, seed=u).topk(3).indices for u in range(20)])
    assert torch.equal(store.gather(torch.arange(1000)).ids, expected)


def test_what_differs_is_refused(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        writer.add("u", probabilities(4))
    with pytest.raises(UserError, match="label_set is labels, expected others"):
        SoftTargetStore.open(tmp_path, label_set="others")
    with pytest.raises(UserError, match="features is features, expected others"):
        SoftTargetStore.open(tmp_path, features="others")
    with pytest.raises(UserError, match="expected 5 frames of u, found 4"):
        SoftTargetStore.open(tmp_path, frames={"u": 5})
    with pytest.raises(UserError, match="no soft targets for utterance v"):
        SoftTargetStore.open(tmp_path, frames={"v": 5})
    with pytest.raises(UserError, match=r"temperature is 2.0, expected 5.0"):
        create(tmp_path, temperature=5.0)
    with pytest.raises(UserError, match="no such file"):
        SoftTargetStore.open(tmp_path / "nowhere")


@pytest.mark.parametrize("change", ["cut", "longer", "gone", "short table"])
def test_a_damaged_shard_is_refused(tmp_path: Path, change: str) -> None:
    with create(tmp_path, shard="one") as writer:
        writer.add("u", probabilities(4))
        writer.add("v", probabilities(6))
    data, table = tmp_path / "one.targets", tmp_path / "one.jsonl"
    if change == "cut":
        data.write_bytes(data.read_bytes()[:-1])
    elif change == "longer":
        data.write_bytes(data.read_bytes() + b"0" * 16)
    elif change == "gone":
        data.unlink()
    else:
        table.write_text(table.read_text().splitlines(keepends=True)[0])
    with pytest.raises(UserError, match=r"one\.targets: expected \d+ bytes"):
        SoftTargetStore.open(tmp_path)


def test_an_interrupted_shard_is_no_part_of_the_store(tmp_path: Path) -> None:
    with create(tmp_path, shard="one") as writer:
        writer.add("u", probabilities(4))
    with pytest.raises(KeyboardInterrupt), create(tmp_path, shard="two") as writer:
        writer.add("v", probabilities(4))
        raise KeyboardInterrupt
    assert SoftTargetStore.open(tmp_path).ids == ["u"]
    assert not list(tmp_path.glob(".*"))


def test_bad_probabilities_are_refused(tmp_path: Path) -> None:
    good = probabilities(4)
    with create(tmp_path) as writer:
        writer.add("good", good)
        for name, bad in {"nan": good * torch.nan, "negative": -good, "sum": 2 * good, "shape": good[:, :5]}.items():
            with pytest.raises(ValueError, match=f"{name}: expected"):
                writer.add(name, bad)
        with pytest.raises(ValueError, match="second time"):
            writer.add("good", good)
    assert SoftTargetStore.open(tmp_path).ids == ["good"]


def test_overlapping_utterances_cannot_be_gathered(tmp_path: Path) -> None:
    for name in ("u", "v"):
        with create(tmp_path) as writer:
            writer.add(name, probabilities(4))
    store = SoftTargetStore.open(tmp_path)
    assert store["v"].ids.shape == (4, 3)
    with pytest.raises(UserError, match="overlap"):
        store.gather(torch.tensor([0]))


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="top_k=12, num_pdfs=11"):
        create(tmp_path, top_k=12)
    with pytest.raises(ValueError, match="temperature"):
        create(tmp_path, temperature=0)
    with pytest.raises(ValueError, match="shard"):
        create(tmp_path, shard="../outside")
