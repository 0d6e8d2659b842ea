"""Line charts with logarithmic axes, as SVG text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 300, 60, 20, 60, 50
_COLOURS = ("#888888", "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, and its points."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(title: str, note: str, below: str, charts: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Return an SVG with a chart for each name and its lines, side by side. `below` names the horizontal axes."""
    width, height = _WIDTH * len(charts), _HEIGHT + 20 * (len(charts[0][1]) // 3 + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(10, 20, title, 'font-size="15"'),
        _text(10, 36, note, 'fill="#666666"'),
    ]
    for position, (name, lines) in enumerate(charts):
        parts += _chart(position * _WIDTH, name, below, lines)
    for number, line in enumerate(charts[0][1]):
        x, y = 60 + 200 * (number % 4), _HEIGHT + 10 + 20 * (number // 4)
        colour = _COLOURS[number % len(_COLOURS)]
        parts += [f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>', _text(x + 16, y, line.name)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _chart(left: float, name: str, below: str, lines: Sequence[Line]) -> list[str]:
    xs = [x for line in lines for x, _ in line.points]
    ys = [max(y, 1e-9) for line in lines for _, y in line.points]
    columns, rows = _powers(min(xs), max(xs)), _powers(min(ys), max(ys))

    def across(x: float) -> float:
        return left + _LEFT + _share(x, columns) * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _HEIGHT - _BOTTOM - _share(y, rows) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_text(left + _LEFT, _TOP - 6, name, 'font-weight="bold"')]
    for value in rows:
        parts.append(_rule(across(columns[0]), down(value), across(columns[-1]), down(value)))
        parts.append(_text(left + _LEFT - 6, down(value) + 4, _number(value), 'text-anchor="end"'))
    for value in columns:
        parts.append(_rule(across(value), down(rows[0]), across(value), down(rows[-1])))
        parts.append(_text(across(value), _HEIGHT - _BOTTOM + 16, _number(value), 'text-anchor="middle"'))
    parts.append(_text(across(columns[-1]), _HEIGHT - _BOTTOM + 34, below, 'text-anchor="end"'))
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(across(x), down(max(y, 1e-9))) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return parts


def _powers(least: float, most: float) -> list[float]:
    """Return the powers of ten around a range, two at least."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def _share(value: float, powers: Sequence[float]) -> float:
    """Return where a value lies between the first power (0) and the last (1)."""
    first, last = math.log10(powers[0]), math.log10(powers[-1])
    return (math.log10(value) - first) / (last - first)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'
