"""Stage 11 on frames of three groups of pdfs: what it finds, trains and measures, by hand and after a kill."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import hash_file, read_json
from asrkd.models.dnn import AcousticModel, load_model
from asrkd.report.specialists import made
from asrkd.specialists import prepare
from asrkd.specialists.prepare import specialist_names, train_specialists
from asrkd.specialists.trained import combined_posteriors, load_all
from asrkd.train.checkpoint import CHECKPOINT
from asrkd.train.data import FrameData

CPU = torch.device("cpu")


def identities(exp: Path) -> dict[str, str]:
    return {str(path.parent.relative_to(exp)): read_json(path)["identity"] for path in exp.rglob("stamp.json")}


def models(config: Config, kind: str) -> list[str]:
    return ["models/member-01", *(f"models/{name}" for name in specialist_names(config, kind))]


@torch.no_grad()
def windows(exp: Path, split: str, model: AcousticModel) -> tuple[Tensor, Tensor]:
    """Spliced inputs and labels of all labelled frames."""
    data = FrameData.open(exp / "features" / split, exp / "align" / split, model.config)
    inputs, labels = data.batch(data.positions(torch.arange(len(data))))
    return inputs.float(), labels


@torch.no_grad()
def by_hand(exp: Path, config: Config, kind: str, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The generalist's posteriors and the combination's.

    No pdf is in two clusters here, and with one specialist a frame has its minimum in closed form: (p_g + p_m) / 2 on
    the cluster, p_g * (P + d) / (2 P) elsewhere.
    """
    generalist, _ = load_model(exp / "models" / "member-01")
    p = generalist(inputs).double().softmax(1)
    q = p.clone()
    for name in specialist_names(config, kind):
        model, card = load_model(exp / "models" / name)
        pdfs = torch.tensor(card["cluster"])
        logits = model(inputs).double()
        frames = read_json(exp / "specialists" / "clusters" / "clusters.json")["frames"]
        inside = sum(frames[pdf] for pdf in card["cluster"])
        logits[:, -1] += np.log((sum(frames) - inside) / inside)  # half of what it was trained on is of its cluster
        p_m = logits.softmax(1)
        active = torch.isin(p.argmax(1), pdfs)
        others = [pdf for pdf in range(12) if pdf not in card["cluster"]]
        outside = p[:, others].sum(1, keepdim=True)
        mixed = p * (outside + p_m[:, -1:]) / (2 * outside)
        mixed[:, pdfs] = (p[:, pdfs] + p_m[:, :-1]) / 2
        q[active] = mixed[active]
    return p, q


