"""Stages 4 to 7 on frames that can be told apart."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.config import Config
from asrkd.distill.ensemble import ensemble_posteriors
from asrkd.distill.store import SoftTargetStore
from asrkd.distill.targets import SoftTargets
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json, read_jsonl, write_json
from asrkd.models.dnn import load_model
from asrkd.report.made_with import expect_config
from asrkd.systems import systems
from asrkd.train.forward import log_posteriors
from asrkd.train.jobs import train_models
from asrkd.train.limited import train_limited
from asrkd.train.members import train_members
from asrkd.train.soft_targets import make_soft_targets
from asrkd.train.students import student_config, train_students
from asrkd.train.training import Training


def by_hand(exp: Path, names: list[str], split: str, temperature: float) -> dict[str, np.ndarray]:
    """The mean over models of softmax(z / T), a frame and a model at a time, in float64."""
    store = FrameStore.open(exp / "features" / split)
    models = [load_model(exp / "models" / name)[0].double() for name in names]
    found = {}
    with torch.no_grad():
        for name in store.ids:
            own = torch.from_numpy(store.utterance(name).astype(np.float64))
            rows = []
            for t in range(len(own)):
                window = torch.cat([own[min(max(t + offset, 0), len(own) - 1)] for offset in (-2, -1, 0, 1)])
                rows.append(sum((model(window[None]) / temperature).softmax(-1) for model in models) / len(models))
            found[name] = torch.cat(rows).numpy()
    return found


def test_all_stages(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    config.distill.hidden_layers, config.distill.hidden_size, config.distill.dropout = 2, 16, 0.0
    config.distill.optimizer, config.distill.learning_rate = "adamw", 0.01
    with pytest.raises(UserError, match="member-01: not there yet; stage 4"):
        make_soft_targets(exp, config)
    train_members(exp, config)
    make_soft_targets(exp, config)
    train_students(exp, config)
    train_limited(exp, config)
    for system in systems(config):
        for name in system.models:
            card = read_json(exp / "models" / name / "card.json")
            assert card["dev_accuracy"] > 90, (
                name,
                card["dev_accuracy"],
            )  # the nearest mean, the best possible guess, is right on 97 %
            curves = read_jsonl(exp / "models" / name / "curves.jsonl")
            assert card["dev_accuracy"] == max(curve["dev_accuracy"] for curve in curves)
            assert (exp / "models" / name / "model.safetensors").exists()
            assert not (exp / "models" / name / "checkpoint.safetensors").exists()
    # On a share of the data, hard targets are learnt as the members learn and soft ones as the students do.
    for name in ("member-01", "hard-30", "student-T2", "soft-30"):
        card, as_member = read_json(exp / "models" / name / "card.json"), name in ("member-01", "hard-30")
        assert card["train"]["epochs"] == (config.train if as_member else config.distill).epochs
        assert card["train"]["optimizer"] == ("sgd" if as_member else "adamw")
        assert card["train"]["learning_rate"] == (0.08 if as_member else 0.01)
        assert card["train"]["weight_decay"] == (0.0003 if as_member else 0.0)
        assert card["train"]["speeds"] == ([0.9, 1.0, 1.1] if as_member else [1.0])
        weights = {"member-01": 1.0, "hard-30": 1.0, "student-T2": 0.5, "soft-30": 0.0}
        assert card["hard_weight"] == weights[name]
        assert card["model"]["dropout"] == (0.1 if as_member else 0.0)
    # Smaller ones where the config says so, beside members and limited-data models that stay as they are.
    shapes = {
        name: [tuple(weight.shape) for weight in load_model(exp / "models" / name)[0].state_dict().values()]
        for name in ("member-01", "student-T2", "hard-30")
    }
    assert shapes["member-01"] == shapes["hard-30"] == [(32, 24), (32,), (5, 32), (5,)]
    assert shapes["student-T2"] == [(16, 24), (16,), (16, 16), (16,), (5, 16), (5,)]
    hard, soft = (read_json(exp / "models" / name / "card.json") for name in ("hard-30", "soft-30"))
    assert hard["frames"] == soft["frames"] < read_json(exp / "models" / "member-01" / "card.json")["frames"]

    # What the stages stored is what the models say.
    expected = by_hand(exp, ["member-01", "member-02"], "train", 2.0)
    store = SoftTargetStore.open(exp / "targets" / "train-T2", verify=True)
    frames = FrameStore.open(exp / "features" / "train")
    for name, probs in expected.items():
        soft, frame = store[name], store.gather(torch.tensor([int(frames.first[frames.index[name]]) + 1]))
        assert isinstance(soft, SoftTargets) and isinstance(frame, SoftTargets)
        kept = np.sort(probs, 1)[:, ::-1][:, : config.distill.top_k]
        np.testing.assert_allclose(soft.probs.numpy(), kept, atol=1e-3)
        assert torch.equal(frame.ids[0], soft.ids[1])

    # Finished is skipped; a member that was deleted is trained alone, to the same bits, and nothing after it is stale.
    capsys.readouterr()
    for file in (exp / "models" / "member-02").iterdir():
        file.unlink()
    (exp / "models" / "member-02").rmdir()
    train_members(exp, config)
    make_soft_targets(exp, config)
    train_students(exp, config)
    train_limited(exp, config)
    printed = capsys.readouterr().out
    assert "member-02 epoch 1" in printed
    assert printed.count("epoch 1:") == 1
    assert printed.count("finished, skipped") == 1 + 1 + 1 + 2

    # A report would give all of this as the config's, so that it refuses a config that was changed since.
    expect_config(exp, config)
    for section, key, value, message in (
        ("train", "epochs", 3, r"member-01: made with train\.epochs=4, and by the config it is 3; run stage 4 again"),
        ("ensemble", "seed", 2, "member-01: made with seed=1"),
        ("ensemble", "members", 1, r"train-T2: .* the config's 1 teachers \(member-01, .*found those of 2"),
        ("distill", "folds", 2, r"train-T2: .* the config's 4 teachers \(fold-1-member-01, "),
        ("distill", "top_k", 3, r"train-T2: made with distill\.top_k=2.* --stage 5"),
        ("distill", "hard_weight", 0.1, "student-T2: made with hard_weight=0.5.* --stage 6"),
        ("distill", "tail", "drop", r"student-T2: made with distill\.tail=even"),
        ("limited", "hard_weight", 0.5, "soft-30: made with hard_weight=0.0.* --stage 7"),
        ("limited", "seed", 3, "hard-30: made with seed=201"),
    ):
        changed = replace(config, **{section: replace(getattr(config, section), **{key: value})})
        with pytest.raises(UserError, match=message):
            expect_config(exp, changed)


def test_more_students_leave_the_first_as_it_is(exp: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    config.train.epochs = config.distill.epochs = 1
    train_members(exp, config)
    make_soft_targets(exp, config)
    train_students(exp, config)
    first = read_json(exp / "models" / "student-T2" / "stamp.json")
    capsys.readouterr()
    config.distill.students = 3
    train_students(exp, config)
    printed = capsys.readouterr().out
    assert printed.count("finished, skipped") == 1 and printed.count("epoch 1:") == 2
    names = ["student-T2", "student-T2-2", "student-T2-3"]
    stamps = [read_json(exp / "models" / name / "stamp.json") for name in names]
    assert stamps[0] == first
    assert [stamp["config"].pop("seed") for stamp in stamps] == [101, 102, 103]
    assert stamps[0]["config"] == stamps[1]["config"] == stamps[2]["config"]
    assert stamps[0]["inputs"] == stamps[1]["inputs"] == stamps[2]["inputs"]
    assert len({stamp["identity"] for stamp in stamps}) == 3


def test_a_model_that_is_finished_is_not_trained_again_for_another_ones_killed_worker(
    exp: Path, config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice(function: Callable[..., None], jobs: Sequence[tuple[Any, ...]], *_: Any, **__: Any) -> None:
        for job in [*jobs, *jobs]:
            function(*job)

    config.train.epochs = 1
    monkeypatch.setattr("asrkd.train.jobs.parallel", twice)
    train_members(exp, config)
    assert capsys.readouterr().out.count("epoch 1:") == 2


def test_only_the_store_is_the_soft_targets_identity(exp: Path, config: Config) -> None:
    config.train.epochs = 1
    train_members(exp, config)
    make_soft_targets(exp, config)
    folder = exp / "targets" / "train-T2"
    made = read_json(folder / "stamp.json")
    assert sorted(made["outputs"]) == ["00000.0000.targets", "card.json"]
    # As after a call that was killed before it finished the step, in the middle of a write.
    write_json(folder / "stamp.json", {"state": "begun", "config": made["config"], "inputs": made["inputs"]})
    (folder / ".stamp.json.123.tmp").write_text("{")
    (folder / ".other.0000.targets.123.tmp").write_text("half a record")
    make_soft_targets(exp, config)
    resumed = read_json(folder / "stamp.json")
    assert (resumed["outputs"], resumed["identity"]) == (made["outputs"], made["identity"])


def test_a_shard_that_a_kill_cut_goes_on_in_the_same_blocks(
    exp: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bits of a product depend on how many rows it has."""
    rows: list[int] = []

    def counted(logits: list[torch.Tensor], *more: Any) -> torch.Tensor:
        rows.append(len(logits[0]))
        return ensemble_posteriors(logits, *more)

    monkeypatch.setattr("asrkd.train.target_shards.ensemble_posteriors", counted)
    monkeypatch.setattr("asrkd.train.forward.BLOCK", 200)
    monkeypatch.setattr("asrkd.distill.writer.SHARD_BYTES", 1500)
    config.train.epochs = 1
    train_members(exp, config)
    make_soft_targets(exp, config)
    whole, folder = list(rows), exp / "targets" / "train-T2"
    made = read_json(folder / "stamp.json")
    files = sorted(folder.glob("*.targets"))
    assert len(files) > 4
    write_json(folder / "stamp.json", {"state": "begun", "config": made["config"], "inputs": made["inputs"]})
    for file in files[-3:]:
        file.unlink()
    rows.clear()
    make_soft_targets(exp, config)
    assert 0 < len(rows) < len(whole) and rows == whole[-len(rows) :]
    assert read_json(folder / "stamp.json")["identity"] == made["identity"]


