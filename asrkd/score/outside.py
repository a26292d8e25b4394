"""Words outside the vocabulary: how many of a split there are, and how many a system hears all the same.

A recogniser of words hears none of them; one whose language model is of pieces of words can.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from asrkd.config import Config
from asrkd.corpus.cuts import read_cuts
from asrkd.errors import UserError
from asrkd.files import read_jsonl
from asrkd.lang.coverage import SHOWN, percent, transcripts
from asrkd.lang.models import lm_texts, sources_of
from asrkd.lang.vocabulary import read_vocabulary
from asrkd.score.wer import normalised, score_texts
from asrkd.systems import System, systems

SPLITS = ("dev", "test")


@dataclass(frozen=True)
class Outside:
    words: int  # of the references
    outside: int  # of them that the vocabulary does not have, each as often as it is said
    heard: Counter[str]  # which of those the alignment finds right, and how often


def outside_vocabulary(
    references: Mapping[str, str], hypotheses: Mapping[str, str], vocabulary: Collection[str]
) -> Outside:
    """Both texts are utterance id -> text; all are compared as they are scored, in capitals and NFC.

    Raises UserError when a hypothesis has no reference, or when the references have no word.
    """
    known = set(map(normalised, vocabulary))
    errors = score_texts(references, hypotheses, dict.fromkeys(references, ""))
    outside, heard = 0, Counter[str]()
    for name, alignment in zip(errors.ids, errors.alignments, strict=True):
        codes = alignment.replace("I", "")  # one for each word of the reference
        for word, code in zip(normalised(references[name]).split(), codes, strict=True):
            outside += word not in known
            heard[word] += word not in known and code == "C"
    return Outside(int(errors.words.sum()), outside, +heard)


def show_outside(exp: Path, config: Config, vocabulary: Path | None = None) -> None:
    """Print it of dev and test for every system that stage 9 has decoded.

    vocabulary: a file of a word a line; None is EXP/lang/vocabulary.txt, and where that is of pieces, the words of
    the texts that the language model of pieces was estimated from. Raises UserError when no system is decoded or a
    file cannot be read.
    """
    paths_of = {split: [(s.label, _hypotheses(exp, s, split)) for s in systems(config)] for split in SPLITS}
    decoded = {split: [pair for pair in pairs if pair[1].is_file()] for split, pairs in paths_of.items()}
    if not any(decoded.values()):
        raise UserError(f"{exp / 'decode'}: expected a decoded system, found none; stage 9 makes it (run.sh --stage 9)")
    what, words = _vocabulary(exp, config, vocabulary)
    for split, pairs in decoded.items():
        references = {cut.id: cut.supervisions[0].text for cut in read_cuts(exp / "data" / f"{split}.jsonl.gz")}
        for number, (label, path) in enumerate(pairs):
            found = outside_vocabulary(references, {row["id"]: row["text"] for row in read_jsonl(path)}, words)
            if number == 0:
                share = percent(found.outside, found.words)
                print(
                    f"{split}: {found.outside:,} of {found.words:,} words ({share} %) are not in {what}; of them hears"
                )
            some = ", ".join(sorted(found.heard, key=lambda word: (-found.heard[word], word))[:SHOWN])
            print(f"  {label}: {found.heard.total():,}{f' ({some})' if some else ''}", flush=True)


def _hypotheses(exp: Path, system: System, split: str) -> Path:
    return exp / "decode" / system.name / split / "hypotheses.jsonl"


def _vocabulary(exp: Path, config: Config, given: Path | None) -> tuple[str, set[str]]:
    """What it is, and its words."""
    if given is None and config.lang.lm_unit != "word":
        texts = lm_texts(config.lang, transcripts(exp / "data" / "train.jsonl.gz"))
        return f"the text of the language model ({sources_of(texts)})", {word for text in texts for word in text.counts}
    path = given or exp / "lang" / "vocabulary.txt"
    return f"the vocabulary ({path})", set(read_vocabulary(path))
