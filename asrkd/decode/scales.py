"""The scales of a system, chosen on dev by WER and kept for test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.errors import UserError
from asrkd.files import read_json

SCALES = "scales.json"
SECOND_LM = "rescore.bin"  # of stage 2, where lang.rescore_order or lang.rescore_lm asks for it


@dataclass(frozen=True)
class Point:
    """score = acoustic + lm_scale * graph - insertion_penalty * words, where a second LM takes `second_weight` of the
    first one's place in `graph`."""

    lm_scale: float
    insertion_penalty: float
    second_weight: float = 0.0


@dataclass(frozen=True)
class Scales:
    acoustic_scale: float  # of the log-likelihoods in the search
    first: Point  # of the best paths in the lattices, and of the n-best lists
    second: Point | None = None  # of the choice from the n-best list; None without a second pass


def read_scales(folder: Path) -> Scales:
    """Of a decoded split: those that its hypotheses were made with."""
    found = read_json(folder / SCALES)
    second = None if found["second"] is None else Point(**found["second"])
    return Scales(found["acoustic_scale"], Point(**found["first"]), second)


def choose(
    texts: Mapping[str, Sequence[str]], grid: Sequence[Point], references: Mapping[str, str]
) -> tuple[int, dict[str, Any]]:
    """The grid's point of the lowest WER, as stage 10 counts it, and the WER of all. Of equals, the one nearest to
    scale 1 and no penalty.

    texts: utterance id -> a text for each point of the grid. Raises UserError when the references have no word.
    """
    import jiwer  # only now: where nothing is to be decoded it is not wanted

    from asrkd.score.wer import normalised

    said = [normalised(references[name]) for name in texts]
    if not any(said):
        raise UserError(
            "dev: expected transcripts to choose the decoding scales by, found none with a word; see stage 0"
        )
    heard = [[normalised(found[point]) for found in texts.values()] for point in range(len(grid))]
    wers = [float(jiwer.wer(said, of_point)) for of_point in heard]
    best = min(range(len(grid)), key=lambda p: (wers[p], abs(grid[p].lm_scale - 1) + abs(grid[p].insertion_penalty)))
    _say_edge(grid, best)
    table = [{**vars(point), "wer": round(wer, 5)} for point, wer in zip(grid, wers, strict=True)]
    return best, {"wer": round(wers[best], 5), "grid": table}


def _say_edge(grid: Sequence[Point], best: int) -> None:
    for key, option in (("lm_scale", "lm_scales"), ("insertion_penalty", "insertion_penalties")):
        values = sorted({getattr(point, key) for point in grid})
        value = getattr(grid[best], key)
        if len(values) > 1 and value in (values[0], values[-1]) and value != 0:
            end = "lowest" if value == values[0] else "highest"
            print(f"the best of decode.{option} on dev is {value:g}, the {end} of those tried; try more", flush=True)
