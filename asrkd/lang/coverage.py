"""How many words of the transcripts the lexicon has."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from asrkd.config import Config
from asrkd.corpus.cuts import SPLITS, read_cuts
from asrkd.experiment import identity
from asrkd.lang.lexicon import Lexicon, source_lexicon

SHOWN = 20  # words of a list


def show_coverage(exp: Path, config: Config) -> None:
    """Print for each split of stage 0 the words that the lexicon does not have, the most frequent by name.

    Raises UserError when stage 0 is missing or the lexicon is not one.
    """
    identity(exp / "data", "stage 0")
    texts = {split: transcripts(exp / "data" / f"{split}.jsonl.gz") for split in SPLITS}
    words = {split: set(words_of(text)) for split, text in texts.items()}
    lexicon = source_lexicon(config.lang, set().union(*words.values()), words["train"])
    for split, text in texts.items():
        row = coverage(text, lexicon)
        some = ", ".join(row["out_of_lexicon_words"])
        print(
            f"{split}: {row['out_of_lexicon']:,} of {row['words']:,} words ({row['out_of_lexicon_percent']} %) are not "
            f"in the lexicon ({config.lang.lexicon or 'cmudict'}){f': {some}' if some else ''}"
            f"{', ...' if row['out_of_lexicon_types'] > SHOWN else ''}",
            flush=True,
        )


def coverage(text: Iterable[str], lexicon: Lexicon) -> dict[str, Any]:
    """For the report: how often, how many and which words of the sentences the lexicon does not have."""
    counts = Counter(words_of(text))
    outside = Counter({word: count for word, count in counts.items() if word not in lexicon})
    return {
        "words": counts.total(),
        "out_of_lexicon": outside.total(),
        "out_of_lexicon_percent": percent(outside.total(), counts.total()),
        "out_of_lexicon_types": len(outside),
        "out_of_lexicon_words": sorted(outside, key=lambda word: (-outside[word], word))[:SHOWN],
    }


def transcripts(cuts: Path) -> list[str]:
    """The sentences of a cut set, with one space between words."""
    return [" ".join(cut.supervisions[0].text.split()) for cut in read_cuts(cuts)]


def words_of(text: Iterable[str]) -> Iterator[str]:
    for sentence in text:
        yield from sentence.split()


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
