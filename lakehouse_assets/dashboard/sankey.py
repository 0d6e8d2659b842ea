"""Draws bands as an SVG picture in which each band is a link: with the mouse and with the keyboard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from lakehouse_assets.dashboard.data.flow import Band, Node, totals

_WIDTH, _HEIGHT, _NODE, _GAP, _TOP = 1120, 560, 12, 18, 26
_COLUMNS = ("Landing", "Raw", "Silver", "Gold and where rows end")
_LABELLED = 150
"""Room to the right of the last column for its labels."""


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    height: float


def column_of(node: Node) -> int:
    """The column of a node, 0 to 3."""
    kind, name = node
    if kind in ("quarantine", "superseded", "unread", "kept"):
        return 2 if name == "raw" else 3
    return {"landing": 0, "again": 0, "raw": 1, "split": 1, "silver": 2, "gold": 3}[kind]


def draw(
    bands: Sequence[Band], *, colour: Callable[[Node], str], label: Callable[[Node], str], href: Callable[[Band], str]
) -> str:
    """Return the SVG of the bands. The height of a band and a node is in proportion to its rows."""
    into, out = totals(bands)
    nodes = sorted({*into, *out}, key=lambda n: (column_of(n), n[0] not in ("landing", "raw", "silver", "gold"), n))
    size = {node: max(into[node], out[node]) for node in nodes}
    columns = [[node for node in nodes if column_of(node) == number] for number in range(len(_COLUMNS))]
    tallest = max((sum(size[n] for n in column) for column in columns), default=1)
    most = max((len(column) for column in columns), default=1)
    height = max(_HEIGHT, most * (_GAP + 8))
    scale = (height - _GAP * most) / max(tallest, 1)
    step = (_WIDTH - _LABELLED - _NODE) / (len(_COLUMNS) - 1)
    boxes: dict[Node, _Box] = {}
    for number, column in enumerate(columns):
        y = float(_TOP)
        for node in column:
            boxes[node] = _Box(number * step, y, max(size[node] * scale, 1.5))
            y += boxes[node].height + _GAP
    bottom = max((box.y + box.height for box in boxes.values()), default=0) + _GAP
    parts = [f'<text class="head" x="{n * step:.0f}" y="12">{title}</text>' for n, title in enumerate(_COLUMNS)]
    parts += _bands(bands, boxes, scale, colour, label, href)
    for node, box in boxes.items():
        parts.append(
            f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{_NODE}" height="{box.height:.1f}" fill="{colour(node)}"/>'
            f'<text x="{box.x + _NODE + 5:.1f}" y="{box.y + box.height / 2 + 4:.1f}">{escape(label(node))} '
            f'<tspan class="rows">{size[node]:,}</tspan></text>'
        )
    title = f"Rows from landing to gold: {len(bands)} bands, each a link to its rows"
    return f'<svg viewBox="0 0 {_WIDTH} {bottom:.0f}" role="group" aria-label="{title}">{"".join(parts)}</svg>'


def _bands(
    bands: Sequence[Band],
    boxes: Mapping[Node, _Box],
    scale: float,
    colour: Callable[[Node], str],
    label: Callable[[Node], str],
    href: Callable[[Band], str],
) -> list[str]:
    """Draw each band from its place on the source's right side to its place on the target's left side."""
    left = {node: box.y for node, box in boxes.items()}
    right = dict(left)
    parts = []
    for band in sorted(bands, key=lambda b: (boxes[b.source].y, boxes[b.target].y)):
        thick = max(band.rows * scale, 1)
        x0, x1 = boxes[band.source].x + _NODE, boxes[band.target].x
        y0, y1 = right[band.source] + thick / 2, left[band.target] + thick / 2
        right[band.source] += band.rows * scale
        left[band.target] += band.rows * scale
        middle = (x0 + x1) / 2
        name = f"{label(band.source)} to {label(band.target)}: {band.rows:,} rows"
        end = band.target if column_of(band.target) > 1 and band.target[0] not in ("silver", "gold") else band.source
        parts.append(
            f'<a href="{escape(href(band))}" target="_self" aria-label="{escape(name)}"><title>{escape(name)}</title>'
            f'<path d="M{x0:.1f},{y0:.1f} C{middle:.1f},{y0:.1f} {middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f}" '
            f'stroke="{colour(end)}" stroke-width="{thick:.1f}"/></a>'
        )
    return parts
