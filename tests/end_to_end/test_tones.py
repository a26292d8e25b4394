"""Every stage on a corpus of tone-coded words, through KenLM and k2: once undisturbed, once killed in every stage.

The language is easy, so that anything wrong between the audio and the words shows at once: labels off by a frame, a
prior of another label set, a graph whose pdfs are not the models'.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile

from asrkd.cli import STEPS
from asrkd.errors import UserError
from asrkd.features.store import FrameStore
from asrkd.files import read_json
from asrkd.models.dnn import load_model
from asrkd.settings import load_config
from asrkd.train.forward import log_posteriors
from asrkd.transcribe import transcribe
from tests.tone_corpus import make_tone_corpus

OWN_DATA = Path(__file__).resolve().parents[2] / "docs" / "own-data.md"
SETTINGS = [
    "features.dtype=float32",
    "lang.lm_order=2",
    "lang.lm_prune=[0]",
    "align.num_pdfs=60",
    "align.monophone_gaussians=60",
    "align.tied_gaussians=90",
    "align.monophone_passes=8",
    "align.tied_passes=4",
    "model.hidden_layers=2",
    "model.hidden_size=64",
    "train.batch_size=128",
    "train.epoch_frames=40000",
    "train.epochs=5",
    "ensemble.members=2",
    "distill.epochs=5",
    "distill.top_k=10",
    "limited.shares=[0.2]",
    "specialists.count=2",
    "specialists.pdfs=15",
    "specialists.epochs=1",
    "decode.lm_scales=[1.0]",
    "decode.insertion_penalties=[0.0]",
    "run.jobs=1",  # the tests themselves run side by side
]


def command(exp: Path, step: str) -> list[str]:
    return [sys.executable, "-m", "asrkd", step, str(exp)]


def configure(exp: Path, corpus: dict[str, Any], *overrides: str) -> None:
    files = [f"data.{split}={corpus[split]}" for split in ("train", "dev", "test")]
    files += [f"lang.lexicon={corpus['lexicon']}", f"lang.lm_text={corpus['lm_text']}"]
    subprocess.run([*command(exp, "configure"), *files, *SETTINGS, *overrides], check=True)


def run(exp: Path, step: str) -> str:
    done = subprocess.run(command(exp, step), check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{step}: {done.stderr[-3000:]}"
    return done.stdout


def kill_during(exp: Path, step: str, seconds: float) -> None:
    """Start the step and kill it and all of its processes after that many seconds, unless it has ended."""
    with subprocess.Popen(
        command(exp, step), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(seconds)  # a step that a kill before has left little of may end first
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def identities(exp: Path) -> dict[str, str]:
    """Of everything that the stages made, by folder; but for the report, which tells how long things took."""
    stamps = {str(path.parent.relative_to(exp)): read_json(path) for path in exp.rglob("stamp.json")}
    assert all(stamp["state"] == "finished" for stamp in stamps.values())
    others = ("report", "evaluate")
    return {folder: stamp["identity"] for folder, stamp in stamps.items() if not folder.startswith(others)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_tone_corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def undisturbed(corpus: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """The experiment and the seconds that each step took."""
    exp = tmp_path_factory.mktemp("undisturbed")
    configure(exp, corpus)
    seconds = {}
    for step in STEPS:
        begun = time.monotonic()
        run(exp, step)
        seconds[step] = time.monotonic() - begun
    return exp, seconds


def test_the_words_are_recognised(undisturbed: tuple[Path, dict[str, float]]) -> None:
    exp, _ = undisturbed
    for system in ("member-01", "member-02", "ensemble", "student-T2"):
        scores = read_json(exp / "scores" / f"{system}.json")
        assert scores["test"]["wer"] < 0.05, f"{system}: {scores['test']}"
        assert scores["test"]["frame_accuracy"] > 0.7, f"{system}: {scores['test']}"


def test_the_labels_are_where_the_tones_are(undisturbed: tuple[Path, dict[str, float]]) -> None:
    """Silence takes the share of the frames that the corpus gave it: about 0.45 s of pauses an utterance."""
    exp, _ = undisturbed
    assert 0.15 < read_json(exp / "align" / "report.json")["train"]["silence"] < 0.45


def test_the_report_has_every_system(undisturbed: tuple[Path, dict[str, float]]) -> None:
    exp, _ = undisturbed
    text = (exp / "report" / "RESULTS.md").read_text()
    assert "ensemble of 2" in text and "20 % of the data" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert json.loads((exp / "report" / "results.json").read_text())


def test_a_second_call_has_nothing_to_do(undisturbed: tuple[Path, dict[str, float]]) -> None:
    exp, _ = undisturbed
    before = identities(exp)
    for step in ("features", "align", "train", "decode"):
        assert "finished, skipped" in run(exp, step)
    assert identities(exp) == before


def test_evaluate_gives_what_the_experiment_gave(
    corpus: dict[str, Any], undisturbed: tuple[Path, dict[str, float]]
) -> None:
    """The experiment's own test set, handed in as if it were another; first to one system alone."""
    exp, _ = undisturbed
    before = identities(exp)
    again = [*command(exp, "evaluate"), "--cuts", str(corpus["test"]), "--test", "again"]
    done = subprocess.run([*again, "--system", "soft-2"], check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "--system soft-2: expected one of member-01, member-02, ensemble," in done.stderr
    done = subprocess.run([*again, "--system", "soft-20"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = exp / "evaluate" / "again"
    alone = read_json(folder / "scores-soft-20.json")["systems"]
    assert list(alone) == ["soft-20"] and not (folder / "scores.json").exists()
    assert done.stdout.splitlines()[-1] == f"all of it: {folder / 'scores-soft-20.json'}"
    done = subprocess.run(again, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("systems/soft-20: finished, skipped") == 1
    found = read_json(folder / "scores.json")["systems"]
    assert found["soft-20"] == alone["soft-20"]
    for system in ("member-01", "ensemble", "student-T2", "soft-20"):
        expected = read_json(exp / "scores" / f"{system}.json")["test"]
        assert found[system] == expected
    assert before.items() <= identities(exp).items()


def test_audio_without_transcripts(corpus: dict[str, Any], undisturbed: tuple[Path, dict[str, float]]) -> None:
    """A file is normalised by itself: silence and three words or more have about the moments of a speaker's all."""
    exp, _ = undisturbed
    before = identities(exp)
    (exp / ".transcribe" / "files").mkdir(parents=True)  # of a call that was killed
    names = [name for name in corpus["sentences"] if name.startswith("e1")][:6]
    files = [str(corpus["test"].parent / "wav" / f"{name}.wav") for name in names]
    done = subprocess.run([*command(exp, "transcribe"), *files], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == files
    assert jiwer.wer([corpus["sentences"][name] for name in names], [row[1] for row in rows]) < 0.2
    assert identities(exp) == before and not (exp / ".transcribe").exists()

    slow = corpus["test"].parent / "slow.wav"
    soundfile.write(slow, np.zeros(8000), 8000)
    short = corpus["test"].parent / "short.wav"
    soundfile.write(short, np.zeros(100), 16000)
    config = load_config(exp / "config.yaml")
    other = replace(config, features=replace(config.features, sample_rate=8000))
    with pytest.raises(UserError, match=r"features/train: made with features\.sample_rate=16000"):
        transcribe(exp, other, [slow])
    for file, system, message in (
        (slow, "student-T2", "slow.wav: expected 16000 Hz and one channel, found 8000 Hz and 1; convert it"),
        (short, "student-T2", "short.wav: expected at least 400 samples, a frame's, found 100; leave it out"),
        (OWN_DATA, "student-T2", "own-data.md: expected audio of one utterance, found "),
        (slow, "nobody", "--system nobody: expected one of member-01, member-02, ensemble, student-T2"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            transcribe(exp, config, [file], system)


def test_the_documented_way_to_posteriors(
    corpus: dict[str, Any],
    undisturbed: tuple[Path, dict[str, float]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exp, _ = undisturbed
    store = FrameStore.open(exp / "features" / "dev")
    for name in store.ids:  # of one speaker
        (tmp_path / f"{name}.wav").symlink_to(corpus["dev"].parent / "wav" / f"{name}.wav")
    (code,) = re.findall(r"```python\n(.*?)```", OWN_DATA.read_text(), flags=re.DOTALL)
    exec(code.replace("EXP/", f"{exp}/").replace("AUDIO", str(tmp_path)), {})
    found = dict(line.split() for line in capsys.readouterr().out.splitlines())
    model, _ = load_model(exp / "models" / "student-T2")
    for name, logs in log_posteriors([model], store, precision="float32"):
        assert float(found.pop(name)) == pytest.approx(logs.exp().max(1).values.mean().item(), abs=1e-4)
    assert not found


def test_every_stage_killed_once_ends_the_same(
    corpus: dict[str, Any], undisturbed: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    first, seconds = undisturbed
    configure(tmp_path, corpus)
    for step in STEPS:
        kill_during(tmp_path, step, 0.6 * seconds[step])
        run(tmp_path, step)
    assert identities(tmp_path) == identities(first)


def test_a_deleted_member_alone_is_trained_again(undisturbed: tuple[Path, dict[str, float]]) -> None:
    exp, _ = undisturbed
    before = identities(exp)
    shutil.rmtree(exp / "models" / "member-02")
    printed = run(exp, "train")
    assert "models/member-01: finished, skipped" in printed
    assert "models/member-02: finished, skipped" not in printed
    assert identities(exp) == before


def test_what_depends_on_a_changed_member_is_done_again(undisturbed: tuple[Path, dict[str, float]]) -> None:
    exp, _ = undisturbed
    before = identities(exp)
    subprocess.run([*command(exp, "configure"), "ensemble.seed=2"], check=True)
    for step in ("train", "soft-targets", "distil"):
        run(exp, step)
    after = identities(exp)
    changed = {folder for folder in before if before[folder] != after[folder]}
    assert {"models/member-01", "models/member-02", "models/student-T2"} <= changed
    assert not {"data", "align", "graph", "features/train"} & changed
