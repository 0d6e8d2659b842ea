"""How the pages look: one colour for one meaning, numbers with units, tables with links."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

LIVE, REJECTED, ENDED, OTHER = "#2f7ed8", "#d1495b", "#7d8597", "#b08900"
"""Rows that are live | in quarantine | superseded, or of no fact | read once more, or made of one row."""

LAYERS = {"landing": "#7d8597", "raw": "#b08900", "silver": "#4f7a8c", "gold": "#2f7ed8"}

_SYSTEMS = ("#2f7ed8", "#e07b39", "#2a9d6f", "#9b5de5", "#c0438f", "#8a7a20", "#1a9fb5", "#b5523b", "#5e7ce2", "#6b7f4a")
"""Colours that can be told apart on white and on black."""

CSS = """<style>
.block-container {padding-top: 2.6rem; max-width: 1320px}
.block-container h1 {font-size: 2rem; padding: .4rem 0}
.block-container h3 {font-size: 1.2rem; padding: .4rem 0}
table.lake {border-collapse: collapse; width: 100%; font-size: .88rem}
table.lake th {text-align: left; font-weight: 600; opacity: .85}
table.lake td, table.lake th {padding: .3rem .5rem; border-bottom: 1px solid rgba(128,128,128,.25); vertical-align: top}
table.lake .number {text-align: right; font-variant-numeric: tabular-nums}
table.lake td.short {white-space: nowrap}
table.lake a {color: inherit; text-decoration: underline}
div.scroll {overflow-x: auto}
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] *, [data-testid="stMetric"] p {
    color: inherit !important; opacity: 1 !important}
[data-testid="stMetricValue"] {font-variant-numeric: tabular-nums}
</style>"""

FLOW_CSS = """
.scroll {overflow-x: auto}
svg {width: 100%; height: auto; min-width: 720px; color: var(--st-text-color)}
svg text {font: 12px var(--st-font); fill: currentColor; paint-order: stroke; stroke: var(--st-background-color); stroke-width: 3px}
svg text.head, svg .rows {font-weight: 600; font-variant-numeric: tabular-nums}
svg path {fill: none; stroke-opacity: .38}
svg a:hover path, svg a:focus path {stroke-opacity: .9}
"""


def system_colours(systems: Sequence[str]) -> dict[str, str]:
    """Return the colour of each source system: the same on all pages."""
    return {system: _SYSTEMS[number % len(_SYSTEMS)] for number, system in enumerate(systems)}


def amount(value: float | None) -> str:
    """Write an amount of US dollars, in a few characters: `$31.2 M`, `$912`.

    >>> amount(31_234_000), amount(-912.4), amount(None)
    ('$31.23 M', '-$912', '-')
    """
    if value is None or value != value:
        return "-"
    sign, size = ("-" if value < 0 else ""), abs(value)
    for least, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= least:
            return f"{sign}${size / (1e3 if unit == 'k' else least):,.2f} {unit}"
    return f"{sign}${size:,.0f}"


def minutes(value: float | None) -> str:
    """Write a duration that is given in minutes.

    >>> minutes(45), minutes(150), minutes(4320), minutes(None)
    ('45 min', '2.5 h', '3.0 days', '-')
    """
    if value is None or value != value:
        return "-"
    if value < 90:
        return f"{value:.0f} min"
    return f"{value / 60:.1f} h" if value < 48 * 60 else f"{value / 1440:.1f} days"


def size(value: float) -> str:
    """Write a number of bytes.

    >>> size(912), size(31_488), size(8_912_000)
    ('912 B', '31 kB', '8.9 MB')
    """
    for least, unit in ((1e9, "GB"), (1e6, "MB")):
        if value >= least:
            return f"{value / least:.1f} {unit}"
    return f"{value / 1e3:.0f} kB" if value >= 1e3 else f"{value:.0f} B"


def share(value: float | None) -> str:
    """Write a share as a percentage.

    >>> share(0.1234), share(0.00004), share(0)
    ('12.3 %', '< 0.01 %', '0 %')
    """
    if value is None or value != value:
        return "-"
    if value == 0:
        return "0 %"
    return (
        "< 0.01 %" if value < 0.0001 else f"{value:.2%}".replace("%", " %") if value < 0.01 else f"{value:.1%}".replace("%", " %")
    )


def count(number: float, noun: str) -> str:
    """Write a number of things.

    >>> count(1, "file"), count(1200, "row")
    ('1 file', '1,200 rows')
    """
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def table(
    columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], *, links: Mapping[str, Sequence[str | None]] | None = None
) -> str:
    """Return an HTML table. `columns` are the headings by name; `links` are, by column, the addresses of its cells.

    Numbers stand on the right. All text is escaped.
    """
    numeric = {name for name in columns if rows and all(isinstance(row.get(name), int | float) for row in rows)}
    head = "".join(f'<th scope="col"{_right(name in numeric)}>{escape(title)}</th>' for name, title in columns.items())
    body = []
    for number, row in enumerate(rows):
        cells = []
        for name in columns:
            value = row.get(name)
            text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else str(value)
            shown = escape(text)
            if links and (href := links.get(name, [None] * len(rows))[number]):
                shown = f'<a href="{escape(href)}" target="_self">{shown}</a>'
            short = ' class="short"' if len(text) <= _SHORT else ""
            cells.append(f"<td{_right(name in numeric) or short}>{shown}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table class="lake"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


_SHORT = 18
"""Text of so many characters is never broken into lines."""


def _right(is_number: bool) -> str:
    return ' class="number"' if is_number else ""
