"""Each experiment with --quick on a tiny corpus: its figures against what the models and their cards say."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.config import Config
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.experiments.members import vary_members
from asrkd.experiments.result import Options, shortened
from asrkd.experiments.sizes import Size, sizes, vary_size
from asrkd.experiments.targets import compare_targets
from asrkd.experiments.temperature import points, vary_temperature
from asrkd.experiments.untranscribed import transcribed_half, withhold_transcripts
from asrkd.features.store import FrameStore
from asrkd.files import read_json, write_json, write_npy
from asrkd.models.dnn import load_model
from asrkd.report.experiments import experiment_hashes
from asrkd.settings import save_config
from tests.train.test_stages import by_hand

QUICK = Options(quick=True)


def result(exp: Path, name: str) -> dict[str, Any]:
    """Of a quick call."""
    return dict(read_json(exp / "experiments" / "quick" / f"{name}.json"))


def card(exp: Path, name: str) -> dict[str, Any]:
    return dict(read_json(exp / "models" / name / "card.json"))


def accuracy(exp: Path, names: list[str], split: str, speakers: set[str] | None = None) -> float:
    """Percent of the labelled frames, of these speakers, by posteriors that are computed a frame at a time."""
    store, labels = FrameStore.open(exp / "features" / split), np.load(exp / "align" / split / "labels.npy")
    right = frames = 0
    for name, probs in by_hand(exp, names, split, 1.0).items():
        u = store.index[name]
        own = labels[store.first[u] : store.first[u] + store.counts[u]]
        if speakers is None or store.speakers[u] in speakers:
            right += int(((probs.argmax(1) == own) & (own != 65535)).sum())
            frames += int((own != 65535).sum())
    return 100 * right / frames


def test_targets(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    compare_targets(exp, config, Options())
    found = read_json(exp / "experiments" / "targets.json")
    rows = {(row["targets"], row["split"]): row for row in found["rows"]}
    own, folded = "the ensemble's own", "out of fold"
    assert rows[own, "train"]["accuracy"] == pytest.approx(accuracy(exp, ["member-01", "member-02"], "train"), abs=0.2)
    assert rows[own, "dev"]["accuracy"] == pytest.approx(accuracy(exp, ["member-01", "member-02"], "dev"), abs=0.4)
    teachers = ["fold-1-member-01", "fold-2-member-01"]
    left_out = [set(card(exp, name)["left_out_speakers"]) for name in teachers]
    counts = [rows[kind, "train"]["frames"] for kind in (own, folded)]
    assert counts[0] == counts[1] == int((np.load(exp / "align" / "train" / "labels.npy") != 65535).sum())
    parts = [accuracy(exp, [name], "train", speakers) for name, speakers in zip(teachers, left_out, strict=True)]
    assert min(parts) - 0.4 <= rows[folded, "train"]["accuracy"] <= max(parts) + 0.4
    expected = np.mean([accuracy(exp, [name], "dev") for name in teachers])
    assert rows[folded, "dev"]["accuracy"] == pytest.approx(expected, abs=0.4)
    printed = capsys.readouterr().out
    assert "out of fold" in printed and "2 folds of the speakers" in printed


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_temperature(
    exp: Path, config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after a kill once the students are trained: the targets are still there, and no student is trained twice.
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("asrkd.experiments.temperature.measure_models", stopped)
        vary_temperature(exp, config, QUICK)
    assert len(list((exp / "targets" / "quick" / "temperature").iterdir())) == 2 + 2
    capsys.readouterr()
    vary_temperature(exp, config, QUICK)
    assert "epoch 1:" not in capsys.readouterr().out
    found = result(exp, "temperature")
    # T of 1 and the config's 2, weights of 0 and the config's 0.5, the geometric mean and all pdfs.
    assert len(found["rows"]) == 2 * 2 + 2
    for row in found["rows"]:
        own = card(
            exp, f"quick/temperature/{row['mean']}-k{row['top_k']}-T{row['temperature']:g}-w{row['hard_weight']:g}"
        )
        assert (own["temperature"], own["hard_weight"]) == (row["temperature"], row["hard_weight"])
        assert own["dev_accuracy"] == row["dev_accuracy"] and own["train"]["epochs"] == 2
    best = max(found["rows"], key=lambda row: row["dev_accuracy"])
    assert "test_accuracy" in best and sum("test_accuracy" in row for row in found["rows"]) == 1
    (heat_map,) = found["heat_maps"]
    assert (heat_map["rows"], heat_map["columns"]) == (["1", "2"], ["0", "0.5"])
    assert heat_map["values"][1][0] == card(exp, "quick/temperature/arithmetic-k3-T2-w0")["dev_accuracy"]
    assert not list((exp / "targets" / "quick" / "temperature").iterdir())

    capsys.readouterr()
    vary_temperature(exp, config, QUICK)
    printed = capsys.readouterr().out
    assert "temperature.json: finished, skipped" in printed and "epoch 1:" not in printed
    # Without its result the targets are made again, to the same bytes: no student is stale.
    (exp / "experiments" / "quick" / "temperature.json").unlink()
    vary_temperature(exp, config, QUICK)
    assert capsys.readouterr().out.count("models/quick/temperature/") == 6
    assert result(exp, "temperature")["rows"] == found["rows"]


def test_the_whole_grid_of_temperatures(config: Config) -> None:
    tried = points(config.distill, quick=False)
    assert len(tried) == 4 * 3 + 2 == len(set(tried)) == len({point.model("") for point in tried})
    config.distill.top_k = 0
    assert points(config.distill, quick=True)[-1].top_k == 50


def test_members(exp: Path, config: Config) -> None:
    vary_members(exp, config, QUICK)
    found = result(exp, "members")
    one, two, dev, test = found["rows"]
    assert one["ensemble_dev"]["accuracy"] == pytest.approx(card(exp, "member-01")["dev_accuracy"], abs=0.4)
    names = ["member-01", "member-02"]
    assert two["ensemble_test"]["accuracy"] == pytest.approx(accuracy(exp, names, "test"), abs=0.4)
    assert two["student_dev"]["accuracy"] == pytest.approx(
        card(exp, "quick/members/student-of-2")["dev_accuracy"], abs=0.4
    )
    first, second = (np.concatenate(list(by_hand(exp, [name], "dev", 1.0).values())) for name in names)
    kept = np.load(exp / "align" / "dev" / "labels.npy") != 65535
    differ = 100 * (first[kept].argmax(1) != second[kept].argmax(1)).mean()
    kl = 0.5 * ((first - second) * (np.log(first) - np.log(second)))[kept].sum(1).mean()
    assert (dev["split"], test["split"]) == ("dev", "test")
    assert dev["other_pdf_percent"] == pytest.approx(differ, abs=0.4)
    assert dev["mean_pairwise_kl"] == pytest.approx(kl, rel=0.02)
    assert [table["name"] for table in found["tables"]] == ["by-members", "disagreement", "calibration"]
    assert "wer" not in one["student_test"]
    assert found["tables"][0]["notes"][-1].startswith("No WER: there was no decoding graph")

    config.ensemble.members = 1  # which has nobody to disagree with
    vary_members(exp, config, QUICK)
    found = result(exp, "members")
    assert [table["name"] for table in found["tables"]] == ["by-members", "calibration"] and len(found["rows"]) == 1


def test_sizes(exp: Path, config: Config) -> None:
    assert sizes(replace(config.model, hidden_layers=4, hidden_size=512), quick=False) == [
        Size(4, 512),
        Size(4, 256),
        Size(4, 128),
        Size(2, 512),
    ]
    vary_size(exp, config, QUICK)
    large, small = result(exp, "sizes")["rows"]
    # 4 frames of 6 mel bins, one hidden layer, 5 pdfs; weights and biases.
    assert [row["parameters"] for row in (large, small)] == [(24 + 1) * n + (n + 1) * 5 for n in (32, 16)]
    for row in (large, small):
        for kind in ("hard", "soft"):
            name = f"quick/sizes/{kind}-1x{row['width']}"
            assert row[f"{kind}_dev_accuracy"] == pytest.approx(card(exp, name)["dev_accuracy"], abs=0.4)
            assert card(exp, name)["hard_weight"] == (1.0 if kind == "hard" else config.distill.hard_weight)
    assert card(exp, "quick/sizes/hard-1x16")["train"]["weight_decay"] == config.train.weight_decay
    assert card(exp, "quick/sizes/soft-1x16")["train"]["weight_decay"] == config.distill.weight_decay


def test_sizes_of_other_targets_are_refused(exp: Path, config: Config) -> None:
    config.distill.top_k = 4
    with pytest.raises(UserError, match=r"train-T2: made with distill\.top_k=3, and by the config it is 4"):
        vary_size(exp, config, QUICK)


def test_a_quick_call_leaves_a_full_one_as_it_is(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is it taken for one, whichever comes first."""
    vary_size(exp, config, QUICK)
    full = Options(epochs=1)
    vary_size(exp, config, full)
    path = exp / "experiments" / "sizes.json"
    found, epochs = path.read_text(), card(exp, "sizes/hard-1x16")["train"]["epochs"]
    assert epochs == 1 and not read_json(path)["made_from"]["quick"]
    vary_size(exp, config, Options(quick=True, force=True))
    assert path.read_text() == found and card(exp, "sizes/hard-1x16")["train"]["epochs"] == 1
    assert not any("quick" in file for file in experiment_hashes(exp))
    capsys.readouterr()
    vary_size(exp, config, full)
    assert "sizes.json: finished, skipped" in capsys.readouterr().out
    # What an asrkd without the key has made stays, as long as the key has its default.
    value = read_json(path)
    del value["made_from"]["config"]["train"]["keep"]
    write_json(path, value)
    vary_size(exp, config, full)
    assert "sizes.json: finished, skipped" in capsys.readouterr().out
    config.train.keep = "last"
    vary_size(exp, config, full)
    assert read_json(path)["made_from"]["config"]["train"]["keep"] == "last"


