"""WER on dev against the speed of the search, over the beams and limits of stage 9, each varied alone.

    python -m benchmarks.beams EXP [SYSTEM] [section.key=VALUE...]      a decoded experiment; SYSTEM is member-01

WER is that of the first pass at the best of the experiment's scales. Searches run one a core, so that a rate is that
of a busy machine.
"""

import os
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrkd.config import Config, DecodeConfig
from asrkd.corpus.cuts import read_cuts
from asrkd.decode.scales import SCALES
from asrkd.decode.split import REPORT, decode_split, load_models
from asrkd.files import read_json
from asrkd.parallel import parallel
from asrkd.settings import load_config
from asrkd.systems import systems
from benchmarks.timing import table

TRIED: dict[str, list[Any]] = {
    "search_beam": [9.0, 10.0, 11.0, 12.0, 13.0, 15.0],
    "lattice_beam": [4.0, 6.0, 8.0],
    "max_active": [1000, 2000, 4000, 7000, 14000],
    "min_active": [0, 30, 100],
}


def measure(exp: Path, config: Config, name: str) -> tuple[float, float]:
    """(WER in percent, seconds of search a second of speech)."""
    references = {cut.id: cut.supervisions[0].text for cut in read_cuts(exp / "data" / "dev.jsonl.gz")}
    models = load_models(exp, next(system for system in systems(config) if system.name == name), config)
    with tempfile.TemporaryDirectory() as temporary, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        # Without the lang folder, whose second language model would ask for a second pass.
        view = Path(temporary)
        for part in ("graph", "align"):
            (view / part).symlink_to((exp / part).resolve())
        features, folder = exp / "features" / "dev", view / "decoded"
        decode_split(view, config, models, features, folder, references=references, what=name)
        return 100 * read_json(folder / SCALES)["wer"], read_json(folder / REPORT)["search_real_time_factor"]


def variants(decode: DecodeConfig) -> list[tuple[str, DecodeConfig]]:
    changed = [
        (f"{key} {value:g}", replace(decode, **{key: value})) for key, values in TRIED.items() for value in values
    ]
    usual = ", ".join(f"{key} {getattr(decode, key):g}" for key in TRIED)
    return [(usual, decode), *((what, own) for what, own in changed if own != decode)]


def main(exp: Path, name: str, overrides: list[str]) -> None:
    config = load_config(exp / "config.yaml", overrides=overrides)
    tried = variants(config.decode)
    jobs = [(exp, replace(config, decode=decode), name) for _, decode in tried]
    found = list(parallel(measure, jobs, config.run, what="searches", unit="searches", lone=False))
    rows = [
        [what, f"{wer:.2f}", f"{wer - found[0][0]:+.2f}", f"{speed:.3f}"]
        for (what, _), (wer, speed) in zip(tried, found, strict=True)
    ]
    print(table([f"{name}, first pass", "WER dev", "change", "search, × real time"], rows))


if __name__ == "__main__":
    exp, *rest = sys.argv[1:]
    names = [word for word in rest if "=" not in word]
    main(Path(exp), names[0] if names else "member-01", [word for word in rest if "=" in word])
