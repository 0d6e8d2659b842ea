"""Tables as Markdown, for the UI and the docs."""

from collections.abc import Sequence


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]], total: int) -> str:
    """A Markdown table with one line per row. If `total` exceeds the rows, a last line says how many more there are."""

    def line(cells: Sequence[object]) -> str:
        shown = [" ".join(str(cell).split()).replace("|", r"\|") if cell is not None else "" for cell in cells]
        return f"| {' | '.join(shown)} |"

    lines = [line(columns), "|---" * len(columns) + "|", *map(line, rows)]
    more = total - len(rows)
    return "\n".join(lines) + (f"\n\nand {more} more" if more > 0 else "")
