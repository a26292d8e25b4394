"""Words in the experiment with members, on the tiny corpus with a graph: WER against jiwer's, and what is decoded."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest

from asrkd.config import Config
from asrkd.corpus.cuts import make_cut, read_cuts, write_cuts
from asrkd.decode.graph import build_graph
from asrkd.decode.prepare import decode_each, decoding_inputs, run_systems
from asrkd.decode.scales import read_scales
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.experiments.members import vary_members
from asrkd.experiments.result import Options
from asrkd.features.store import FrameStore
from asrkd.files import read_json, read_jsonl
from asrkd.systems import systems

QUICK = Options(quick=True)
PHONES, WORDS = ["SIL", "SPN", "X", "Y"], ["A", "B", "C"]
NAMES = [f"quick/members/{kind}-of-{count}" for kind in ("ensemble", "student") for count in (1, 2)]


@pytest.fixture
def config(config: Config) -> Config:
    config.decode.decoder = "kaldi"  # in this process
    config.decode.acoustic_scale = 1.0
    config.decode.lm_scales, config.decode.insertion_penalties = [0.5, 1.0], [0.0, 2.0]
    return config


@pytest.fixture
def decodable(exp: Path, config: Config, tmp_path: Path) -> Path:
    """The tiny experiment with transcripts that its random states have nothing to do with, and stage 8."""
    folder = Path(shutil.copytree(exp, tmp_path / "exp"))
    for made in ("experiments", "models/quick"):  # of other tests
        shutil.rmtree(folder / made, ignore_errors=True)
    draw = np.random.default_rng(0)
    np.save(folder / "align" / "pdfs.npy", np.broadcast_to(np.arange(12).reshape(4, 3) % 5, (4, 4, 3)))
    np.save(folder / "align" / "prior.npy", np.full(5, 0.2, dtype=np.float32))
    data = Step(folder / "data", made_by="stage 0", config={}, inputs={})
    data.begin()
    for split in ("dev", "test"):
        names = FrameStore.open(folder / "features" / split).ids
        texts = [" ".join(draw.choice(WORDS, size=draw.integers(1, 6))) for _ in names]
        cuts = [
            make_cut(name, Path("x.wav"), 16000, 16000, "speaker", text)
            for name, text in zip(names, texts, strict=True)
        ]
        write_cuts(data.folder / f"{split}.jsonl.gz", cuts)
    data.finish(["dev.jsonl.gz", "test.jsonl.gz"])
    lang = Step(folder / "lang", made_by="stage 2", config={}, inputs={})
    lang.begin()
    unigrams = "".join(f"-0.6\t{word}\t-0.2\n" for word in WORDS)
    files = {
        "lm.arpa": f"\\data\\\nngram 1=5\n\n\\1-grams:\n-99\t<s>\t-0.1\n-0.6\t</s>\n{unigrams}\n\\end\\\n",
        "phones.txt": "\n".join(PHONES) + "\n",
        "vocabulary.txt": "\n".join(WORDS) + "\n",
        "lexicon.txt": "A X\nB X Y\nC Y\n<UNK> SPN\n",
    }
    for name, text in files.items():
        (lang.folder / name).write_text(text)
    lang.finish(files)
    build_graph(folder, config)
    return folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the systems that are decoded from here on."""
    names: list[str] = []

    def spy(function: Any, jobs: Sequence[tuple[Any, ...]], *arguments: Any, **named: Any) -> None:
        names.extend(system.name for _, _, system, _ in jobs)
        run_systems(function, jobs, *arguments, **named)

    monkeypatch.setattr("asrkd.decode.prepare.run_systems", spy)
    return names


def found(exp: Path) -> dict[str, Any]:
    return dict(read_json(exp / "experiments" / "quick" / "members.json"))


def rates(exp: Path) -> dict[str, dict[str, float]]:
    """Of the result's rows: system -> split -> WER."""
    return {
        f"{kind}-of-{row['members']}": {split: row[f"{kind}_{split}"]["wer"] for split in ("dev", "test")}
        for row in found(exp)["rows"][:2]
        for kind in ("ensemble", "student")
    }


