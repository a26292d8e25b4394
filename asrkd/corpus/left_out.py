"""Utterances that cannot be used: each is named with the reason; too many of them stop a stage."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from asrkd.errors import UserError
from asrkd.files import write_jsonl

NAMED = 5  # in an error; the rest are counted


@dataclass(frozen=True)
class LeftOut:
    id: str
    why: str


def write_left_out(path: Path, left_out: Sequence[LeftOut]) -> None:
    write_jsonl(path, (asdict(item) for item in left_out))


def check_left_out(left_out: Sequence[LeftOut], total: int, allowed: float, *, what: str, option: str) -> None:
    """Raises UserError, naming the first few, when more than `allowed` (a share) of `total` utterances were left out.

    `option` is what raises the limit.
    """
    if len(left_out) <= allowed * total:
        return
    named = "; ".join(f"{item.id}: {item.why}" for item in left_out[:NAMED])
    more = f"; and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
    raise UserError(
        f"{what}: {len(left_out)} of {total} utterances cannot be used, more than {option}={allowed:g} allows: "
        f"{named}{more}. Mend or remove them, or raise {option}"
    )
