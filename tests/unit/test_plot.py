"""The plot is well-formed whatever the names in it, and nothing is drawn outside of it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from tasks.plot import data_uri, svg
from tasks.systems.metrics import Point

START = datetime(2026, 1, 1, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def points(*values: float) -> list[Point]:
    return [Point(START + timedelta(seconds=10 * number), value) for number, value in enumerate(values)]


def test_fewer_than_two_points_are_no_plot() -> None:
    assert svg([], 800, "queue", []) == ""
    assert svg(points(1), 800, "queue", []) == ""


def test_line_limit_and_numbered_marks() -> None:
    marks = [(START + timedelta(seconds=10), "replicas 2 → 5"), (START + timedelta(seconds=20), "publishers 3 → 1")]
    drawing = ElementTree.fromstring(svg(points(900, 850, 700), 800, "queue", marks))  # noqa: S314 - our own
    (line,) = drawing.findall(f"{SVG}polyline")
    assert len((line.get("points") or "").split()) == 3
    titles = [title.text for title in drawing.iter(f"{SVG}title")]
    assert titles == ["replicas 2 → 5", "publishers 3 → 1"]
    assert {"1", "2", "800", "queue"} <= {text.text for text in drawing.iter(f"{SVG}text")}


@given(
    st.lists(st.floats(0, 1e9), min_size=2, max_size=30),
    st.floats(0, 1e9),
    st.text(),
    st.lists(st.tuples(st.integers(-1000, 1000), st.text()), max_size=3),
)
def test_well_formed_and_inside_its_frame(
    values: list[float], limit: float, title: str, marks: list[tuple[int, str]]
) -> None:
    image = svg(points(*values), limit, title, [(START + timedelta(seconds=at), what) for at, what in marks])
    drawing = ElementTree.fromstring(image)  # noqa: S314 - our own
    width, height = float(drawing.get("width", "0")), float(drawing.get("height", "0"))
    (line,) = drawing.findall(f"{SVG}polyline")
    for pair in (line.get("points") or "").split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= width
        assert 0 <= y <= height
    for mark in drawing.findall(f"{SVG}line"):
        assert 0 <= float(mark.get("x1", "-1")) <= width
        assert 0 <= float(mark.get("y1", "-1")) <= height


def test_the_link_carries_the_image() -> None:
    image = svg(points(1, 2), 1, "queue → depth", [])
    head, _, body = data_uri(image).partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(body).decode() == image