def test_no_label_of_the_other_half_is_read(exp: Path, config: Config, tmp_path: Path) -> None:
    """Other labels there leave teachers and students as they are, to the bit."""
    withhold_transcripts(exp, config, QUICK)
    first = result(exp, "untranscribed")
    half_baseline, *_, whole_baseline = first["rows"]
    assert whole_baseline["system"] == "baseline, all transcribed"
    for row, place in ((half_baseline, "quick/untranscribed/"), (whole_baseline, "")):
        own = [accuracy(exp, [f"{place}{name}"], "test") for name in ("member-01", "member-02")]
        assert row["test_accuracy"] == pytest.approx(np.mean(own), abs=0.4)
        assert row["test_accuracy_sd"] == pytest.approx(np.std(own, ddof=1), abs=0.6)
    other = tmp_path / "exp"
    shutil.copytree(exp, other)
    store = FrameStore.open(exp / "features" / "train")
    half = transcribed_half(store, config.ensemble.seed)
    heard = {speaker for name, speaker in zip(store.ids, store.speakers, strict=True) if name in half}
    assert len(heard) == 2 and all(
        (name in half) == (s in heard) for name, s in zip(store.ids, store.speakers, strict=True)
    )
    labels = np.load(other / "align" / "train" / "labels.npy")
    withheld = np.repeat([name not in half for name in store.ids], store.counts) & (labels != 65535)
    labels[withheld] = (labels[withheld] + 1) % 5
    align = Step(other / "align", made_by="stage 3", config={}, inputs={})
    write_npy(other / "align" / "train" / "labels.npy", labels)
    align.finish(list(read_json(other / "align" / "stamp.json")["outputs"]))
    for name in ("member-01", "member-02"):  # which have read them; here they stay as they were
        stamp = other / "models" / name / "stamp.json"
        identity = read_json(other / "align" / "stamp.json")["identity"]
        text = stamp.read_text().replace(read_json(exp / "align" / "stamp.json")["identity"], identity)
        stamp.write_text(text)
    for target in ("models/quick/untranscribed", "experiments"):
        shutil.rmtree(other / target)
    withhold_transcripts(other, config, QUICK)
    for name in ("member-01", "student-half", "student-all"):
        ours, theirs = (load_model(folder / "models" / "quick" / "untranscribed" / name)[0] for folder in (exp, other))
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)), name
    names = ("member-01", "student-half", "student-all")
    frames = {name: card(exp, f"quick/untranscribed/{name}")["frames"] for name in names}
    assert frames["member-01"] == frames["student-half"] < frames["student-all"]


