"""Words outside the vocabulary that are heard, counted by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
from lhotse import CutSet, MonoCut, SupervisionSegment

from asrkd.config import Config, LangConfig
from asrkd.corpus.cuts import SPLITS, write_cuts
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.files import write_jsonl
from asrkd.score.outside import outside_vocabulary, show_outside

SAID = {"1": "the OWL saw an owl", "2": "no owl saw the EMU", "3": "an emu"}
HEARD = {"1": "the owl saw uh an eagle", "2": "owl saw an emu"}


def test_by_hand() -> None:
    # Not in the vocabulary: owl twice and once, emu once and once. Heard: the first owl, that of 2, the first emu.
    found = outside_vocabulary(SAID, HEARD, ["The", "saw", "an", "no"])
    assert (found.words, found.outside, found.heard) == (12, 5, {"OWL": 2, "EMU": 1})


def test_a_word_heard_in_another_place_is_not_right() -> None:
    found = outside_vocabulary({"1": "a b c d owl"}, {"1": "owl a b c d"}, ["a", "b", "c", "d"])
    assert (found.outside, found.heard) == (1, {})


def test_against_a_count_word_by_word_where_nothing_is_inserted_or_left_out() -> None:
    said = {str(u): " ".join(f"w{(u * u + 3 * place) % 17}" for place in range(9)) for u in range(30)}
    heard = {
        u: " ".join(w if (len(u) + n) % 4 else "x" for n, w in enumerate(text.split())) for u, text in said.items()
    }
    known = [f"w{n}" for n in range(0, 17, 2)]
    pairs = [p for u in said for p in zip(said[u].split(), heard[u].split(), strict=True) if p[0] not in known]
    found = outside_vocabulary(said, heard, known)
    assert found.outside == len(pairs) and found.heard.total() == sum(ours == theirs for ours, theirs in pairs)


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    """Two members and the ensemble, of which member 1 is decoded on both sets and the ensemble on dev alone."""
    (tmp_path / "config.yaml").write_text("ensemble: {members: 2}\nlimited: {shares: []}\n")
    data = Step(tmp_path / "data", made_by="stage 0", config={}, inputs={})
    data.begin()
    for split in SPLITS:
        cuts = [
            MonoCut(name, 0, 1, 0, [SupervisionSegment(name, name, 0, 1, text=text.upper(), speaker="s")])
            for name, text in ({"1": "SAW EMU"} if split == "train" else SAID).items()
        ]
        write_cuts(data.folder / f"{split}.jsonl.gz", CutSet.from_cuts(cuts))
    data.finish([f"{split}.jsonl.gz" for split in SPLITS])
    (tmp_path / "lang").mkdir()
    (tmp_path / "lang" / "vocabulary.txt").write_text("AN\nNO\nSAW\nTHE\n")
    for system, splits in {"member-01": ("dev", "test"), "ensemble": ("dev",)}.items():
        for split in splits:
            folder = tmp_path / "decode" / system / split
            folder.mkdir(parents=True)
            write_jsonl(folder / "hypotheses.jsonl", ({"id": name, "text": text} for name, text in HEARD.items()))
    return tmp_path


def config(**lang: object) -> Config:
    made = Config(lang=LangConfig(**lang))  # type: ignore[arg-type]
    made.ensemble.members, made.limited.shares = 2, []
    return made


def test_every_decoded_system_is_printed(exp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_outside(exp, config())
    own = exp / "lang" / "vocabulary.txt"
    assert capsys.readouterr().out.splitlines() == [
        f"dev: 5 of 12 words (41.67 %) are not in the vocabulary ({own}); of them hears",
        "  member 1: 3 (OWL, EMU)",
        "  ensemble of 2: 3 (OWL, EMU)",
        f"test: 5 of 12 words (41.67 %) are not in the vocabulary ({own}); of them hears",
        "  member 1: 3 (OWL, EMU)",
    ]


def test_pieces_are_counted_against_the_words_of_their_texts(exp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (exp / "lang" / "vocabulary.txt").write_text("\u2581O\nW\nL\n")  # pieces, which are no words
    (exp / "text").write_text("NO OWL\nAN\n")
    (exp / "more").write_text("SAW\n")
    show_outside(exp, config(lm_unit="bpe:30", lm_text=str(exp / "text"), more_lm_texts=[str(exp / "more")]))
    lines = capsys.readouterr().out.splitlines()  # outside: THE and EMU, each twice; heard: one of each
    assert lines[0].startswith(
        f"dev: 4 of 12 words (33.33 %) are not in the text of the language model ({exp / 'text'}, "
    )
    assert lines[1] == "  member 1: 2 (EMU, THE)"
    show_outside(exp, config(lm_unit="bpe:30"))  # of the training transcripts, SAW EMU
    assert (
        "dev: 8 of 12 words (66.67 %) are not in the text of the language model (the training"
        in capsys.readouterr().out
    )


def test_another_vocabulary_may_be_named(exp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (exp / "words").write_text("OWL\n")
    show_outside(exp, config(lm_unit="bpe:30"), exp / "words")
    assert capsys.readouterr().out.startswith(
        f"dev: 9 of 12 words (75.0 %) are not in the vocabulary ({exp / 'words'})"
    )
    with pytest.raises(UserError, match="nowhere: expected a text file"):
        show_outside(exp, config(), exp / "nowhere")


def test_nothing_decoded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="decode: expected a decoded system, found none; stage 9 makes it"):
        show_outside(tmp_path, config())


def test_the_command(exp: Path) -> None:
    command = [sys.executable, "-m", "asrkd", "oov", str(exp), "--vocabulary", str(exp / "lang" / "vocabulary.txt")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "  ensemble of 2: 3 (OWL, EMU)\n" in done.stdout
