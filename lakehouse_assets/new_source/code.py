"""Python code, written as `ruff format` would with lines of `WIDTH` characters. Pure.

What does not fit on one line has one part a line, with a comma behind the last, which any formatter leaves as it is.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

WIDTH = 130
STEP = " " * 4


class Group(NamedTuple):
    """A call, a tuple or a dict: what it begins with, bracket included, its parts, and the closing bracket."""

    head: str
    parts: Sequence["str | Group"]
    tail: str = ")"

    @property
    def flat(self) -> str:
        """It on one line."""
        is_tuple = self.head.endswith("(") and self.head[:-1].rpartition("=")[2] == ""
        return f"{self.head}{', '.join(map(flat, self.parts))}{',' if is_tuple and len(self.parts) == 1 else ''}{self.tail}"


def flat(code: str | Group) -> str:
    """Return code on one line."""
    return code if isinstance(code, str) else code.flat


def lines_of(code: str | Group, indent: str = "", end: str = ",", *, split: bool = False) -> list[str]:
    """Return code as lines: one if it fits and need not be `split`, else one for each part."""
    line = f"{indent}{flat(code)}{end}"
    if isinstance(code, str) or (len(line) <= WIDTH and not split):
        return [line]
    parts = [line for part in code.parts for line in lines_of(part, indent + STEP)]
    return [f"{indent}{code.head}", *parts, f"{indent}{code.tail}{end}"]


def literals(head: str, values: Iterable[str]) -> Group:
    """Return a call or a tuple of texts."""
    return Group(head, [*map(literal, values)])


def literal(value: str) -> str:
    """Return a text as a literal, in double quotes unless it has some itself."""
    written = repr(value)
    if written.startswith('"') or '"' in written:
        return written
    return '"' + written[1:-1].replace("\\'", "'") + '"'
