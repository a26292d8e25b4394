"""All stages of recipes/mnist on shapes of 8 x 8 pixels."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from asrkd.config import Config
from asrkd.distill.store import SoftTargetStore
from asrkd.distill.targets import SoftTargets
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.mnist.digits import CORPUS, save_corpus
from asrkd.mnist.frames import make_frames, make_labels
from asrkd.mnist.idx import read_folder
from asrkd.mnist.nets import distil, nets, sweep, teach, train
from asrkd.mnist.report import write_report
from asrkd.mnist.score import score_nets
from asrkd.settings import load_config
from tests.mnist.conftest import DEV, SIDE, TEST, TRAIN

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [
    f"features.num_mel_bins={SIDE * SIDE}",
    f"mnist.dev={DEV}",
    "mnist.runs=1",
    "mnist.sweep_sizes=[6]",
    "mnist.sweep_temperatures=[1,4]",
    "mnist.sweep_epochs=1",
    "model.hidden_size=64",
    "model.dropout=0.2",
    "distill.hidden_size=32",
    "distill.epochs=12",
    "distill.learning_rate=0.02",
    "train.batch_size=32",
    "train.jitter=1",
    "train.epochs=10",
    "train.epoch_frames=0",
    "train.precision=float32",
    "ensemble.members=2",
    "run.jobs=1",
]


@pytest.fixture
def config() -> Config:
    return load_config(ROOT / "recipes" / "mnist" / "conf" / "cpu.yaml", overrides=SETTINGS)


@pytest.fixture
def exp(data_dir: Path, tmp_path: Path) -> Path:
    save_corpus(tmp_path / CORPUS, read_folder(data_dir))
    return tmp_path


def all_stages(exp: Path, config: Config) -> None:
    for stage in (make_frames, make_labels, train, teach, distil, sweep, score_nets, write_report):
        stage(exp, config)


def by_hand(exp: Path, name: str, images: np.ndarray) -> np.ndarray:
    """Logits (N, 10) from the pixels and the weights, in float64."""
    weights = {
        key: value.astype(np.float64) for key, value in load_file(exp / "models" / name / "model.safetensors").items()
    }
    inputs = (images.reshape(len(images), -1).astype(np.float32) / 255).astype(np.float16).astype(np.float64)
    for layer in ("hidden.0", "hidden.1"):
        inputs = np.maximum(inputs @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    return inputs @ weights["output.weight"].T + weights["output.bias"]


def test_all_stages(exp: Path, config: Config, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    all_stages(exp, config)
    corpus = read_folder(data_dir)
    scores = read_json(exp / "scores" / "scores.json")

    # What was counted is what the weights say.
    assert len(scores["nets"]) == 2 + 4 + 2
    for name, found in scores["nets"].items():
        wrong = by_hand(exp, name, corpus.test.images).argmax(1) != corpus.test.labels
        assert (found["images"], found["errors"]) == (TEST, wrong.sum())
        assert found["errors_by_digit"] == np.bincount(corpus.test.labels[wrong], minlength=10).tolist()
    errors = {name: found["errors"] for name, found in scores["nets"].items()}
    assert all(errors[name] < 0.1 * TEST for name in ("member-01", "member-02", "student-1", "plain-1"))

    # Digits that a net never saw are what it gets wrong, and the offset that suits test best mends that.
    for name, digits in (("without-3", {3}), ("only-7-8", set(range(10)) - {7, 8})):
        for run, corrected in enumerate(scores["corrections"][name], 1):
            as_trained = scores["nets"][f"{name}-{run}"]
            assert corrected["test"]["errors"] <= min(as_trained["errors"], corrected["train"]["errors"])
            card = read_json(exp / "models" / f"{name}-{run}" / "card.json")
            assert card["frames"] == sum(corpus.train.labels[i] in card["digits"] for i in range(TRAIN))
            assert not digits & set(card["digits"])
    assert all(run["test"]["offset"] < 0 for run in scores["corrections"]["only-7-8"])

    # One teacher, and small nets that differ from it in more than their size.
    targets = SoftTargetStore.open(exp / "targets" / "train-T20", verify=True)
    logits = by_hand(exp, "member-01", corpus.train.images[:50]) / 20
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for image, row in enumerate(expected):
        soft = targets[f"train-{image:05d}"]
        assert isinstance(soft, SoftTargets)
        np.testing.assert_allclose(soft.probs[0].numpy(), row[soft.ids[0].numpy()], atol=1e-3)
    large, small, sweep_6 = (
        read_json(exp / "models" / name / "card.json") for name in ("member-02", "plain-1", "sweep-6-T4-1")
    )
    assert (large["train"]["jitter"], large["train"]["max_norm"], large["model"]["dropout"]) == (1, 2.0, 0.2)
    assert (small["train"]["jitter"], small["train"]["max_norm"], small["model"]["hidden_size"]) == (0, 0.0, 32)
    assert (small["model"]["dropout"], small["model"]["input_dropout"], small["hard_weight"]) == (0.0, 0.0, 1.0)
    assert (sweep_6["model"]["hidden_size"], sweep_6["train"]["epochs"], sweep_6["temperature"]) == (6, 1, 4.0)
    assert large["epoch"] == 10

    # The report has the paper's figures beside the mean of ours.
    report = (exp / "report" / "RESULTS.md").read_text()
    large_errors = errors["member-01"], errors["member-02"]
    mean = sum(large_errors) / 2
    spread = (sum((one - mean) ** 2 for one in large_errors)) ** 0.5  # n - 1 is 1
    runs = " ".join(map(str, large_errors))
    assert f"dropout, jitter 1, max-norm 2 | {mean:.1f} ± {spread:.1f} | 67 | {runs} |" in report
    assert f"| small, 2 x 32: hard targets | {errors['plain-1']:.1f} | 146 | {errors['plain-1']} |" in report
    assert "| without threes | as trained | – | – |" in report
    found = scores["corrections"]["only-7-8"][0]["test"]
    on_test = f"| {found['offset']:.2f} | -7.60 | {found['errors']:.1f} | {found['errors'] / 2:.2f} | 13.20 |"
    assert f"| sevens and eights alone | best on the test images {on_test}" in report
    assert read_json(exp / "report" / "results.json")["nets"] == scores["nets"]
    page = (exp / "report" / "index.html").read_text()
    assert "Test utterances" not in page and page.count("<svg") == 2
    assert page.count("<section") == page.count("</section") == 5

    capsys.readouterr()
    all_stages(exp, config)
    printed = capsys.readouterr().out
    assert "epoch 1:" not in printed
    # features, align, targets at three temperatures, nets, scores, report
    assert list(nets(config)) == list(scores["nets"])
    assert printed.count("finished, skipped") == 3 + 1 + 3 + (2 + 4 + 2) + 1 + 1

    # A config that was changed since gives no net another name.
    for changed, message in (
        (
            replace(config, distill=replace(config.distill, temperatures=[4.0])),
            "student-1: made with temp",
        ),
        (
            replace(config, distill=replace(config.distill, hard_weight=0.5)),
            r"student-1: made with hard_weight=0\.1",
        ),
        (replace(config, ensemble=replace(config.ensemble, seed=2)), "member-01: made with seed=1"),
        (replace(config, model=replace(config.model, hidden_size=9)), r"member-01: made with model\.hidden_size=64"),
        (replace(config, mnist=replace(config.mnist, dev=1)), r"features/train: made with mnist\.dev="),
        (replace(config, distill=replace(config.distill, top_k=3)), r"train-T1: made with distill\.top_k=10"),
        (replace(config, mnist=replace(config.mnist, sweep_epochs=2)), r"sweep-6-T1-1: made with train\.epochs=1"),
    ):
        with pytest.raises(UserError, match=message):
            score_nets(exp, changed)

    # A temperature less: what was made for it, or stands there unfinished, is no part of the report.
    config.mnist.sweep_temperatures = [1]
    (exp / "targets" / "train-T4" / "stamp.json").write_text('{"state": "begun", "config": {}, "inputs": {}}')
    (exp / "features" / "notes").mkdir()
    for stage in (score_nets, write_report):
        stage(exp, config)
    assert "T = 4" not in (exp / "report" / "RESULTS.md").read_text()


def test_other_labels_of_the_same_images_make_labels_stale(exp: Path, config: Config, data_dir: Path) -> None:
    make_frames(exp, config)
    make_labels(exp, config)
    first = read_json(exp / "features" / "train" / "stamp.json")["identity"]
    corpus = read_folder(data_dir)
    other = replace(corpus.train, labels=(corpus.train.labels + 1) % 10)
    save_corpus(exp / CORPUS, replace(corpus, train=other))
    with pytest.raises(UserError, match=r"features/train: made from another corpus/mnist\.npz .* run stage 1 again"):
        make_labels(exp, config)
    make_frames(exp, config)
    make_labels(exp, config)
    assert read_json(exp / "features" / "train" / "stamp.json")["identity"] == first
    assert np.array_equal(np.load(exp / "align" / "train" / "labels.npy"), other.labels)


@pytest.mark.parametrize("held_out", [False, True])
def test_splits(exp: Path, config: Config, data_dir: Path, held_out: bool) -> None:
    config.mnist.held_out = held_out
    make_frames(exp, config)
    make_labels(exp, config)
    corpus = read_folder(data_dir)
    splits = {
        "train": (corpus.train, 0, TRAIN - DEV if held_out else TRAIN),
        "dev": (corpus.train, TRAIN - DEV, TRAIN),
        "test": (corpus.test, 0, TEST),
    }
    for split, (digits, begin, end) in splits.items():
        store = FrameStore.open(exp / "features" / split)
        labels = np.load(exp / "align" / split / "labels.npy")
        assert store.frames.shape == (end - begin, SIDE * SIDE) and (store.counts == 1).all()
        np.testing.assert_allclose(store.frames, digits.images[begin:end].reshape(end - begin, -1) / 255, atol=5e-4)
        assert np.array_equal(labels, digits.labels[begin:end])
    assert FrameStore.open(exp / "features" / "dev").ids[0] == f"train-{TRAIN - DEV:05d}"


def test_mistakes_name_what_mends_them(exp: Path, config: Config) -> None:
    config.mnist.dev = TRAIN
    with pytest.raises(UserError, match=f"mnist.dev={TRAIN} .expected fewer than the {TRAIN} training images"):
        make_frames(exp, config)
    config.mnist.dev, config.features.num_mel_bins = DEV, 49
    with pytest.raises(UserError, match="expected images of 49 pixels, found 64 in train and 64 in test"):
        make_frames(exp, config)
    with pytest.raises(UserError, match=r"features.train: not there yet; stage 1"):
        make_labels(exp, config)
    (exp / CORPUS).unlink()
    with pytest.raises(UserError, match=r"mnist\.npz: no such file; stage 0 makes it"):
        make_frames(exp, config)


def test_the_recipe(data_dir: Path, tmp_path: Path) -> None:
    recipe = [str(ROOT / "recipes" / "mnist" / "run.sh"), "--exp", str(tmp_path / "exp"), "--stop-stage", "3"]
    failed = subprocess.run([*recipe, "--quick", "--data-dir", str(tmp_path)], capture_output=True, text=True)
    assert failed.returncode == 1 and failed.stderr.startswith(f"error: {tmp_path}: expected MNIST's train-images-idx3")
    command = [*recipe, "--quick", "--data-dir", str(data_dir), *SETTINGS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{TRAIN} training and {TEST} test images of 8 x 8 pixels" in done.stdout
    assert np.load(tmp_path / "exp" / "align" / "test" / "labels.npy").shape == (TEST,)
    for more in ([], ["--quick"]):
        again = subprocess.run([*recipe, *more], capture_output=True, text=True)
        assert again.returncode == 0 and again.stdout.count("finished, skipped") == 4, again.stderr


def test_a_whole_experiment_is_not_made_quick(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mnist:\n  runs: 3\n")
    command = [str(ROOT / "recipes" / "mnist" / "run.sh"), "--exp", str(tmp_path), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "error: --quick: " in done.stderr and "begun without it" in done.stderr
    assert (tmp_path / "config.yaml").read_text() == "mnist:\n  runs: 3\n"
