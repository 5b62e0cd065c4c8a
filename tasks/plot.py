"""A small plot of the deciding metric with the moment of each change, as SVG that a report can carry."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from html import escape

from tasks.systems.metrics import Point

_WIDTH, _HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 30, 34
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GREY, _LINE, _LIMIT, _CHANGE = "#8a8f98", "#3b82f6", "#ef4444", "#f59e0b"


def svg(points: Sequence[Point], limit: float, title: str, moments: Sequence[tuple[datetime, str]]) -> str:
    """The points as a line, the limit dashed, a numbered mark for each moment. Empty for fewer than two points."""
    ordered = sorted(points, key=lambda point: point.at)
    if len(ordered) < 2:
        return ""
    start, end = ordered[0].at, ordered[-1].at
    span = max((end - start).total_seconds(), 1e-3)
    top = max(limit, 0.0, *(point.value for point in ordered)) * 1.1 or 1.0

    def x(at: datetime) -> float:
        share = min(max((at - start).total_seconds() / span, 0.0), 1.0)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM), 1)

    def clean(words: str) -> str:
        return escape(_NOT_XML.sub("", words))

    def text(at_x: float, at_y: float, words: str, anchor: str = "start", colour: str = _GREY) -> str:
        return (
            f'<text x="{at_x}" y="{at_y}" fill="{colour}" font-size="11" font-family="sans-serif" '
            f'text-anchor="{anchor}">{clean(words)}</text>'
        )

    line = " ".join(f"{x(point.at)},{y(point.value)}" for point in ordered)
    floor = _HEIGHT - _BOTTOM
    parts = [
        text(_LEFT, 16, title),
        f'<line x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - _RIGHT}" y2="{floor}" stroke="{_GREY}"/>',
        f'<line x1="{_LEFT}" y1="{y(limit)}" x2="{_WIDTH - _RIGHT}" y2="{y(limit)}" stroke="{_LIMIT}" '
        'stroke-dasharray="5 4"/>',
        text(_LEFT - 6, y(limit) + 4, f"{limit:,.6g}", "end", _LIMIT),
        text(_LEFT - 6, floor + 4, "0", "end"),
        text(_LEFT, _HEIGHT - 10, f"{start:%H:%M:%S}"),
        text(_WIDTH - _RIGHT, _HEIGHT - 10, f"{end:%H:%M:%S} UTC", "end"),
        f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="2"/>',
    ]
    for number, (at, what) in enumerate(moments, 1):
        parts.append(
            f'<line x1="{x(at)}" y1="{_TOP}" x2="{x(at)}" y2="{floor}" stroke="{_CHANGE}" stroke-width="1.5">'
            f"<title>{clean(what)}</title></line>" + text(x(at) + 4, _TOP + 8, str(number), colour=_CHANGE)
        )
    body = "".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">{body}</svg>'


def data_uri(image: str) -> str:
    """The SVG as a link that needs no server."""
    return "data:image/svg+xml;base64," + base64.b64encode(image.encode()).decode()
