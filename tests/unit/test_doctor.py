"""The doctor as a whole: looks side by side, findings that are told, and no kind without a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from string import Formatter

import prefect
import pytest

from deployments.doctor import Wishes, examination
from deployments.doctor.finding import Finding, Health, Kind, fine, merge
from deployments.doctor.kinds import SUBJECTS
from deployments.doctor.looks import NOT_MADE, Look, take
from deployments.doctor.server import Server
from tasks.sites import Saved
from tests.unit import test_doctor_alerts, test_doctor_installation, test_doctor_site

SHORT = timedelta(milliseconds=200)
ALL = [kind for kinds in SUBJECTS.values() for kind in kinds]


def finds(what: str) -> Iterable[Finding]:
    yield fine(what, "there")


# ---- looks ---------------------------------------------------------------------------------------------------------


def test_looks_are_taken_side_by_side_and_told_in_their_order() -> None:
    together = threading.Barrier(5, timeout=10)

    def look(number: int) -> Iterable[Finding]:
        together.wait()
        return finds(str(number))

    looks = [Look(str(number), lambda number=number: look(number)) for number in range(5)]  # type: ignore[misc]
    assert [finding.looked_at for finding in take(looks)] == ["0", "1", "2", "3", "4"]


def test_a_look_that_fails_is_a_finding_and_keeps_no_other_from_being_made() -> None:
    def fails() -> Iterable[Finding]:
        raise PermissionError("token=abcdef is not allowed")

    broken, good = take([Look("this", fails, "prod"), Look("that", lambda: finds("that"))])
    assert (broken.kind, broken.site, broken.looked_at) == (NOT_MADE.id, "prod", "this")
    assert broken.seen == "token=*** is not allowed"
    assert good.severity is Health.FINE


def test_a_look_that_fails_half_way_is_not_half_a_result() -> None:
    def fails() -> Iterable[Finding]:
        yield fine("this", "there")
        raise ValueError("and then not")

    assert [finding.kind for finding in take([Look("this", fails)])] == [NOT_MADE.id]


def test_a_look_that_hangs_is_left_behind_at_its_own_deadline() -> None:
    over = threading.Event()

    def hangs() -> Iterable[Finding]:
        over.wait(30)
        return finds("too late")

    def slow() -> Iterable[Finding]:
        time.sleep(0.5)
        return finds("slow")

    began = time.monotonic()
    hung, good = take([Look("this", hangs, deadline=SHORT), Look("that", slow, deadline=timedelta(seconds=20))])
    over.set()
    assert (hung.kind, hung.seen) == (NOT_MADE.id, "no answer within 0.2 s")
    assert good.looked_at == "slow"
    assert time.monotonic() - began < 10


def test_a_deadline_counts_from_the_beginning_of_the_look() -> None:
    """Of more looks than may be under way, the later ones have their time as well, even where the first ones hang."""
    over = threading.Event()

    def hangs() -> Iterable[Finding]:
        over.wait(30)
        return ()

    hanging = [Look(f"h{n}", hangs, deadline=SHORT) for n in range(2)]
    waiting = [Look(f"w{n}", lambda: finds("there"), deadline=SHORT) for n in range(4)]
    found = take([*hanging, *waiting], at_once=2)
    over.set()
    assert [finding.kind for finding in found] == [NOT_MADE.id] * 2 + ["fine"] * 4


def test_no_looks() -> None:
    assert take([]) == []


# ---- the examination ---------------------------------------------------------------------------------------------


def test_sites_that_cannot_be_read_keep_nothing_else_from_being_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(platforms: object) -> Saved:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(examination, "read", lambda: Server("http://prefect/api", prefect.__version__))
    monkeypatch.setattr(examination, "read_sites", fails)
    monkeypatch.setattr(examination, "apart_from_prefect", lambda *_: [Look("ledger", lambda: finds("ledger"))])
    monkeypatch.setattr(examination, "in_prefect", lambda *_: [Look("work pool", lambda: finds("work pool"))])
    found = examination.examine(Wishes())
    assert [finding.looked_at for finding in found if finding.severity is Health.FINE][1:] == ["ledger; work pool"]
    assert [finding.looked_at for finding in found if finding.kind == NOT_MADE.id] == ["sites"]


def test_a_server_that_hangs_is_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs() -> Server:
        over.wait(30)
        return Server("")

    monkeypatch.setattr(examination, "read", hangs)
    monkeypatch.setattr(examination, "Look", lambda at, take: Look(at, take, deadline=SHORT))
    monkeypatch.setattr(examination, "apart_from_prefect", lambda *_: [Look("ledger", lambda: finds("ledger"))])
    found = examination.examine(Wishes())
    over.set()
    assert {finding.kind for finding in found} == {NOT_MADE.id, "fine"}
    assert any("does not answer" in finding.seen for finding in found)


# ---- findings ------------------------------------------------------------------------------------------------------


def test_findings_with_one_cause_are_one() -> None:
    one, other = (NOT_MADE.found(what, "connection refused", "prod") for what in ("rules", "series"))
    elsewhere, else_seen = NOT_MADE.found("rules", "connection refused"), NOT_MADE.found("rules", "timeout", "prod")
    merged = merge([one, other, one, elsewhere, else_seen])
    assert [finding.looked_at for finding in merged] == ["rules; series", "rules", "rules"]


def test_secrets_are_taken_out_of_findings() -> None:
    found = NOT_MADE.found("redis://:hunter2@redis:6379", "cannot reach redis://:hunter2@redis:6379/0")
    assert "hunter2" not in str(found)


# ---- kinds ---------------------------------------------------------------------------------------------------------


def test_every_kind_has_a_name_of_its_own_and_says_what_it_means_and_what_mends_it() -> None:
    assert len({kind.id for kind in ALL}) == len(ALL)
    for kind in ALL:
        assert kind.severity in (Health.BROKEN, Health.DOUBTFUL)
        assert kind.means
        assert kind.mend
        assert all(field is None or field.isidentifier() for _, field, _, _ in Formatter().parse(kind.mend))


def shown() -> dict[str, set[str]]:
    """By test, the kinds that its cases expect; one in which nothing is found is the empty text."""
    found: dict[str, set[str]] = {}
    for module in (test_doctor_installation, test_doctor_site, test_doctor_alerts):
        for name, test in vars(module).items():
            rows = [row for mark in getattr(test, "pytestmark", ()) for row in mark.args[1]]
            sets = [value for row in rows if isinstance(row, tuple) for value in row[-1:] if isinstance(value, set)]
            found[f"{module.__name__}.{name}"] = {kind for kinds in sets for kind in kinds or {""}}
    return found


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not NOT_MADE], ids=lambda kind: str(kind.id))
def test_every_kind_is_shown_to_appear_and_to_be_absent(kind: Kind) -> None:
    """In one test, of which one case expects it and another one nothing at all."""
    assert any({kind.id, ""} <= cases for cases in shown().values()), f"no test expects {kind.id!r}, and then nothing"
