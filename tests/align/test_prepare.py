"""Stage 3 on synthetic speech, where the right labels are known."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import asrkd.align.train
from asrkd.align import passes
from asrkd.align.labels import NO_LABEL, load_labels
from asrkd.align.observations import observations
from asrkd.align.prepare import align_corpus, align_split
from asrkd.config import Config
from asrkd.corpus.cuts import make_cut, write_cuts
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.features.store import write_store
from asrkd.files import read_json, read_jsonl
from asrkd.lang.lexicon import Lexicon, phone_list, write_lexicon
from asrkd.settings import save_config
from tests.end_to_end.test_engines import cluster

MEL = 20
LEXICON: Lexicon = {
    "<UNK>": [("SPN",)],
    "ADA": [("A", "D", "A")],
    "BE": [("B", "E")],
    "DAB": [("D", "A", "B")],
    "EBB": [("E", "B"), ("B", "B")],
}
PHONES = phone_list(LEXICON)
WORDS = sorted(set(LEXICON) - {"<UNK>"})


def speech(
    seed: int, utterances: int, prefix: str
) -> tuple[list[tuple[str, str, np.ndarray]], dict[str, str], np.ndarray]:
    """Store rows, transcripts, and the true phone of each frame. A phone is a fixed spectrum in noise, for 4 to 12
    frames.
    """
    spectra = np.random.default_rng(99).normal(size=(len(PHONES), 3, MEL)) * 1.5
    rng = np.random.default_rng(seed)
    rows, texts, truth = [], {}, []
    for number in range(utterances):
        words = [str(word) for word in rng.choice(WORDS, size=rng.integers(2, 6))]
        sounds = ["SIL"]
        for word in words:
            variants = LEXICON[word]
            sounds += variants[rng.integers(len(variants))]
            if rng.random() < 0.3:
                sounds.append("SIL")
        if sounds[-1] != "SIL":
            sounds.append("SIL")
        frames, phones = [], []
        for sound in sounds:
            phone = PHONES.index(sound)
            length = int(rng.integers(4, 13))
            states = np.arange(length) * 3 // length
            frames.append(spectra[phone, states] + rng.normal(scale=0.5, size=(length, MEL)))
            phones += [phone] * length
        name = f"{prefix}{number:03d}"
        rows.append((name, f"speaker-{number % 3}", np.concatenate(frames).astype(np.float16)))
        texts[name] = " ".join(words)
        truth += phones
    return rows, texts, np.array(truth)


def make_experiment(exp: Path, too_short: int = 0) -> dict[str, np.ndarray]:
    truths = {}
    data = Step(exp / "data", made_by="stage 0", config={}, inputs={})
    data.begin()
    for seed, (split, utterances) in enumerate({"train": 60, "dev": 8, "test": 8}.items()):
        rows, texts, truths[split] = speech(seed, utterances, f"{split}-")
        for number in range(too_short if split == "train" else 0):
            rows.append((f"short-{number}", "speaker-0", np.zeros((5, MEL), np.float16)))
            texts[f"short-{number}"] = "ADA"
            truths[split] = np.append(truths[split], [-1] * 5)
        cuts = [make_cut(name, Path("none.wav"), 16000, 16000, "speaker", text) for name, text in texts.items()]
        write_cuts(exp / "data" / f"{split}.jsonl.gz", cuts)
        features = Step(exp / "features" / split, made_by="stage 1", config={}, inputs={})
        features.begin()
        write_store(features.folder, rows, num_mel=MEL, dtype="float16")
        features.finish(["frames.npy", "utterances.jsonl"])
    data.finish([f"{split}.jsonl.gz" for split in truths])
    lang = Step(exp / "lang", made_by="stage 2", config={}, inputs={})
    lang.begin()
    write_lexicon(lang.folder / "lexicon.txt", LEXICON)
    (lang.folder / "phones.txt").write_text("\n".join(PHONES) + "\n")
    lang.finish(["lexicon.txt", "phones.txt"])
    return truths


def small_config(jobs: int = 1) -> Config:
    config = Config()
    config.align.num_pdfs = 3 * len(PHONES) + 4
    config.align.monophone_gaussians = 30
    config.align.tied_gaussians = 44
    config.align.monophone_passes = 8
    config.align.tied_passes = 4
    config.run.jobs = jobs
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    exp = tmp_path_factory.mktemp("align") / "exp"
    truths = make_experiment(exp)
    align_corpus(exp, small_config())
    return exp, truths


def outputs(exp: Path) -> dict[str, str]:
    made = read_json(exp / "align" / "stamp.json")["outputs"]
    return {name: file["sha256"] for name, file in made.items()}


def phones_of(exp: Path, labels: np.ndarray) -> np.ndarray:
    pdfs = np.load(exp / "align" / "pdfs.npy")
    phone = np.full(pdfs.max() + 1, -1)
    for number in range(pdfs.shape[1]):
        phone[pdfs[:, number]] = number
    return phone[labels]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_labels_find_the_phones(finished: tuple[Path, dict[str, np.ndarray]], split: str) -> None:
    exp, truths = finished
    labels = load_labels(exp / "align" / split)
    assert len(labels) == len(truths[split])
    assert np.mean(phones_of(exp, labels) == truths[split]) > 0.9


def test_what_stands_beside_the_labels(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    exp, truths = finished
    folder = exp / "align"
    pdfs = np.load(folder / "pdfs.npy")
    label_set = read_json(folder / "label_set.json")
    report = read_json(folder / "report.json")
    assert pdfs.shape == (len(PHONES), len(PHONES), 3) and pdfs.dtype == np.int32
    assert label_set["num_pdfs"] == pdfs.max() + 1 == 3 * len(PHONES) + 4
    assert label_set["phones"] == PHONES
    prior = np.load(folder / "prior.npy")
    counts = np.bincount(load_labels(folder / "train"), minlength=len(prior))
    assert prior.sum() == pytest.approx(1)
    assert (prior > 0).all()
    assert (prior[counts == 0] < prior[counts > 0].min()).all()
    assert np.allclose(prior[counts > 0] / prior[counts > 0].sum(), counts[counts > 0] / counts.sum())
    loop = np.load(folder / "self_loop.npy")
    assert loop.dtype == np.float32 and loop.shape == prior.shape
    assert (loop >= 0.05).all() and (loop <= 0.95).all()
    silence = np.mean(truths["train"] == 0)
    assert report["train"]["silence"] == pytest.approx(silence, abs=0.05)
    likelihoods = [p["log_likelihood"] for p in report["passes"]]
    assert likelihoods[7] > likelihoods[0]
    assert report["train"]["log_likelihood"] > likelihoods[8]


def by_jobs(exp: Path, folder: Path, jobs: int) -> dict[str, str]:
    """The outputs of an alignment in `folder`, whose shards are several."""
    for part in ("data", "features", "lang"):
        shutil.copytree(exp / part, folder / part)
    align_corpus(folder, small_config(jobs))
    return outputs(folder)


def test_two_jobs_give_what_one_gives(
    finished: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "SHARD", 500)
    exp, _ = finished
    assert by_jobs(exp, tmp_path / "two", 2) == by_jobs(exp, tmp_path / "one", 1)


ALIGN = """
import sys
from pathlib import Path
from asrkd.align import passes
from asrkd.align.prepare import align_corpus
from asrkd.settings import load_config
passes.SHARD = 500
align_corpus(Path(sys.argv[1]), load_config(Path(sys.argv[1]) / "config.yaml"))
"""


@pytest.mark.long
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_the_engines_align_alike(
    engine: str, finished: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "SHARD", 500)
    exp, _ = finished
    alone = by_jobs(exp, tmp_path / "one", 1)
    folder, config = tmp_path / engine, small_config(jobs=2)
    config.run.engine = engine
    for part in ("data", "features", "lang"):
        shutil.copytree(exp / part, folder / part)
    save_config(config, folder / "config.yaml")
    with cluster(engine, tmp_path) as (variable, address):
        environment = {**os.environ, variable: address, "RAY_USAGE_STATS_ENABLED": "0"}
        subprocess.run([sys.executable, "-c", ALIGN, str(folder)], check=True, env=environment)
    assert outputs(folder) == alone


@pytest.mark.parametrize("killed_at", [3, 9])
def test_killed_and_resumed_gives_the_same(
    finished: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    exp, _ = finished
    for part in ("data", "features", "lang"):
        shutil.copytree(exp / part, tmp_path / part)
    whole = asrkd.align.train._update
    passes: list[int] = []

    def until_killed(*args: object) -> object:
        if len(passes) == killed_at:
            raise KeyboardInterrupt
        passes.append(len(passes))
        return whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(asrkd.align.train, "_update", until_killed)
    with pytest.raises(KeyboardInterrupt):
        align_corpus(tmp_path, small_config())
    resumed: list[int] = []

    def counted(*args: object) -> object:
        resumed.append(len(resumed))
        return whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(asrkd.align.train, "_update", counted)
    align_corpus(tmp_path, small_config())
    assert len(resumed) == 12 - killed_at
    assert outputs(tmp_path) == outputs(exp)


def test_finished_is_skipped(finished: tuple[Path, dict[str, np.ndarray]], capsys: pytest.CaptureFixture[str]) -> None:
    align_corpus(finished[0], small_config())
    assert "skipped" in capsys.readouterr().out


def test_another_split_gets_the_same_labels(finished: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    exp, _ = finished
    align_split(exp, exp / "features" / "test", exp / "data" / "test.jsonl.gz", tmp_path / "again", small_config())
    assert (load_labels(tmp_path / "again") == load_labels(exp / "align" / "test")).all()
    assert read_json(tmp_path / "again" / "stamp.json")["state"] == "finished"


def test_too_short_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truths = make_experiment(tmp_path, too_short=2)
    config = small_config()
    config.align.monophone_passes, config.align.tied_passes = 4, 1
    with pytest.raises(UserError, match=r"2 of 62 utterances.*short-0: 5 frames.*data\.max_left_out"):
        align_corpus(tmp_path, config)
    config.data.max_left_out = 0.1
    align_corpus(tmp_path, config)
    assert [row["id"] for row in read_jsonl(tmp_path / "align" / "train" / "left_out.jsonl")] == ["short-0", "short-1"]
    labels = load_labels(tmp_path / "align" / "train")
    assert ((labels == NO_LABEL) == (truths["train"] == -1)).all()
    assert np.load(tmp_path / "align" / "prior.npy").sum() == pytest.approx(1)


def test_nothing_long_enough(tmp_path: Path) -> None:
    make_experiment(tmp_path)
    short = [(f"train-{number:03d}", "speaker", np.zeros((5, MEL), np.float16)) for number in range(60)]
    write_store(tmp_path / "features" / "train", short, num_mel=MEL, dtype="float16")
    Step(tmp_path / "features" / "train", made_by="stage 1", config={}, inputs={}).finish(["frames.npy"])
    config = small_config()
    config.data.max_left_out = 1.0
    with pytest.raises(UserError, match="expected utterances of three frames or more for each phone"):
        align_corpus(tmp_path, config)


def test_errors_name_what_to_do(finished: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage 0"):
        align_corpus(tmp_path, small_config())
    with pytest.raises(UserError, match=r"labels\.npy.*stage 3"):
        load_labels(tmp_path)
    for part in ("data", "features", "lang"):
        shutil.copytree(finished[0] / part, tmp_path / "exp" / part)
    config = small_config()
    config.align.num_pdfs = 10
    with pytest.raises(UserError, match=r"align\.num_pdfs=10: expected at least 18"):
        align_corpus(tmp_path / "exp", config)


def test_unknown_words_are_noise(finished: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    exp, _ = finished
    rows, texts, _ = speech(7, 1, "new-")
    name, speaker, frames = rows[0]
    step = Step(tmp_path / "features", made_by="stage 1", config={}, inputs={})
    step.begin()
    write_store(tmp_path / "features", [(name, speaker, frames)], num_mel=MEL, dtype="float16")
    step.finish(["frames.npy", "utterances.jsonl"])
    text = texts[name].split()
    text[0] = "ZEBRA"
    write_cuts(tmp_path / "cuts.jsonl.gz", [make_cut(name, Path("x.wav"), 16000, 16000, speaker, " ".join(text))])
    align_split(exp, tmp_path / "features", tmp_path / "cuts.jsonl.gz", tmp_path / "labels", small_config())
    phones = phones_of(exp, load_labels(tmp_path / "labels"))
    assert PHONES.index("SPN") in phones


def test_observations_against_a_plain_loop() -> None:
    from scipy.fft import dct

    rng = np.random.default_rng(0)
    mel = rng.normal(size=(11, MEL)).astype(np.float16)
    first, last = np.repeat([0, 4], [4, 7]), np.repeat([3, 10], [4, 7])
    found = observations(mel, first, last).numpy()
    for low, high in [(0, 4), (4, 11)]:
        values = dct(mel[low:high].astype(np.float64), type=2, norm="ortho")[:, :13]
        for order in range(3):
            assert np.allclose(found[low:high, 13 * order : 13 * (order + 1)], values, atol=1e-4)
            ends = len(values) - 1
            values = np.array(
                [
                    sum(k * (values[min(t + k, ends)] - values[max(t - k, 0)]) for k in (1, 2)) / 10
                    for t in range(len(values))
                ]
            )


def test_tree_is_readable(finished: tuple[Path, dict[str, np.ndarray]]) -> None:
    tree = json.loads((finished[0] / "align" / "tree.json").read_text())
    assert len(tree["roots"]) == 3 * len(PHONES)
    assert [root["phone"] for root in tree["roots"][::3]] == PHONES
