"""Stages 8 and 9 on a made-up experiment: two systems, one of them an ensemble, through k2."""

import json
import shutil
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import torch

from asrkd.config import Config, RunConfig
from asrkd.corpus.cuts import make_cut, write_cuts
from asrkd.decode.graph import build_graph
from asrkd.decode.interpreter import run_under_k2, run_with
from asrkd.decode.prepare import decode_systems, run_systems
from asrkd.decode.scales import read_scales
from asrkd.decode.split import decode_split, load_models, prior
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.features.store import FrameStore, write_store
from asrkd.files import read_json, read_jsonl
from asrkd.models.dnn import AcousticModel, save_model
from asrkd.parallel import parallel
from asrkd.systems import systems
from asrkd.train.forward import log_posteriors

PHONES = ["SIL", "SPN", "X", "Y"]
WORDS = ["A", "B", "C"]
LENGTHS = {"dev": {"dev-1": 40, "dev-2": 25}, "test": {"test-1": 30, "test-short": 2, "test-2": 50}}
TEXTS = {"dev-1": "A B c", "dev-2": "C", "test-1": "A", "test-short": "B", "test-2": "B B"}


def finished(folder: Path, made_by: str, files: dict[str, Any]) -> None:
    step = Step(folder, made_by=made_by, config={}, inputs={})
    assert step.begin()
    for name, content in files.items():
        if isinstance(content, str):
            (folder / name).write_text(content)
        else:
            np.save(folder / name, content)
    step.finish(files)


def small_config() -> Config:
    config = Config()
    config.model.hidden_layers, config.model.hidden_size = 1, 8
    config.ensemble.members = 1
    config.distill.temperatures, config.limited.shares = [], []
    config.decode.lm_scales, config.decode.insertion_penalties = [0.5, 1.0], [-1.0, 0.0, 2.0]
    config.decode.acoustic_scale = 1.0
    config.run.jobs = 1
    config.train.precision = "float32"  # on every processor, for what is compared with it
    return config


@pytest.fixture(scope="module")
def exp(tmp_path_factory: pytest.TempPathFactory, k2_found: None) -> Path:
    exp = tmp_path_factory.mktemp("exp")
    config = small_config()
    draw = np.random.default_rng(0)
    unigrams = "".join(f"-0.6\t{word}\t-0.2\n" for word in WORDS)
    lang = {
        "lm.arpa": f"\\data\\\nngram 1=5\n\n\\1-grams:\n-99\t<s>\t-0.1\n-0.6\t</s>\n{unigrams}\n\\end\\\n",
        "phones.txt": "\n".join(PHONES) + "\n",
        "vocabulary.txt": "\n".join(WORDS) + "\n",
        "lexicon.txt": "A X\nB X Y\nC Y\nNOT-IN-VOCABULARY Y Y\n<UNK> SPN\n",
    }
    finished(exp / "lang", "stage 2", lang)
    pdfs = np.broadcast_to(np.arange(12).reshape(4, 3), (4, 4, 3))
    finished(exp / "align", "stage 3", {"pdfs.npy": pdfs, "prior.npy": draw.dirichlet(np.ones(12)).astype(np.float32)})
    for split, lengths in LENGTHS.items():
        step = Step(exp / "features" / split, made_by="stage 1", config={}, inputs={})
        step.begin()
        frames = [(name, "speaker", draw.normal(size=(length, 5))) for name, length in lengths.items()]
        write_store(step.folder, frames, num_mel=5, dtype="float32")
        step.finish(["frames.npy", "utterances.jsonl"])
    data = Step(exp / "data", made_by="stage 0", config={}, inputs={})
    data.begin()
    for split, lengths in LENGTHS.items():
        cuts = [make_cut(name, Path("x.wav"), 16000, 16000, "speaker", TEXTS[name]) for name in lengths]
        write_cuts(exp / "data" / f"{split}.jsonl.gz", cuts)
    data.finish(["dev.jsonl.gz", "test.jsonl.gz"])
    torch.manual_seed(0)
    model = Step(exp / "models" / "member-01", made_by="stage 4", config={}, inputs={})
    model.begin()
    save_model(model.folder, AcousticModel(5, 12, config.model), {})
    model.finish(["model.safetensors", "card.json"])
    build_graph(exp, config)
    decode_systems(exp, config)
    return exp


