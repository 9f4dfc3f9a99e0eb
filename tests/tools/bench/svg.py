"""Bars as SVG, by hand: they are in the repository, so they are small and the same every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 720
LABELS = 240
VALUES = 130
ROW = 30
BAR = 16
TOP = 62
GOOD, BAD, PLAIN = "#2f7d5b", "#b4552d", "#5b7fa6"
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}"
    ".small{font-size:12px;fill:#57606a}.back{fill:#ffffff}.goal{stroke:#24292f;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.back{fill:#0d1117}"
    ".goal{stroke:#e6edf3}}"
)


@dataclass(frozen=True)
class Bar:
    """One bar: how long, what stands behind it, where its goal is, and its colour."""

    label: str
    value: float
    text: str
    goal: float | None = None
    colour: str = PLAIN


def bars(title: str, subtitle: str, rows: Sequence[Bar], *, logarithmic: bool = False) -> str:
    """A chart of horizontal bars; a line across a bar is its goal."""
    longest = max(max(row.value, row.goal or 0) for row in rows)
    shortest = min(min(row.value, row.goal or row.value) for row in rows)
    floor = 10 ** math.floor(math.log10(shortest) - 0.3) if logarithmic else 0.0

    def length(value: float) -> float:
        room = WIDTH - LABELS - VALUES
        if logarithmic:
            return room * math.log(max(value, floor) / floor) / math.log(longest / floor)
        return room * max(value, 0.0) / longest

    height = TOP + ROW * len(rows) + 10
    size = f'width="{WIDTH}" height="{height}"'
    space = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
    out = [
        f'<svg {space} {size} role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="back" {size} rx="6"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
        f'<text class="small" x="16" y="46">{escape(subtitle)}</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + ROW * number
        middle = y + ROW / 2 + 4
        width = max(length(row.value), 1)
        place = f'x="{LABELS - 10}" y="{middle:.1f}" text-anchor="end"'
        out.append(f"<text {place}>{escape(row.label)}</text>")
        place = f'x="{LABELS}" y="{y + (ROW - BAR) / 2:.1f}" width="{width:.1f}"'
        out.append(f'<rect {place} height="{BAR}" rx="2" fill="{row.colour}"/>')
        behind = width
        if row.goal is not None:
            at = LABELS + length(row.goal)
            behind = max(behind, length(row.goal))
            out.append(
                f'<line class="goal" x1="{at:.1f}" x2="{at:.1f}" y1="{y + 3}" y2="{y + ROW - 3}"/>'
            )
        text = f'<text class="small" x="{LABELS + behind + 8:.1f}" y="{middle:.1f}">'
        out.append(f"{text}{escape(row.text)}</text>")
    return "\n".join([*out, "</svg>", ""])