def test_the_command(exp: Path, config: Config) -> None:
    save_config(config, exp / "config.yaml")
    call = [sys.executable, "-m", "asrkd", "experiment", str(exp), "targets", "--quick"]
    done = subprocess.run(call, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = result(exp, "targets")
    assert found["command"] == f"asrkd experiment {exp} targets --quick" and found["made_from"]["quick"]
    assert "Soft targets on training frames" in done.stdout
    again = subprocess.run(call, check=False, capture_output=True, text=True)
    assert "finished, skipped" in again.stdout and "out of fold" in again.stdout


def test_members_of_another_config_are_refused(exp: Path, config: Config, tmp_path: Path) -> None:
    other = Path(shutil.copytree(exp, tmp_path / "exp"))
    config.train.weight_decay = 0.5
    save_config(config, other / "config.yaml")
    call = [sys.executable, "-m", "asrkd", "experiment", str(other), "members", "--quick"]
    done = subprocess.run(call, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "member-01: made with train.weight_decay=0.0003" in done.stderr


def test_epochs_of_a_call_are_those_of_what_it_trains(config: Config) -> None:
    both, students = (shortened(config, Options(epochs=7), students_alone=alone) for alone in (False, True))
    assert (both.train.epochs, both.distill.epochs) == (7, 7)
    assert (students.train.epochs, students.distill.epochs) == (config.train.epochs, 7)


def test_a_split_without_labels_is_named(exp: Path, config: Config, tmp_path: Path) -> None:
    other = Path(shutil.copytree(exp, tmp_path / "exp"))
    path = other / "align" / "test" / "labels.npy"
    write_npy(path, np.full_like(np.load(path), 65535))
    with pytest.raises(UserError, match="align/test: expected labelled frames, found none"):
        vary_members(other, config, replace(QUICK, force=True))


def test_what_is_missing_is_named(tmp_path: Path, config: Config) -> None:
    with pytest.raises(UserError, match="train-T2: not there yet; stage 5"):
        vary_size(tmp_path, config, QUICK)
    config.distill.hard_weight = 1.0  # students of labels alone
    for experiment in (vary_size, vary_temperature, vary_members):
        with pytest.raises(UserError, match=r"expected students with soft targets, found distill\.hard_weight=1"):
            experiment(tmp_path, config, QUICK)
    config.distill.hard_weight = 0.5
    config.distill.speeds = [0.9, 1.1]  # whose targets lie apart
    with pytest.raises(UserError, match=r"train-T2-x0\.9: not there yet; stage 5"):
        vary_size(tmp_path, config, QUICK)
