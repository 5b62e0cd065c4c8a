"""Pages made from the code: `docs/guards.md`, every reason to refuse and for what it holds, from the guards, and
`docs/doctor.md` from the doctor's kinds of findings.

`python -m deployments.docs` writes them; a test holds the committed files against this.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from string import Formatter

from deployments.doctor.finding import Kind
from deployments.doctor.kinds import SUBJECTS
from tasks.guards import GUARDS, Guard
from tasks.model.change import Purpose
from tasks.model.refusal import Refusal
from tasks.version import ROOT

GUARDS_PAGE = ROOT / "docs" / "guards.md"
DOCTOR_PAGE = ROOT / "docs" / "doctor.md"

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
fail: `tests/safety/rules.py` is the list. To see it for one: \
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
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *escaped]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


_DOCTOR = """\
<!-- Made from `deployments/doctor/` by `python -m deployments.docs`. Do not edit: a test holds it against the code. -->
# The doctor

`runbooks doctor` tells before the first incident what will not work. Run it where the worker runs: it looks with \
that host's eyes, at the installation and at every site (`--site NAME`: at one), all looks side by side. It changes \
nothing, and tells nobody anything unless `--notify` is given; then every contact gets a notice that says that it is a \
test. `--intake URL` says where the alert intake listens, and so where Alertmanager has to send alerts. `--json` gives \
the same to programs, with `kind` as below.

A finding says what was looked at, what was seen, what that means for the runbooks, and what mends it. *Broken*: \
something will not work; a look that could not be made counts as broken. *Doubtful*: it may be meant so. *Fine*: \
nothing stands in the way. The exit code is 1 when something is broken, 2 for bad input, else 0.

`runbooks role SITE --user USER` prints the Kubernetes Role with exactly what runbooks do at a site.
"""


def doctor_page() -> str:
    """The text of `docs/doctor.md`."""
    head = ("kind", "severity", "what it means", "what mends it")
    parts = [f"## {subject}\n\n{_table(head, map(_finding, kinds))}" for subject, kinds in SUBJECTS.items()]
    return "\n".join([_DOCTOR, *parts])


def _finding(kind: Kind) -> Sequence[str]:
    places = {field: field.upper() for _, field, _, _ in Formatter().parse(kind.mend) if field}
    return (f"`{kind.id}`", kind.severity.value, kind.means, kind.mend.format(**places))


if __name__ == "__main__":
    GUARDS_PAGE.write_text(guards_page())
    DOCTOR_PAGE.write_text(doctor_page())
