"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as Printed


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing that was measured several times, of one of those that are compared."""

    what: str
    unit: str
    values: tuple[float, ...]
    of: str = ""

    @property
    def p50(self) -> float:
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The least value that 95 of 100 do not exceed; with few values, the highest."""
        return sorted(self.values)[math.ceil(0.95 * len(self.values)) - 1]


@dataclass(frozen=True, slots=True)
class Table:
    """The result of one bench. Ratios are shown to the one that is `compared_with`."""

    title: str
    rows: tuple[Measured, ...]
    compared_with: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        rows = [{**asdict(row), "p50": row.p50, "p95": row.p95} for row in self.rows]
        return {"title": self.title, "note": self.note, "rows": rows}

    def show(self, out: Console) -> None:
        """Prints the table."""
        printed = Printed(title=self.title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in ("", "of", "p50", "p95", "min", "max", *(["ratio"] if self.compared_with else [])):
            printed.add_column(column, justify="left" if column in ("", "of") else "right")
        for row in self.rows:
            numbers = [_written(value) for value in _numbers(row)]
            printed.add_row(f"{row.what} ({row.unit})", row.of, *numbers, *self._ratio(row))
        out.print(printed)
        if self.note:
            out.print(self.note)
        out.print()

    def _ratio(self, row: Measured) -> Iterator[str]:
        if self.compared_with:
            other = next((r for r in self.rows if (r.what, r.of) == (row.what, self.compared_with)), None)
            yield f"{other.p50 / row.p50:.1f}x" if other and other is not row and row.p50 else ""


def _written(value: float) -> str:
    """Three figures, and no fraction from a hundred on."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _numbers(row: Measured) -> Sequence[float]:
    return row.p50, row.p95, min(row.values), max(row.values)
