"""`docs/guards.md`, made from the guards: every reason to refuse, and for what it holds.

`python -m deployments.docs` writes it; a test holds the committed file against this.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence

from deployments.manifest import ROOT
from tasks.guards import GUARDS, Guard
from tasks.model.change import Purpose
from tasks.model.refusal import Refusal

GUARDS_PAGE = ROOT / "docs" / "guards.md"

_HEAD = """\
<!-- Made from `tasks/guards.py` by `python -m deployments.docs`. Do not edit: a test holds it against the code. -->
# Guards

Before every write all guards are asked, in this order, about the one change and its target as it is at that moment; \
when a plan is made they are asked too, so that it can say what stands against it. The first that says no refuses the \
change: that is written into the ledger and shown in the report. A guard that cannot be evaluated refuses.

Not every guard holds for everything: to *undo* is to take back what did not help, to *give back* is to end what was \
changed for a while. A pause stops both; limits and freezes hold neither of them up.
"""

_OTHER = """\
## Other reasons

These are no guards of their own.
"""

_TESTED = """\
## How they are tested

CI takes each guard out in turn, and every other safety rule as well, and demands that the tests that are named for it \
fail: `tests/unit/safety_rules.py` is the list. To see it for one: \
`pytest tests/unit/test_guards.py --without "paused"`.
"""

_NAMES = {Purpose.CHANGE: "to change", Purpose.UNDO: "to undo", Purpose.RESTORE: "to give back"}


def guards_page() -> str:
    """The text of `docs/guards.md`."""
    head = ("refused as", "because", "passes when", *_NAMES.values())
    others = [refusal for refusal in Refusal if refusal not in {guard.refusal for guard in GUARDS}]
    rows = [(f"**{refusal}**", refusal.sentence) for refusal in others]
    return "\n".join([_HEAD, _table(head, map(_row, GUARDS)), _OTHER, _table(("refused as", "because"), rows), _TESTED])


def _row(guard: Guard) -> Sequence[str]:
    looks_at = " ".join((inspect.getdoc(guard.ask) or "").split())
    holds = ("yes" if purpose in guard.holds else "" for purpose in _NAMES)
    return (f"**{guard.refusal}**", guard.refusal.sentence, looks_at, *holds)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    GUARDS_PAGE.write_text(guards_page())