def by_jiwer(exp: Path, system: str, split: str) -> float:
    """Percent, of the hypotheses that lie under EXP/decode."""
    said = {cut.id: cut.supervisions[0].text for cut in read_cuts(exp / "data" / f"{split}.jsonl.gz")}
    rows = read_jsonl(exp / "decode" / system / split / "hypotheses.jsonl")
    assert [row["id"] for row in rows] == list(said)
    return 100 * float(jiwer.wer(list(said.values()), [row["text"] for row in rows]))


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_word_errors_are_jiwers_and_nothing_is_decoded_twice(
    decodable: Path, config: Config, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after a kill once all is decoded.
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("asrkd.experiments.words.word_errors", stopped)
        vary_members(decodable, config, QUICK)
    assert sorted(decoded) == NAMES and not (decodable / "experiments").exists()
    decoded.clear()
    vary_members(decodable, config, QUICK)
    assert decoded == []
    for name, by_split in rates(decodable).items():
        for split, rate in by_split.items():
            assert rate == pytest.approx(by_jiwer(decodable, f"quick/members/{name}", split), abs=1e-9)
    assert len({tuple(by_split.values()) for by_split in rates(decodable).values()}) > 1
    for name in NAMES:
        dev, test = (decodable / "decode" / name / split for split in ("dev", "test"))
        assert read_scales(dev) == read_scales(test)
        grid = [point["wer"] for point in read_json(dev / "scales.json")["grid"]]
        assert len(grid) == 4 and min(grid) == pytest.approx(by_jiwer(decodable, name, "dev") / 100, abs=1e-5)
    table = found(decodable)["tables"][0]
    assert table["columns"][-2:] == ["WER ensemble test", "student test"]
    told = [[f"{rates(decodable)[f'{kind}-of-{n}']['test']:.1f}" for kind in ("ensemble", "student")] for n in (1, 2)]
    assert [row[-2:] for row in table["rows"]] == told
    assert any("lowest WER on dev" in note for note in table["notes"])

    # Another grid on dev makes it stale, force makes all of it anew.
    config.decode.lm_scales = [1.0]
    for options in (QUICK, Options(quick=True, force=True)):
        vary_members(decodable, config, options)
        assert sorted(decoded) == NAMES
        decoded.clear()
    assert found(decodable)["made_from"]["config"]["decode"]["lm_scales"] == [1.0]


def test_what_stage_9_has_decoded_is_taken(decodable: Path, config: Config, decoded: list[str]) -> None:
    own = [system for system in systems(config) if system.name in ("member-01", "ensemble")]
    decode_each(decodable, config, own, decoding_inputs(decodable), "stage 9", force=False)
    decoded.clear()
    vary_members(decodable, config, QUICK)
    assert sorted(decoded) == NAMES[2:]
    for name, theirs in (("ensemble-of-1", "member-01"), ("ensemble-of-2", "ensemble")):
        for split in ("dev", "test"):
            assert rates(decodable)[name][split] == pytest.approx(by_jiwer(decodable, theirs, split), abs=1e-9)
    # Not where it was decoded otherwise than it would be now.
    config.decode.search_beam = 8.0
    decoded.clear()
    vary_members(decodable, config, QUICK)
    assert sorted(decoded) == NAMES


def test_words_come_with_the_graph(decodable: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    graph = decodable / "graph"
    graph.rename(decodable / "later")
    vary_members(decodable, config, QUICK)
    assert "No WER: there was no decoding graph; run stage 8" in capsys.readouterr().out
    first = found(decodable)
    assert "wer" not in first["rows"][0]["ensemble_test"] and not (decodable / "decode").exists()
    (decodable / "later").rename(graph)
    vary_members(decodable, config, QUICK)
    printed = capsys.readouterr().out
    assert "epoch 1:" not in printed and "No WER" not in printed
    for before, row in zip(first["rows"][:2], found(decodable)["rows"][:2], strict=True):
        for part in ("ensemble_dev", "student_test"):
            assert {**before[part], "wer": row[part]["wer"]} == row[part]
    (graph / "arcs.npy").unlink()
    with pytest.raises(UserError, match=r"graph/arcs\.npy: missing or altered since stage 8"):
        vary_members(decodable, config, QUICK)
