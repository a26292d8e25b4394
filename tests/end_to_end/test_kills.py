"""The tone corpus with every step from features to decode killed, twenty times in all, at moments drawn by chance."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.cli import STEPS
from tests.end_to_end.test_tones import configure, identities, kill_during, run
from tests.tone_corpus import make_tone_corpus

KILLS = 20
SEED = 1
KILLED = list(STEPS)[list(STEPS).index("features") : list(STEPS).index("decode") + 1]


def moments(seconds: dict[str, float], kills: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """Seconds after a call's start at which to kill it, by step: as many in a step as its share of the time gives."""
    steps = list(seconds)
    share = np.array([seconds[step] for step in steps])
    drawn: dict[str, list[float]] = {step: [] for step in steps}
    for step in rng.choice(steps, size=kills, p=share / share.sum()):
        drawn[str(step)].append(float(rng.uniform(0, seconds[str(step)])))
    return drawn


@pytest.mark.long
def test_twenty_kills_at_random_moments_end_the_same(tmp_path: Path) -> None:
    corpus: dict[str, Any] = make_tone_corpus(tmp_path / "corpus")
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    configure(undisturbed, corpus)
    seconds = {}
    for step in STEPS:
        begun = time.monotonic()
        run(undisturbed, step)
        seconds[step] = time.monotonic() - begun
    configure(disturbed, corpus)
    drawn = moments({step: seconds[step] for step in KILLED}, KILLS, np.random.default_rng(SEED))
    for step in STEPS:
        for moment in drawn.get(step, []):
            kill_during(disturbed, step, moment)
        run(disturbed, step)
    assert identities(disturbed) == identities(undisturbed)