def test_damaged_soft_targets_name_the_command(exp: Path, config: Config) -> None:
    config.train.epochs = 1
    train_members(exp, config)
    make_soft_targets(exp, config)
    shard = exp / "targets" / "train-T2" / "00000.0000.targets"
    data = bytearray(shard.read_bytes())
    data[0] ^= 1  # of the same size, so that the stamp does not tell
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"records were altered .* \(run\.sh --stage 5 --stop-stage 5 --force\)$"):
        train_students(exp, config)
    # Those of an experiment are made by its own call.
    (exp / "targets" / "other").mkdir()
    shutil.copytree(exp / "targets" / "train-T2", exp / "targets" / "other" / "T2")
    other = Training("other", 1, 0.5, 2.0, targets="targets/other/T2", config=student_config(config))
    with pytest.raises(
        UserError, match=r"records were altered .* \(delete .*targets/other/T2 and make this call again"
    ):
        train_models(exp, config, [other], "experiment other", force=False)
    make_soft_targets(exp, config, force=True)
    train_students(exp, config)


def test_targets_that_do_not_fit_on_the_disk_are_not_begun(
    exp: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 pdfs of a frame are 12 bytes."""
    config.train.epochs = 1
    train_members(exp, config)
    needed = 2 * 12 * len(FrameStore.open(exp / "features" / "train").frames)
    config.distill.temperatures = [2.0, 5.0]
    with (
        monkeypatch.context() as full,
        pytest.raises(UserError, match=r"GB of free disk for 2 times .*top_k=2 \(5 pdfs"),
    ):
        full.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=needed - 1000))
        make_soft_targets(exp, config)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=needed))
    make_soft_targets(exp, config)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    make_soft_targets(exp, config)  # finished: nothing is to be written
    config.distill.top_k = 50  # of which 5 are kept, as many as there are: 24 bytes
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2 * needed))
    make_soft_targets(exp, config)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_log_posteriors_against_a_plain_loop(
    exp: Path, config: Config, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.train.epochs = 1
    train_members(exp, config)
    monkeypatch.setattr("asrkd.train.forward.BLOCK", 100)  # several utterances a block, several blocks
    names = ["member-01", "member-02"]
    models = [load_model(exp / "models" / name)[0] for name in names]
    store = FrameStore.open(exp / "features" / "dev")
    expected = by_hand(exp, names, "dev", temperature)
    found = dict(log_posteriors(models, store, temperature=temperature, precision="float32"))
    assert list(found) == store.ids
    for name, values in found.items():
        np.testing.assert_allclose(values.numpy(), np.log(np.maximum(expected[name], 1e-30)), atol=1e-4)
    some = ["dev-5", "dev-2"]
    for name, values in log_posteriors(models, store, some, temperature, "float32"):
        torch.testing.assert_close(values, found[name], atol=1e-5, rtol=1e-5)
    with pytest.raises(UserError, match="no utterance dev-99"):
        next(log_posteriors(models, store, ["dev-99"]))