def test_every_utterance_has_a_hypothesis(exp: Path) -> None:
    for system in ("member-01", "ensemble"):
        for split, lengths in LENGTHS.items():
            rows = read_jsonl(exp / "decode" / system / split / "hypotheses.jsonl")
            assert [row["id"] for row in rows] == list(lengths)
            assert {word for row in rows for word in row["text"].split()} <= set(WORDS)
    # An ensemble of one is that one.
    texts = [
        (exp / "decode" / system / "test" / "hypotheses.jsonl").read_text() for system in ("member-01", "ensemble")
    ]
    assert texts[0] == texts[1]


def test_the_scales_are_those_of_the_lowest_wer_on_dev(exp: Path) -> None:
    dev = read_json(exp / "decode" / "member-01" / "dev" / "scales.json")
    rows = read_jsonl(exp / "decode" / "member-01" / "dev" / "hypotheses.jsonl")
    wer = jiwer.wer([TEXTS[row["id"]].upper() for row in rows], [row["text"] for row in rows])
    assert dev["wer"] == pytest.approx(wer, abs=1e-4)
    assert dev["wer"] == min(point["wer"] for point in dev["grid"])
    assert len(dev["grid"]) == 6
    assert read_scales(exp / "decode" / "member-01" / "test") == read_scales(exp / "decode" / "member-01" / "dev")


def test_an_utterance_without_a_path_is_reported(exp: Path) -> None:
    report = read_json(exp / "decode" / "member-01" / "test" / "report.json")
    assert report["without_path"] == ["test-short"]
    assert report["utterances"] == 3
    assert report["audio_seconds"] == pytest.approx(0.82)
    rows = {row["id"]: row["text"] for row in read_jsonl(exp / "decode" / "member-01" / "test" / "hypotheses.jsonl")}
    assert rows["test-short"] == ""
    assert all(rows[name] for name in ("test-1", "test-2"))


def test_nothing_is_left_behind_and_nothing_done_twice(exp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not list(exp.rglob("work")) and not list(exp.rglob("job.json"))
    build_graph(exp, small_config())
    decode_systems(exp, small_config())
    assert capsys.readouterr().out.count("finished, skipped") == 3


def test_kaldis_graph_and_decoder_give_the_same_words(exp: Path, tmp_path: Path) -> None:
    for part in ("lang", "align", "features", "data", "models"):
        shutil.copytree(exp / part, tmp_path / part)
    config = small_config()
    config.decode.decoder = "kaldi"
    build_graph(tmp_path, config)
    decode_systems(tmp_path, config)
    assert read_json(tmp_path / "graph" / "report.json")["built_by"] == "kaldifst"
    for split in LENGTHS:
        paths = [root / "decode" / "member-01" / split / "hypotheses.jsonl" for root in (exp, tmp_path)]
        assert paths[0].read_text() == paths[1].read_text()
    report = read_json(tmp_path / "decode" / "member-01" / "test" / "report.json")
    assert report["without_path"] == ["test-short"]


def decoded(exp: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, np.ndarray]]:
    """The test set decoded into `folder`; the log-likelihoods that each search found, and their file."""
    config, searched = small_config(), []

    def run(decoder: str, what: str, job: Path) -> None:
        loglikes = Path(read_json(job)["loglikes"])
        searched.append((loglikes, np.load(loglikes)))
        run_with(decoder, what, job)

    monkeypatch.setattr("asrkd.decode.blocks.run_with", run)
    models = load_models(exp, next(s for s in systems(config) if s.name == "member-01"), config)
    scales = read_scales(exp / "decode" / "member-01" / "dev")
    decode_split(exp, config, models, exp / "features" / "test", folder, scales=scales, what="test")
    return searched


def test_loglikes_are_posterior_over_prior(exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, found),) = decoded(exp, tmp_path, monkeypatch)
    models = load_models(exp, systems(small_config())[0], small_config())
    store = FrameStore.open(exp / "features" / "test")
    posteriors = np.concatenate([p.exp().numpy() for _, p in log_posteriors(models, store, precision="float32")])
    np.testing.assert_allclose(found, np.log(posteriors / np.load(exp / "align" / "prior.npy")), atol=1e-4)


def test_blocks_bound_the_disk_and_change_no_result(exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, whole),) = decoded(exp, tmp_path / "whole", monkeypatch)
    bound = 40 * 12 * 4  # 40 frames of 12 pdfs: the utterances of 30 and 2 frames together, that of 50 alone
    monkeypatch.setattr("asrkd.decode.blocks.BLOCK_BYTES", bound)
    blocks = decoded(exp, tmp_path / "blocks", monkeypatch)
    assert [len(loglikes) for _, loglikes in blocks] == [32, 50]
    np.testing.assert_array_equal(np.concatenate([loglikes for _, loglikes in blocks]), whole)
    assert not any(file.exists() for file, _ in blocks)
    hypotheses = [(tmp_path / name / "hypotheses.jsonl").read_bytes() for name in ("whole", "blocks")]
    assert hypotheses[0] == hypotheses[1] == (exp / "decode" / "member-01" / "test" / "hypotheses.jsonl").read_bytes()
    one, several = (read_json(tmp_path / name / "report.json") for name in ("whole", "blocks"))
    for key in one:
        if key == "lattice_arcs_a_frame":
            assert several[key] == pytest.approx(one[key], abs=0.11)
        elif "search" not in key and "seconds" not in key:
            assert several[key] == one[key]
    assert several["without_path"] == ["test-short"] and several["audio_seconds"] == 0.82


