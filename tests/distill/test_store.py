"""The soft-target store: what goes in comes out, and what does not fit is refused."""

import copy
import math
import multiprocessing
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd import SoftTargetStore
from asrkd.errors import UserError
from tests.distill.store_examples import C, create, dense, named, probabilities


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
    for name, whole in probs.items():
        found = named(store[name])
        kept, ids = whole.topk(top_k)
        assert torch.equal(found.ids, ids)
        assert torch.equal(found.probs, kept.half().float())
        torch.testing.assert_close(found.probs.sum(1) + found.tail, torch.ones(len(whole)), atol=1e-3, rtol=0)
        torch.testing.assert_close(found.dense(C).sum(1), torch.ones(len(whole)), atol=1e-3, rtol=0)
    frames = [(first[name] + t, name, t) for name in probs for t in range(len(probs[name]))]
    order = data.draw(st.permutations(frames))
    gathered = named(store.gather(torch.tensor([frame for frame, _, _ in order])))
    for row, (_, name, t) in enumerate(order):
        for column, expected in zip(gathered, named(store[name]), strict=True):
            assert torch.equal(column[row], expected[t])
    for outside in (4, 5 + sum(counts), -1):
        with pytest.raises(UserError, match=f"frame {outside} "):
            store.gather(torch.tensor([5, outside]))


def test_format_on_disk(tmp_path: Path) -> None:
    with create(tmp_path, top_k=2, shard="one") as writer:
        writer.add("u", torch.tensor([[0.5, 0.25, 0.125, 0.125] + [0] * 7, [0] * 10 + [1.0]]))
        writer.add("über", torch.eye(C)[:1], first=7)
    data = (tmp_path / "one.0000.targets").read_bytes()
    records, table, footer = data[:36], data[36:-48], data[-48:]
    assert struct.unpack("<2H2ef", records[:12]) == (0, 1, 0.5, 0.25, 0.25)
    assert struct.unpack("<HHeef", records[12:24])[0] == 10
    assert table == struct.pack("<4q", 0, 2, 7, 1) + "u\nüber\n".encode()
    card = (tmp_path / "card.json").read_bytes()
    sums = (zlib.crc32(records), zlib.crc32(table), zlib.crc32(card))
    assert struct.unpack("<8s3Q4I", footer) == (b"asrkdST2", 3, 2, 8, 12, *sums)


def test_dense_form(tmp_path: Path) -> None:
    probs = {"u": probabilities(40), "v": torch.eye(C)[:3]}
    with create(tmp_path, top_k=0, shard="one") as writer:
        for name, whole in probs.items():
            writer.add(name, whole)
    data = (tmp_path / "one.0000.targets").read_bytes()
    assert data[7] == min(255, round(-math.log(probs["u"][0, 7]) * 255 / 16))
    assert data[40 * C : 41 * C] == bytes([0] + [255] * (C - 1))
    store = SoftTargetStore.open(tmp_path, verify=True)
    for name, whole in probs.items():
        found = dense(store[name])
        torch.testing.assert_close(found.sum(1), torch.ones(len(whole)))
        # Half a step of the logarithm, and as much again where the sum is made 1.
        assert ((found.log() - whole.clamp(min=math.exp(-16)).log()).abs() < 1.01 * 16 / 255).all()
    assert torch.equal(
        dense(store.gather(torch.tensor([41, 3]))), torch.stack([dense(store["v"])[1], dense(store["u"])[3]])
    )


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
    assert torch.equal(named(store.gather(torch.arange(1000))).ids, expected)


