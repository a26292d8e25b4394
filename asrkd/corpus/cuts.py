"""Lhotse cut sets as this toolkit uses them: one JSON line an utterance, one supervision with text and speaker.

Lhotse is imported where a cut is read or made: it takes a second, and a stage with nothing to do needs no cut.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrkd.errors import UserError
from asrkd.files import replacing

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

SPLITS = ("train", "dev", "test")


def read_cuts(path: Path) -> CutSet:
    """Reads `.jsonl` or `.jsonl.gz` of MonoCuts into memory.

    Raises UserError when the file is missing, empty, cut short or holds anything else.
    """
    from lhotse import CutSet

    if not path.is_file():
        raise UserError(f"{path}: no such cut set; expected a Lhotse cut set (.jsonl or .jsonl.gz)")
    cuts = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                cuts.append(_cut(line, path, number))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a Lhotse cut set (.jsonl or .jsonl.gz), found {error}") from None
    if not cuts:
        raise UserError(f"{path}: expected a Lhotse cut set, found no cut in it")
    return CutSet.from_cuts(cuts)


def _cut(line: str, path: Path, number: int) -> MonoCut:
    from lhotse import MonoCut

    try:
        fields = json.loads(line)
        kind = fields.pop("type", None) if isinstance(fields, dict) else None
        if kind == "MonoCut":
            cut = MonoCut.from_dict(fields)
            wrong = _wrong(cut)
            if not wrong:
                return cut
            found = f"a cut with {wrong}"
        else:
            found = f"an item of type {kind}"
    except json.JSONDecodeError as error:
        found = f"no JSON: {error}"
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:  # Lhotse checks with assert
        found = f"a cut that lacks or has a wrong {error}"
    raise UserError(
        f"{path}, line {number}: expected a Lhotse MonoCut, found {found}; Lhotse's CutSet.to_file writes one"
    )


def _wrong(cut: MonoCut) -> str:
    """The first field of a wrong type, or nothing: Lhotse takes from JSON whatever is there.

    Ids and speakers that are whole numbers become strings: they name rows and keys of JSON files, where numbers would
    not come back as such.
    """
    cut.id = _name(cut.id)
    for supervision in cut.supervisions:
        supervision.id, supervision.speaker = _name(supervision.id), _name(supervision.speaker)
    sources = cut.recording.sources if cut.recording is not None else []
    checks: list[tuple[str, Any, bool]] = [
        ("id", cut.id, isinstance(cut.id, str)),
        ("start", cut.start, _is_number(cut.start)),
        ("duration", cut.duration, _is_number(cut.duration)),
    ]
    for said in cut.supervisions:
        checks += [
            ("speaker", said.speaker, isinstance(said.speaker, str | None)),
            ("channel of a supervision", said.channel, _is_channel(said.channel)),
            ("text", said.text, isinstance(said.text, str | None)),
            ("start of a supervision", said.start, _is_number(said.start)),
            ("duration of a supervision", said.duration, _is_number(said.duration)),
        ]
    if cut.recording is not None:
        checks.append(("sampling_rate", cut.recording.sampling_rate, _is_number(cut.recording.sampling_rate)))
    for source in sources:
        checks += [
            ("source", source.source, isinstance(source.source, str) or source.type != "file"),
            ("channels", source.channels, isinstance(source.channels, list)),
        ]
    return next((f"{name} {json.dumps(value)[:60]}, of a wrong type" for name, value, right in checks if not right), "")


def _name(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _is_channel(value: Any) -> bool:
    return all(type(channel) is int for channel in (value if isinstance(value, list) else [value]))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def write_cuts(path: Path, cuts: Iterable[MonoCut]) -> None:
    """Writes `.jsonl.gz`, in one step and with the same bytes for the same cuts, so that a stamp can compare them."""
    lines = "".join(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n" for cut in cuts)
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(lines.encode(), compresslevel=6, mtime=0))


def make_cut(name: str, audio: Path, sample_rate: int, num_samples: int, speaker: str, text: str) -> MonoCut:
    """An utterance that is a whole mono file of its own."""
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

    duration = num_samples / sample_rate
    source = AudioSource(type="file", channels=[0], source=str(audio))
    recording = Recording(name, [source], sample_rate, num_samples, duration, channel_ids=[0])
    supervision = SupervisionSegment(name, name, start=0, duration=duration, channel=0, text=text, speaker=speaker)
    return MonoCut(name, start=0, duration=duration, channel=0, supervisions=[supervision], recording=recording)