def test_the_stage(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    train_specialists(exp, config)
    groups = [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    found = read_json(exp / "specialists" / "results" / "tables.json")
    assert sorted(cluster["pdfs"] for cluster in found["clusters"]) == groups
    assert all(cluster["phones"] == [["AA", 1], ["B", 1], ["K", 1], ["SIL", 1]] for cluster in found["clusters"])
    assert sum(cluster["frames"] for cluster in found["clusters"]) == pytest.approx(1)
    labels = np.load(exp / "align" / "train" / "labels.npy")
    assert read_json(exp / "specialists" / "clusters" / "clusters.json")["frames"] == [
        int((labels == pdf).sum()) for pdf in range(12)
    ]
    for kind in ("hard", "soft"):
        cards = [read_json(exp / "models" / name / "card.json") for name in specialist_names(config, kind)]
        assert [card["hard_weight"] for card in cards] == [1.0 if kind == "hard" else 0.5] * 3
        assert [card["num_pdfs"] for card in cards] == [5] * 3
        for split in ("dev", "test"):
            inputs, labels_of = windows(exp, split, load_model(exp / "models" / "member-01")[0])
            p, q = by_hand(exp, config, kind, inputs)
            measured = found["combinations"][kind][split]
            for name, expected in (("generalist", p), ("combined", q)):
                accuracy = float((expected.argmax(1) == labels_of).double().mean())
                entropy = -float(expected.gather(1, labels_of[:, None]).log().mean())
                assert measured[name]["accuracy"] == pytest.approx(accuracy)
                assert measured[name]["cross_entropy"] == pytest.approx(entropy, rel=1e-4)
            assert measured["frames"] == len(labels_of) and measured["unfinished"] == 0
            (row,) = measured["rows"]
            assert row["specialists"] == 1 and row["frames"] == len(labels_of)
    assert found["distilled"] == max(
        ("hard", "soft"), key=lambda kind: found["combinations"][kind]["dev"]["combined"]["accuracy"]
    )
    for name in ("student-combined", "student-generalist"):
        card = read_json(exp / "models" / name / "card.json")
        assert found["students"][name]["dev"]["accuracy"] == pytest.approx(card["dev_accuracy"] / 100)

    # What was distilled is the combination, softened, to the 8 bits of the store.
    store = SoftTargetStore.open(exp / "specialists" / "combined-T2", verify=True)
    assert len(store) == len(FrameStore.open(exp / "features" / "train"))
    data = FrameData.open(exp / "features" / "train", exp / "align" / "train", config.model)
    positions = data.positions(torch.arange(40))
    _, q = by_hand(exp, config, found["distilled"], data.batch(positions)[0].float())
    torch.testing.assert_close(store.gather(positions), (q.log() / 2).softmax(1).float(), atol=1e-3, rtol=0.06)

    # Finished is skipped; a specialist that was deleted is trained alone, to the same bits.
    before = identities(exp)
    shutil.rmtree(exp / "models" / "specialist-soft-02")
    capsys.readouterr()
    train_specialists(exp, config)
    printed = capsys.readouterr().out
    assert printed.count("epoch 1:") == 1 and "specialist-soft-02 epoch 1:" in printed
    assert (
        printed.count("finished, skipped") == len(before) - 1 - 5
    )  # all of stage 11, without features, labels, member
    assert identities(exp) == before

    # What was made with other settings is left out of a report of these.
    assert list(made(exp, config)) == ["specialists/results"]
    for section, key, value, message in (
        ("specialists", "epochs", 5, r"specialist-hard-01: made with train\.epochs=\d+, and by the config it is 5"),
        ("specialists", "count", 5, r"clusters: made with specialists\.count=3"),
        ("distill", "epochs", 5, r"student-combined: made with train\.epochs="),
        ("distill", "seed", 5, "student-combined: made with seed="),
    ):
        other = replace(config, **{section: replace(getattr(config, section), **{key: value})})
        capsys.readouterr()
        assert made(exp, other) == {}
        assert re.search(f"leaves the specialists out: .*{message}", capsys.readouterr().out)

    # Frames without a specialist keep the generalist's distribution.
    generalist, specialists = load_all(exp, models(config, "soft"), CPU)
    dev = FrameStore.open(exp / "features" / "dev")
    changed = 0
    for _, said in combined_posteriors(generalist, specialists[:2], dev, dev.ids, "float32"):
        alone = ~torch.isin(said.generalist.argmax(1), torch.cat([one.pdfs for one in specialists[:2]]))
        torch.testing.assert_close(said.combined[alone], said.generalist[alone], rtol=1e-5, atol=1e-7)
        changed += int(((said.combined - said.generalist).abs().amax(1) > 1e-3)[~alone].sum())
        assert alone.any()
    assert changed > 0


def test_more_than_there_are(exp: Path, config: Config) -> None:
    config.specialists.pdfs = 12
    with pytest.raises(UserError, match=r"specialists\.pdfs=12: expected at most 12 specialists of at most 11 pdfs"):
        train_specialists(exp, config)


def test_a_cluster_without_dev_frames_names_the_option(exp: Path, config: Config) -> None:
    labels = np.load(exp / "align" / "dev" / "labels.npy", mmap_mode="r+")
    labels[np.isin(labels, [1, 4, 7, 10])] = 0
    with pytest.raises(UserError, match=r"frames of the 4 pdfs of specialist-hard-0\d, found none; set fewer spec"):
        train_specialists(exp, config)


def train_alone(exp: Path, config: Config) -> None:
    """The stage as far as its specialists."""
    for part in (prepare.find, prepare.teach, prepare.train):
        part(exp, config, force=False)


KILLED = """
import sys
from pathlib import Path
import torch
from asrkd.specialists import prepare
from asrkd.train import loop
sys.path.insert(0, sys.argv[2])
from tests.specialists.conftest import make_config

torch.set_num_threads(1)
loop.STEPS_BETWEEN_CHECKS, loop.SECONDS_BETWEEN_CHECKPOINTS, prepare.KINDS = 7, 0.0, ("soft",)
for part in (prepare.find, prepare.teach, prepare.train):
    part(Path(sys.argv[1]), make_config(), force=False)
"""


def test_killed_and_resumed_is_bit_identical(
    exp: Path,
    config: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepare, "KINDS", ("soft",))
    whole = Path(shutil.copytree(exp, tmp_path / "whole"))
    train_alone(whole, config)
    command = [sys.executable, "-c", KILLED, str(exp), str(Path(__file__).parents[2])]
    folder = exp / "models" / "specialist-soft-01"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not (folder / CHECKPOINT).exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "model.safetensors").exists()
    capsys.readouterr()
    train_alone(exp, config)
    assert "specialist-soft-01: resumed in epoch 1 after" in capsys.readouterr().out
    assert identities(exp) == identities(whole)
    name = "models/specialist-soft-01/model.safetensors"
    assert hash_file(exp / name) == hash_file(whole / name)


def test_what_it_cannot_learn_from(exp: Path, config: Config) -> None:
    prepare.find(exp, config, force=False)
    prepare.teach(exp, config, force=False)
    shard = exp / "specialists" / "generalist-T1" / "00000.0000.targets"
    data = bytearray(shard.read_bytes())
    data[0] ^= 1  # of the same size, so that the stamp does not tell
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"records were altered .*delete .*generalist-T1 and make this call again"):
        prepare.train(exp, config, force=False)
    config.distill.hard_weight = 1.0
    with pytest.raises(UserError, match=r"stage 11: expected students with soft targets"):
        train_specialists(exp, config)


def test_it_starts_with_the_generalists_weights(exp: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate of almost nothing the weights stay where they began."""
    monkeypatch.setattr(prepare, "KINDS", ("hard",))
    config.specialists.learning_rate = 1e-12
    train_alone(exp, config)
    generalist, _ = load_model(exp / "models" / "member-01")
    for name in specialist_names(config, "hard"):
        model, card = load_model(exp / "models" / name)
        torch.testing.assert_close(model.hidden[0].weight, generalist.hidden[0].weight)
        torch.testing.assert_close(model.output.weight[:-1], generalist.output.weight[card["cluster"]])