def test_a_workers_copy_maps_the_same_files(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        for u in range(9):
            writer.add(f"u{u}", probabilities(1000, seed=u))
    store = SoftTargetStore.open(tmp_path)
    assert len(pickle.dumps(store)) < 1000 < store.shards[0].records.numel()
    copied = copy.deepcopy(store)  # by what pickle would send
    assert copied.shards[0].records.data_ptr() != store.shards[0].records.data_ptr()
    for one, other in zip(named(copied["u3"]), named(store["u3"]), strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the files that this process has open in /proc")
def test_a_store_keeps_no_file_open(tmp_path: Path) -> None:
    """It may have more shards than a process may open files."""
    for u in range(5):
        with create(tmp_path) as writer:
            writer.add(f"u{u}", probabilities(4), first=4 * u)
    before = len(os.listdir("/proc/self/fd"))
    store = SoftTargetStore.open(tmp_path)
    assert len(store.shards) == 5 and len(os.listdir("/proc/self/fd")) == before


def test_what_differs_is_refused(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        writer.add("u", probabilities(4))
    with pytest.raises(UserError, match="label_set is labels, expected others"):
        SoftTargetStore.open(tmp_path, label_set="others")
    with pytest.raises(UserError, match=r"temperature is 2\.0, expected 5"):
        SoftTargetStore.open(tmp_path, temperature=5)
    SoftTargetStore.open(tmp_path, temperature=2)
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


@pytest.mark.parametrize(
    ("start", "end", "new", "message"),
    [
        (-1, None, b"", "expected a footer at its end"),
        (20, None, b"", "expected a footer at its end"),
        (160, 176, b"", r"expected 260 bytes, found 244"),
        (0, 0, b"0" * 16, "expected 260 bytes, found 276"),
        (161, 162, b"\7", "its table of utterances was altered"),
        (-4, None, b"abcd", "expected a shard of this store"),
        (159, 160, b"\xff", r"its records were altered \(CRC-32"),
    ],
)
def test_a_damaged_shard_is_refused(tmp_path: Path, start: int, end: int | None, new: bytes, message: str) -> None:
    with create(tmp_path, shard="one") as writer:  # 10 records of 16 bytes, 2 utterances of 16, names, footer
        writer.add("u-first-one", probabilities(4))
        writer.add("v-other", probabilities(6))
    file = tmp_path / "one.0000.targets"
    data = file.read_bytes()
    file.write_bytes(data[:start] + new + (data[end:] if end is not None else b""))
    with pytest.raises(UserError, match=r"one\.0000\.targets: " + message):
        SoftTargetStore.open(tmp_path, verify=True)


def test_a_shard_of_another_store_is_refused(tmp_path: Path) -> None:
    for name, temperature in {"a": 2.0, "b": 5.0}.items():
        with create(tmp_path / name, temperature=temperature, shard=name) as writer:
            writer.add("u", probabilities(4))
    shutil.copy(tmp_path / "a" / "a.0000.targets", tmp_path / "b")
    with pytest.raises(UserError, match="another card"):
        SoftTargetStore.open(tmp_path / "b")


def test_an_utterance_in_two_shards_is_named(tmp_path: Path) -> None:
    writers = [create(tmp_path, shard=name) for name in ("one", "two")]
    for writer in writers:
        writer.add("u", probabilities(4))
        writer.close()
    with pytest.raises(UserError, match=r"found u in one\.0000\.targets and two\.0000\.targets; delete one"):
        SoftTargetStore.open(tmp_path)


@pytest.mark.parametrize("top_k", [0, 3])
def test_gather_keeps_the_shape_of_the_index(tmp_path: Path, top_k: int) -> None:
    with create(tmp_path, top_k=top_k) as writer:
        writer.add("u", probabilities(12))
    store, index = SoftTargetStore.open(tmp_path), torch.arange(12).view(2, 3, 2)
    found, flat = store.gather(index), store.gather(index.flatten())
    for whole, part in zip(found, flat, strict=True) if top_k else [(dense(found), dense(flat))]:
        assert whole.shape[:3] == (2, 3, 2) and torch.equal(whole.flatten(0, 2), part)
    assert dense(SoftTargetStore.open(tmp_path).gather(torch.tensor(3))).shape == (C,) if not top_k else True
    with pytest.raises(ValueError, match="frame_index of integers, found torch.float32"):
        store.gather(torch.zeros(2))


def test_an_empty_store_has_no_frames(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(UserError, match="no soft targets in it"):
        SoftTargetStore.open(tmp_path).gather(torch.tensor([0]))


def test_bad_probabilities_are_refused(tmp_path: Path) -> None:
    good = probabilities(4)
    with create(tmp_path) as writer:
        writer.add("good", good)
        for name, bad in {"nan": good * torch.nan, "negative": -good, "sum": 2 * good, "shape": good[:, :5]}.items():
            with pytest.raises(ValueError, match=f"{name}: expected"):
                writer.add(name, bad)
        with pytest.raises(ValueError, match="second time"):
            writer.add("good", good)
        for wrong in ("", "two\nlines", "a\ud800", 7):
            with pytest.raises(ValueError, match="name of one line|surrogates"):
                writer.add(wrong, good)  # type: ignore[arg-type]
    assert SoftTargetStore.open(tmp_path).ids == ["good"]


def test_overlapping_utterances_cannot_be_gathered(tmp_path: Path) -> None:
    for name in ("u", "v"):
        with create(tmp_path) as writer:
            writer.add(name, probabilities(4), first=0)
    store = SoftTargetStore.open(tmp_path)
    assert named(store["v"]).ids.shape == (4, 3)
    with pytest.raises(UserError, match="overlap"):
        store.gather(torch.tensor([0]))


def test_inspect(tmp_path: Path) -> None:
    with create(tmp_path, top_k=2, shard="one") as writer:
        writer.add("u", torch.tensor([[0.5, 0.25, 0.125, 0.125] + [0] * 7, [0] * 10 + [1.0]]), first=100)
    command = [sys.executable, "-m", "asrkd", "targets", "inspect", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the 2 most probable pdfs and the tail, of 11, at temperature 2" in done.stdout
    assert "1 utterances, 2 frames, 1 shards, all of them whole" in done.stdout
    assert "mass outside the 2: 12.50 % on average" in done.stdout
    # By hand: 0.5 ln 2 + 0.25 ln 4 + 9 * (0.25 / 9) ln 36 = 1.589, and 0 for the certain frame.
    assert "the most probable pdf has 75.0 %, the entropy is 0.79 nats" in done.stdout
    file = tmp_path / "one.0000.targets"
    file.write_bytes(b"\7" + file.read_bytes()[1:])
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "its records were altered" in done.stderr and "Traceback" not in done.stderr


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="top_k=12, num_pdfs=11"):
        create(tmp_path, top_k=12)
    with pytest.raises(ValueError, match="temperature"):
        create(tmp_path, temperature=0)
    with pytest.raises(ValueError, match="shard"):
        create(tmp_path, shard="../outside")
    with pytest.raises(ValueError, match="list of the members' hashes, found 'ab'"):
        SoftTargetStore.create(tmp_path, temperature=2.0, num_pdfs=C, top_k=3, label_set="", features="", members="ab")
    (tmp_path / "card.json").write_text("[]")
    with pytest.raises(UserError, match="expected the card of a soft-target store"):
        create(tmp_path)
