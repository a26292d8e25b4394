"""A table, as rows of text that Markdown and HTML share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    name: str  # the anchor on the page
    title: str
    columns: list[str]  # the first one names the row
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    texts: int = 1  # so many columns, from the left, hold words; the others hold numbers


# What Markdown would take for its own or for HTML's: a transcript may have <NOISE>.
MARKUP = re.compile(r"[|*]|<(?=[A-Za-z/!?])|&(?=#?\w+;)")


def markdown(table: Table) -> str:
    """A heading, the table and its notes; numbers to the right."""
    lines = [f"## {table.title}", "", _line(table.columns)]
    lines.append(_line(["---" if place < table.texts else "---:" for place in range(len(table.columns))]))
    lines += [_line(row) for row in table.rows]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(MARKUP.sub(r"\\\g<0>", cell) for cell in cells) + " |"
