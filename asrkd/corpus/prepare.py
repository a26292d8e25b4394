"""Stage 0: the cut sets of train, dev and test, validated, into EXP/data."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asrkd.config import Config, section
from asrkd.corpus.cuts import SPLITS, read_cuts, write_cuts
from asrkd.corpus.left_out import LeftOut, check_left_out, write_left_out
from asrkd.errors import UserError
from asrkd.experiment import Step
from asrkd.files import hash_file, write_json

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut

# Seconds by which a supervision may miss its cut's start or end: times are rounded, and a pause of this length is one
# that alignment's optional silence takes. A word is longer: cut off or left untranscribed, it would be aligned wrongly.
EDGE = 0.25
# Its plain form keeps, in each cut, the others that overlap it.
TRIM = "`lhotse cut trim-to-supervisions --discard-overlapping IN OUT` makes a cut of each supervision"


@dataclass
class Summary:
    """Of one split, for the report."""

    utterances: int
    hours: float
    speakers: int
    words: int
    distinct_words: int
    left_out: int


def prepare_data(exp: Path, config: Config, force: bool = False) -> None:
    """Validates the cut sets that config.data names and writes EXP/data.

    An utterance that cannot be used is named in left_out.jsonl. Raises UserError when a cut set is missing or none,
    when more than config.data.max_left_out of a split cannot be used, and when two splits share an utterance.
    """
    paths = {split: _path(config, split) for split in SPLITS}
    step = Step(
        exp / "data",
        made_by="stage 0",
        config=section(config, "features.sample_rate"),
        inputs={split: hash_file(path) for split, path in paths.items()},
        force=force,
    )
    if not step.begin():
        return
    left_out: list[LeftOut] = []
    report: dict[str, Summary] = {}
    seen: dict[str, str] = {}
    for split, path in paths.items():
        good, bad = validate(read_cuts(path), config.features.sample_rate)
        check_left_out(bad, len(good) + len(bad), config.data.max_left_out, what=str(path), option="data.max_left_out")
        shared = [cut.id for cut in good if cut.id in seen]
        if shared:
            raise UserError(
                f"{path}: {len(shared)} utterances stand in {seen[shared[0]]} as well, for example {shared[0]}; "
                "expected splits without a common utterance (--train, --dev, --test)"
            )
        seen.update((cut.id, str(path)) for cut in good)
        write_cuts(step.folder / f"{split}.jsonl.gz", good)
        left_out += bad
        report[split] = summarise(good, len(bad))
    write_left_out(step.folder / "left_out.jsonl", left_out)
    write_json(step.folder / "report.json", {split: asdict(summary) for split, summary in report.items()})
    _print(report, left_out)
    step.finish([*(f"{split}.jsonl.gz" for split in SPLITS), "left_out.jsonl", "report.json"])


def validate(cuts: CutSet, sample_rate: int) -> tuple[list[MonoCut], list[LeftOut]]:
    """The usable cuts, with absolute paths and the text in NFC with single spaces, and the others with the reason.

    Raises UserError when a transcript is of another channel than its cut: that is no accident of one utterance, and
    where recordings have one speaker a channel, every word would be learnt from the other speaker's silence.
    """
    good: dict[str, MonoCut] = {}
    left_out = []
    for cut in cuts:
        why = "a second cut of the same id" if cut.id in good else problem(cut, sample_rate)
        if why is None:
            _expect_its_channel(cut)
            # A cut set may have been written relative to the folder that this call is made from; later calls are not.
            source = cut.recording.sources[0]
            source.source = str(Path(source.source).absolute())
            cut.supervisions[0].text = " ".join(unicodedata.normalize("NFC", cut.supervisions[0].text).split())
            good[cut.id] = cut
        else:
            left_out.append(LeftOut(cut.id, why))
    return list(good.values()), left_out


def _expect_its_channel(cut: MonoCut) -> None:
    said = cut.supervisions[0].channel  # a list where one transcript is of several microphones
    if cut.channel not in (said if isinstance(said, list) else [said]):
        raise UserError(
            f"cut {cut.id}: expected a supervision of the cut's channel {cut.channel}, found one of channel {said}; "
            "set the channel of the cut or of the supervision right in the cut set, and write it again"
        )


def problem(cut: MonoCut, sample_rate: int) -> str | None:
    """Why a cut cannot be used, or None."""
    recording, supervisions = cut.recording, cut.supervisions
    if recording is None or len(recording.sources) != 1 or recording.sources[0].type != "file":
        return "expected a recording in one audio file"
    if cut.channel not in recording.sources[0].channels:
        return f"expected channel {cut.channel}, found {recording.sources[0].channels}"
    if recording.transforms:
        return "its recording is augmented on the fly; expected audio saved to a file (Lhotse's cut.save_audio does it)"
    if recording.sampling_rate != sample_rate:
        rate = recording.sampling_rate
        return (
            f"expected {sample_rate} Hz (features.sample_rate), found {rate} Hz; where the whole corpus has it set "
            f"features.sample_rate={rate}, else resample the audio (Lhotse's cut.resample({sample_rate}).save_audio)"
        )
    if cut.start < 0 or cut.duration <= 0:
        return f"expected a start of 0 or later and a duration above 0, found {cut.start} and {cut.duration}"
    if len(supervisions) != 1:
        return f"expected one supervision, found {len(supervisions)}; {TRIM}"
    start, end = supervisions[0].start, supervisions[0].start + supervisions[0].duration
    if abs(start) > EDGE or abs(end - cut.duration) > EDGE or end <= start:
        return f"expected a supervision of the whole cut, 0 to {cut.duration:g} s, found {start:g} to {end:g} s; {TRIM}"
    if not (supervisions[0].text or "").strip():
        return "its transcript is empty"
    if not supervisions[0].speaker:
        return "its supervision names no speaker"
    if not Path(recording.sources[0].source).is_file():
        return f"{recording.sources[0].source}: no such audio file"
    return None


def summarise(cuts: list[MonoCut], left_out: int) -> Summary:
    words = [word for cut in cuts for word in cut.supervisions[0].text.split()]
    return Summary(
        utterances=len(cuts),
        hours=round(sum(cut.duration for cut in cuts) / 3600, 4),
        speakers=len({cut.supervisions[0].speaker for cut in cuts}),
        words=len(words),
        distinct_words=len(set(words)),
        left_out=left_out,
    )


def _path(config: Config, split: str) -> Path:
    named = str(getattr(config.data, split))
    if not named:
        raise UserError(
            f"data.{split} is empty; expected the path of a Lhotse cut set (asrkd configure ... data.{split}=PATH)"
        )
    path = Path(named)
    if not path.is_file():
        raise UserError(f"{path}: no such cut set; data.{split} names a Lhotse cut set (.jsonl or .jsonl.gz)")
    return path


def _print(report: dict[str, Summary], left_out: list[LeftOut]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "utterances", "hours", "speakers", "words", "distinct words", "left out")
    for split, s in report.items():
        counts = (s.utterances, f"{s.hours:.2f}", s.speakers, s.words, s.distinct_words, s.left_out)
        table.add_row(split, *(str(count) for count in counts))
    Console().print(table)
    for item in left_out:
        print(f"left out: {item.id}: {item.why}")