def test_utterances_are_shared_among_searches(exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[int] = []

    def spy(function: Any, jobs: list[tuple[Any, ...]], *arguments: Any, **named: Any) -> None:
        searches.append(len(jobs))
        parallel(function, jobs, *arguments, **named)

    monkeypatch.setattr("asrkd.decode.blocks.parallel", spy)
    config = small_config()
    config.decode.decoder = "kaldi"
    models = load_models(exp, systems(config)[0], config)
    scales = read_scales(exp / "decode" / "member-01" / "dev")
    features = exp / "features" / "test"
    for folder, run in (("whole", None), ("shared", RunConfig(jobs=4))):
        decode_split(exp, config, models, features, tmp_path / folder, scales=scales, what="test", run=run)
    # Of its 82 frames the first utterance begins in the first quarter, the others, at 30 and 32, in the second.
    assert searches == [1, 2]
    hypotheses = [(tmp_path / name / "hypotheses.jsonl").read_bytes() for name in ("whole", "shared")]
    assert hypotheses[0] == hypotheses[1]
    whole, shared = (read_json(tmp_path / name / "report.json") for name in ("whole", "shared"))
    for key in ("utterances", "frames", "without_path", "decoded_with_a_wider_beam", "audio_seconds"):
        assert shared[key] == whole[key]


def test_a_process_a_system_or_all_for_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[int, int, int]] = []

    def spy(function: Any, jobs: list[tuple[Any, ...]], run: RunConfig, **_: Any) -> None:
        called.append((len(jobs), jobs[0][-1].jobs, run.jobs))

    monkeypatch.setattr("asrkd.decode.prepare.parallel", spy)
    run_systems(print, [("a",), ("b",)], RunConfig(jobs=3), what="decoding")
    run_systems(print, [("a",), ("b",)], RunConfig(jobs=4), what="decoding")
    assert called == [(2, 1, 3), (1, 4, 4), (1, 4, 4)]


def test_models_of_other_pdfs_are_refused(exp: Path, tmp_path: Path) -> None:
    model = AcousticModel(5, 13, small_config().model)
    with pytest.raises(UserError, match="expected models of the alignment's 12 pdfs, found 13; train them again"):
        decode_split(exp, small_config(), [model], exp / "features" / "test", tmp_path, what="test")


def test_posteriors_and_priors_that_are_no_numbers_are_refused(exp: Path, tmp_path: Path) -> None:
    """k2 would take such an utterance for one without a path."""
    model = AcousticModel(5, 12, small_config().model)
    with torch.no_grad():
        next(model.parameters())[0, 0] = torch.nan
    with pytest.raises(UserError, match="test-1: expected finite log-likelihoods, found nan or inf; "):
        decode_split(exp, small_config(), [model], exp / "features" / "test", tmp_path, what="test")
    (tmp_path / "align").mkdir()
    np.save(tmp_path / "align" / "prior.npy", np.array([0.5, np.nan], dtype=np.float32))
    with pytest.raises(UserError, match="prior.npy: expected a probability above 0 for each pdf"):
        prior(tmp_path)


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage 2 makes it"):
        build_graph(tmp_path, small_config())
    with pytest.raises(UserError, match="stage 0 makes it"):
        decode_systems(tmp_path, small_config())


def test_pdfs_of_other_phones_are_refused(exp: Path, tmp_path: Path) -> None:
    lang = exp / "lang"
    np.save(tmp_path / "pdfs.npy", np.zeros((3, 3, 3), dtype=np.int32))
    job = {"pdfs": tmp_path / "pdfs.npy", "phones": lang / "phones.txt", "vocabulary": lang / "vocabulary.txt"}
    (tmp_path / "job.json").write_text(json.dumps({name: str(path) for name, path in job.items()}))
    with pytest.raises(UserError, match=r"expected pdfs of the 4 phones .*, found \(3, 3, 3\); run stage 3 again"):
        run_under_k2("asrkd.decode.hlg", [str(tmp_path / "job.json")])
