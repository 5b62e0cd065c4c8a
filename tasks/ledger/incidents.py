"""Incidents: opened, folded, claimed by one run, taken by a person, resolved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tasks.ledger.database import Database, by_beginning
from tasks.ledger.locks import LEASE
from tasks.ledger.records import Received
from tasks.ledger.tables import incidents, runs
from tasks.model.incident import Incident, Raiser

ALIVE = 3 * LEASE  # a run that gave no sign of life for so long has nothing in hand any more

_open = incidents.c.resolved_at.is_(None)


@dataclass(frozen=True, slots=True)
class Firing:
    """A report that an alert is on. `incident` makes the incident that it opens, if it does."""

    site: str
    alert: str
    incident: Callable[[], Incident]


@dataclass(frozen=True, slots=True)
class Over:
    """A report that an alert is over, with the moment at which it ended. `fingerprint` tells it from others of its
    name; empty: nobody knows."""

    site: str
    alert: str
    fingerprint: str
    at: datetime


class Incidents:
    """The incidents in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, incident: Incident) -> tuple[Incident, bool]:
        """Records a new incident; a repeat of one that is open is folded into it. Says whether it was new."""
        with self._database.writing() as tx:
            found = self._open(tx, incident)
        assert found.incident is not None
        return found.incident, found.new

    def receive(self, reports: Sequence[Firing | Over]) -> list[Received]:
        """Takes reports of alerts in, all in one transaction: each opens an incident, is folded into the open one, or
        resolves it. The answers are in the order of the reports.

        Of two reports about one alert the one that it is over comes first: the other one is on.
        """
        # In one order for all who write, so that no two of them wait for each other.
        turns = sorted(
            range(len(reports)), key=lambda n: (reports[n].site, reports[n].alert, isinstance(reports[n], Firing))
        )
        answers: dict[int, Received] = {}
        with self._database.writing() as tx:
            for turn in turns:
                answers[turn] = self._receive(tx, reports[turn])
        return [answers[turn] for turn in range(len(reports))]

    def _receive(self, tx: sa.Connection, report: Firing | Over) -> Received:
        known = _kept(tx, _of(report.site, report.alert))
        if isinstance(report, Over):
            if known is not None and _opened_by_another(known, report.fingerprint):
                return Received(known, another=True)
            return Received(self._resolve(tx, known, report.at) if known else None)
        if known is not None and known.quiet_at is None:
            return Received(known)  # without making an incident of it first: nearly all reports are repeats
        return self._open(tx, report.incident())

    def _open(self, tx: sa.Connection, incident: Incident) -> Received:
        values = {column.name: getattr(incident, column.name) for column in incidents.columns}
        new = self._database.insert(incidents).values(**values).on_conflict_do_nothing().returning(incidents.c.id)
        same = incidents.select().where(incidents.c.id == incident.id)
        while tx.execute(new).one_or_none() is None:
            known = _kept(tx, _of(incident.site, incident.alert)) or _kept(tx, same)
            if known is None:
                continue  # resolved between the two statements: there is room for a new one
            if known.quiet_at is None or known.resolved_at is not None:
                return Received(known)
            if self._in_hand(tx, known):  # its alert flaps under the hands of a run: still the same incident
                # From now on it is this alert's: the one that opened it is over, and may have had other labels.
                return Received(_update(tx, known.id, quiet_at=None, fingerprint=incident.fingerprint) or known)
            _update(tx, known.id, resolved_at=known.quiet_at)
        return Received(incident, new=True)

    def get(self, id: str) -> Incident | None:
        """The incident with this id, or with an id that begins so when there is only one."""
        with self._database.reading() as tx:
            row = by_beginning(tx, incidents, id)
            return _incident(row) if row else None

    def of(self, site: str, alert: str) -> Incident | None:
        """The open incident of this site and alert."""
        with self._database.reading() as tx:
            row = tx.execute(_of(site, alert)).one_or_none()
            return _incident(row) if row else None

    def latest(self, limit: int = 20) -> list[Incident]:
        """The latest incidents, newest first."""
        with self._database.reading() as tx:
            rows = tx.execute(incidents.select().order_by(incidents.c.received_at.desc()).limit(limit))
            return [_incident(row) for row in rows]

    def still_open(self) -> list[Incident]:
        """All open incidents, oldest first."""
        with self._database.reading() as tx:
            rows = tx.execute(incidents.select().where(_open).order_by(incidents.c.received_at))
            return [_incident(row) for row in rows]

    def announced(self, id: str, at: datetime) -> None:
        """Notes when the event of an incident was last sent."""
        with self._database.writing() as tx:
            tx.execute(incidents.update().where(incidents.c.id == id).values(announced_at=at))

    def take_unannounced(self, most: int) -> list[Incident]:
        """The open incidents whose event nobody sent, oldest first, at most so many. They count as announced from now
        on, so that of several who ask each is given others; who cannot send an event calls `not_announced`."""
        waiting = _open & incidents.c.announced_at.is_(None) & incidents.c.claimed_by.is_(None)
        waiting &= incidents.c.raiser == Raiser.ALERTMANAGER.value  # who else raises one sees to it himself
        oldest = sa.select(incidents.c.id).where(waiting, incidents.c.taken_by.is_(None))
        oldest = oldest.order_by(incidents.c.received_at).limit(most).with_for_update(skip_locked=True)
        with self._database.writing() as tx:
            taken = incidents.update().where(incidents.c.id.in_(oldest.scalar_subquery()), waiting)
            rows = tx.execute(taken.values(announced_at=self._database.now()).returning(*incidents.columns)).all()
        return sorted((_incident(row) for row in rows), key=lambda one: one.received_at)

    def not_announced(self, taken: Sequence[Incident]) -> None:
        """Takes back that the events of these incidents were sent."""
        with self._database.writing() as tx:
            for one in taken:
                mine = incidents.c.id == one.id, incidents.c.announced_at == one.announced_at
                tx.execute(incidents.update().where(*mine).values(announced_at=None))

    def resolve(self, site: str, alert: str, at: datetime) -> Incident | None:
        """The alert is over: closes its open incident and returns it; None when there is none.

        An incident that a run has in hand is only noted as quiet, and closed when the run ends: an alert may flap
        while pods are replaced, and a second run must not begin next to the first.
        """
        with self._database.writing() as tx:
            known = _kept(tx, _of(site, alert))
            return self._resolve(tx, known, at) if known else None

    def _resolve(self, tx: sa.Connection, known: Incident, at: datetime) -> Incident | None:
        over = {"quiet_at": at} if self._in_hand(tx, known) else {"resolved_at": at}
        return _update(tx, known.id, **over)

    def close(self, id: str, at: datetime) -> Incident | None:
        """Closes an incident, whoever has it; None when it was closed already."""
        with self._database.writing() as tx:
            return _update(tx, id, resolved_at=at)

    def claim(self, id: str, run: str) -> bool:
        """Gives the incident to the run; False when another run has it. Atomic, and the same run may ask again."""
        free = sa.or_(incidents.c.claimed_by.is_(None), incidents.c.claimed_by == run)
        with self._database.writing() as tx:
            done = tx.execute(incidents.update().where(incidents.c.id == id, free).values(claimed_by=run))
            return done.rowcount == 1

    def take(self, id: str, by: str) -> Incident | None:
        """A person has the incident from now on, and automation stands back; None when it is not open."""
        with self._database.writing() as tx:
            return _update(tx, id, taken_by=by, taken_at=self._database.now())

    def hand_back(self, id: str) -> Incident | None:
        """The person gives the incident back to automation; None when it is not open."""
        with self._database.writing() as tx:
            return _update(tx, id, taken_by=None, taken_at=None)

    def pick_up(self, id: str, dead_run: str) -> bool:
        """Takes an open incident from a run that crashed, so that another run can claim it. Only one caller gets it:
        False when the run does not have it any more."""
        had = incidents.c.id == id, incidents.c.claimed_by == dead_run, _open
        with self._database.writing() as tx:
            free = incidents.update().where(*had).values(claimed_by=None, pickups=incidents.c.pickups + 1)
            if tx.execute(free).rowcount != 1:
                return False
            ended = runs.update().where(runs.c.id == dead_run, runs.c.ended_at.is_(None))
            tx.execute(ended.values(crashed=True, ended_at=self._database.now()))
            return True

    def let_go(self, id: str, ended_run: str) -> bool:
        """Takes an open incident from a run that ended without having seen to it, so that another run can claim it.
        Only one caller gets it: False when the run does not have it any more, or has not ended."""
        ended = sa.exists().where(runs.c.id == ended_run, runs.c.ended_at.is_not(None))
        had = incidents.c.id == id, incidents.c.claimed_by == ended_run, _open, ended
        with self._database.writing() as tx:
            return tx.execute(incidents.update().where(*had).values(claimed_by=None)).rowcount == 1

    def _in_hand(self, tx: sa.Connection, incident: Incident) -> bool:
        """Whether a run has claimed the incident that has not ended, and either lives or waits for a person."""
        lives = sa.or_(runs.c.waits_for.is_not(None), runs.c.seen_at > self._database.now(-ALIVE))
        holder = sa.select(runs.c.id).where(runs.c.id == incident.claimed_by, runs.c.ended_at.is_(None), lives)
        return tx.execute(holder).one_or_none() is not None


def _of(site: str, alert: str) -> sa.Select[Any]:
    return incidents.select().where(incidents.c.site == site, incidents.c.alert == alert, _open)


def _opened_by_another(incident: Incident, fingerprint: str) -> bool:
    """Whether an incident stems from another alert of its name: with other labels, and perhaps still on."""
    return bool(incident.fingerprint and fingerprint) and incident.fingerprint != fingerprint


def _kept(tx: sa.Connection, found: sa.Select[Any]) -> Incident | None:
    """The incident that is found, which nobody else changes until the transaction ends."""
    row = tx.execute(found.with_for_update()).one_or_none()
    return _incident(row) if row else None


def _update(tx: sa.Connection, id: str, **values: Any) -> Incident | None:
    """Changes an open incident; None when it is not open."""
    update = incidents.update().where(incidents.c.id == id, _open).values(**values)
    row = tx.execute(update.returning(*incidents.columns)).one_or_none()
    return _incident(row) if row else None


def _incident(row: sa.Row[Any]) -> Incident:
    found = Incident(**row._mapping)
    return replace(found, raiser=Raiser(found.raiser))
