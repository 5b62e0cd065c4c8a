"""Runs: when they began, whether they live, what they saw and noted, how they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from tasks.ledger.database import Database, by_beginning
from tasks.ledger.records import Evidence, Note, RunRecord
from tasks.ledger.tables import evidence as readings
from tasks.ledger.tables import notes, runs
from tasks.model.outcome import Outcome, Severity
from tasks.redact import redact

LONGEST = 4000  # characters of one reading that are kept

_lives = runs.c.ended_at.is_(None)


class Runs:
    """The runs in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run: RunRecord) -> None:
        """Records a run before its first act.

        A second execution of the same run, after a suspension or a crash, goes on with its record: it waits for
        nothing any more, and lives again if it was taken for dead.
        """
        now = self._database.now()
        values = {column.name: getattr(run, column.name) for column in runs.columns} | {"seen_at": now}
        new = self._database.insert(runs).values(**values).on_conflict_do_nothing().returning(runs.c.id)
        with self._database.writing() as tx:
            if tx.execute(new).one_or_none() is None:
                this = runs.update().where(runs.c.id == run.id)
                tx.execute(this.values(seen_at=now, waits_for=None))
                tx.execute(this.where(runs.c.crashed).values(crashed=False, ended_at=None))

    def end(self, id: str, outcome: Outcome, verdict: str, report: Mapping[str, Any] | None) -> None:
        """Writes down how a run ended. A restore has no report of this kind."""
        how = {"outcome": outcome.value, "verdict": verdict, "report": _as_json(report) if report else None}
        with self._database.writing() as tx:
            ended = runs.update().where(runs.c.id == id)
            tx.execute(ended.values(ended_at=self._database.now(), waits_for=None, crashed=False, **how))

    def crashed(self, id: str) -> bool:
        """Marks a run that ended without saying so; False when it has ended already."""
        with self._database.writing() as tx:
            dead = runs.update().where(runs.c.id == id, _lives)
            return tx.execute(dead.values(crashed=True, ended_at=self._database.now())).rowcount == 1

    def get(self, id: str) -> RunRecord | None:
        """The run with this id, or with an id that begins so when there is only one."""
        with self._database.reading() as tx:
            row = by_beginning(tx, runs, id)
            return _run(row) if row else None

    def latest(self, limit: int = 20) -> list[RunRecord]:
        """The latest runs, newest first."""
        with self._database.reading() as tx:
            return [_run(row) for row in tx.execute(runs.select().order_by(runs.c.started_at.desc()).limit(limit))]

    def beat(self, id: str) -> None:
        """A sign of life."""
        with self._database.writing() as tx:
            tx.execute(runs.update().where(runs.c.id == id).values(seen_at=self._database.now()))

    def wait(self, id: str, key: str | None) -> None:
        """Notes for the approval of which plan the run is suspended, or that it waits no more."""
        with self._database.writing() as tx:
            tx.execute(runs.update().where(runs.c.id == id).values(waits_for=key))

    def silent(self, after: timedelta) -> list[RunRecord]:
        """The runs that have not ended, wait for nobody, and gave no sign of life for so long; oldest first."""
        quiet = _lives, runs.c.waits_for.is_(None), runs.c.seen_at < self._database.now(-after)
        with self._database.reading() as tx:
            return [_run(row) for row in tx.execute(runs.select().where(*quiet).order_by(runs.c.seen_at))]

    def crashed_within(self, time: timedelta) -> list[RunRecord]:
        """The runs that were found dead since then; oldest first."""
        dead = runs.c.crashed.is_(True), runs.c.ended_at > self._database.now(-time)
        with self._database.reading() as tx:
            return [_run(row) for row in tx.execute(runs.select().where(*dead).order_by(runs.c.ended_at))]

    def suspended(self) -> list[RunRecord]:
        """The runs that wait for a person's answer; oldest first."""
        with self._database.reading() as tx:
            waiting = runs.select().where(_lives, runs.c.waits_for.is_not(None)).order_by(runs.c.started_at)
            return [_run(row) for row in tx.execute(waiting)]

    def sites_of(self, runbook: str) -> frozenset[str]:
        """The sites at which a run of this kind is at work."""
        found = sa.select(runs.c.site).where(_lives, runs.c.runbook == runbook).distinct()
        with self._database.reading() as tx:
            return frozenset(tx.execute(found).scalars())

    def note(self, run: str, kind: str, text: str) -> Note:
        """Adds a line to the run's timeline, secrets removed."""
        line = notes.insert().values(run=run, at=self._database.now(), kind=kind, text=text)
        with self._database.writing() as tx:
            return Note(*tx.execute(line.returning(notes.c.at, notes.c.kind, notes.c.text)).one())

    def notes(self, run: str) -> list[Note]:
        """The timeline of a run."""
        line = sa.select(notes.c.at, notes.c.kind, notes.c.text).where(notes.c.run == run).order_by(notes.c.id)
        with self._database.reading() as tx:
            return [Note(*row) for row in tx.execute(line)]

    def saw(self, run: str, evidence: Sequence[Evidence]) -> None:
        """Keeps what the run read, secrets removed and long texts cut."""
        rows = [{**asdict(one), "run": run, "value": redact(one.value)[:LONGEST]} for one in evidence]
        if rows:
            with self._database.writing() as tx:
                tx.execute(readings.insert(), rows)

    def evidence(self, run: str) -> list[Evidence]:
        """What the run read, in the order in which it was kept."""
        columns = [column for column in readings.columns if column.name != "id"]
        with self._database.reading() as tx:
            rows = tx.execute(sa.select(*columns).where(readings.c.run == run).order_by(readings.c.id))
            return [Evidence(**row._mapping) for row in rows]


def _run(row: sa.Row[Any]) -> RunRecord:
    values = dict(row._mapping)
    values["severity"] = Severity(values["severity"])
    values["outcome"] = Outcome(values["outcome"]) if values["outcome"] else None
    return RunRecord(**values)


def _as_json(report: Mapping[str, Any]) -> Any:
    """The report as JSON has it; what is no number becomes text, because PostgreSQL takes no NaN."""
    return json.loads(json.dumps(report, default=str), parse_constant=str)
