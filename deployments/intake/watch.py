"""The watch beside Prefect: what has to happen although no run is there to do it.

It lives in the intake, works from the ledger alone, and may run twice: each duty is done once, whoever is first. A duty
that fails is logged and tried again at the next look; it keeps no other from being done, and where it fails for one
incident, run or site, the others have their turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from prefect.states import Crashed

from deployments.intake.duty import duty
from deployments.intake.giving_back import GivingBack
from tasks.aftermath import bury, call_about_death
from tasks.approval import Choice, waits_for_worker, wake
from tasks.escalate import NOBODY, TOLD_ALREADY, Matter, call_who_is_due, tell, tell_who_was_called, was_called
from tasks.incidents import UNCLAIMED_FOR, soon_claimed, start_run
from tasks.ledger import Answer, Approval, Ledger, RunRecord
from tasks.model.escalation import NoticeKind
from tasks.model.incident import Incident
from tasks.model.outcome import Outcome, Severity
from tasks.runbook import AnyRunbook
from tasks.sites import Site
from tasks.systems.prefect import get_client

EVERY_SECONDS = 2.0
# An automation of Prefect's takes a second to make a run; in a storm it makes one after the other.
CRITICAL_UNCLAIMED_FOR = timedelta(seconds=5)
REPLACED_AFTER = timedelta(minutes=5)  # a run that was started and never claimed its incident
LOOKED_AT_AGAIN = (Outcome.DEFERRED, Outcome.STEPPED_ASIDE, Outcome.NOTHING_TO_DO)  # while the alert is still on
CALLED_ABOUT_FOR = timedelta(hours=1)  # so long it is tried to reach somebody about a dead run
CALLED_OFF_WITHIN = timedelta(days=1)  # so long it is tried to let the pagers of an incident fall silent

log = logging.getLogger("runbooks.watch")


@dataclass
class Watch:
    """One watch. `sites` are asked anew at every look; `with_people` and `with_prefect` is what else is done then."""

    ledger: Ledger
    runbooks: Mapping[str, AnyRunbook]
    sites: Callable[[], Sequence[Site]]
    with_people: Sequence[Callable[[], None]] = ()
    with_prefect: Sequence[Callable[[], None]] = ()
    unclaimed_for: timedelta = UNCLAIMED_FOR
    went_on_at: dict[str, float] = field(default_factory=dict)  # when each round last went on, by our steady clock
    _here: threading.local = field(default_factory=threading.local)  # which round this thread is at
    _started: set[str] = field(default_factory=set)  # spares the server what it would fold anyway
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.giving_back = GivingBack(self.ledger, self.runbooks)

    def start(self) -> None:
        """Looks every two seconds, in two threads: a Prefect server that hangs must not keep people from being
        called."""
        for work in (self.look_for_people, self.look_for_prefect):
            # In the context of who starts it: how long Prefect is waited for is a setting of the context.
            here = copy_context()
            thread = threading.Thread(target=here.run, args=[self._run, work], name=work.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends the threads after the look that they are at."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def alive(self) -> bool:
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def _run(self, look: Callable[[], None]) -> None:
        while not self._over.wait(EVERY_SECONDS):
            look()

    def look(self) -> None:
        """One look at everything."""
        self.look_for_people()
        self.look_for_prefect()

    def look_for_people(self) -> None:
        """What has to be told to people. It needs the ledger and the channels, nothing else."""
        duties = (self._call, self._call_off, self._call_about_the_dead, self._call_about_overdue)
        self._look("people", duties, self.with_people)

    def look_for_prefect(self) -> None:
        """What has to be done with Prefect's help."""
        duties = (
            self._bury_the_dead,
            self._start_the_unclaimed,
            self._start_the_left,
            self._answer,
            self._give_back,
        )
        self._look("prefect", duties, self.with_prefect)

    def _look(
        self,
        name: str,
        duties: Sequence[Callable[[Mapping[str, Site]], None]],
        others: Sequence[Callable[[], None]],
    ) -> None:
        self._here.round = name
        self._goes_on()
        for other in others:
            with self._duty(other.__qualname__):
                other()
        sites = {site.name: site for site in self.sites()}
        for one in duties:
            with self._duty(one.__name__.strip("_").replace("_", " ")):
                one(sites)

    @contextmanager
    def _duty(self, what: str) -> Iterator[None]:
        """One duty, or its part for one incident, run or site: when many take their time, the round still goes on."""
        self._goes_on()
        with duty(what):
            yield

    def _goes_on(self) -> None:
        self.went_on_at[self._here.round] = time.monotonic()

    # ---- incidents ----

    def _known(self, sites: Mapping[str, Site]) -> Iterable[tuple[Incident, AnyRunbook, Site]]:
        for incident in self.ledger.incidents.still_open():
            runbook, site = self.runbooks.get(incident.runbook), sites.get(incident.site)
            if runbook is not None and site is not None:
                yield incident, runbook, site

    def _call(self, sites: Mapping[str, Site]) -> None:
        """Response times that run out."""
        now = self.ledger.now()
        for incident, runbook, site in self._known(sites):
            with self._duty(f"incident {incident.id[:8]}"):
                for line in call_who_is_due(self.ledger, site.platform, runbook, incident, now):
                    if TOLD_ALREADY not in line and NOBODY not in line:
                        log.warning("incident %s: %s", incident.id[:8], line)

    def _call_off(self, sites: Mapping[str, Site]) -> None:
        """Who was called is told when a person has the incident, and when it is over."""
        taken, resolved = NoticeKind.TAKEN, NoticeKind.RESOLVED
        for id in self.ledger.pages.to_call_off(taken.value, resolved.value, CALLED_OFF_WITHIN):
            incident = self.ledger.incidents.get(id)
            runbook = self.runbooks.get(incident.runbook) if incident else None
            site = sites.get(incident.site) if incident else None
            if incident is not None and runbook is not None and site is not None:
                kind = resolved if incident.resolved_at else taken
                with self._duty(f"incident {id[:8]}"):
                    tell_who_was_called(self.ledger, site.platform, runbook, incident, kind, self.ledger.now())

    def _start_the_unclaimed(self, sites: Mapping[str, Site]) -> None:
        """Incidents whose event got lost or is far behind others, and those that were picked up from a dead run."""
        now = self.ledger.now()
        critical: dict[str, tuple[Incident, AnyRunbook]] = {}
        ordinary: dict[str, tuple[Incident, AnyRunbook]] = {}
        for incident, runbook, _ in self._known(sites):
            waited = now - (incident.announced_at or incident.received_at)
            urgent = runbook.severity is Severity.CRITICAL
            patience = min(self.unclaimed_for, CRITICAL_UNCLAIMED_FOR) if urgent else self.unclaimed_for
            if incident.claimed_by or incident.taken_by or (waited < patience and not incident.pickups):
                continue
            # The same key starts no second run. A run that died before it claimed the incident is replaced in the end.
            key = f"{incident.id}:{incident.pickups}:{int(waited / REPLACED_AFTER)}"
            if key not in self._started:
                (critical if urgent else ordinary)[key] = (incident, runbook)
        # In a storm runs wait for a slot for minutes; a second run of each would make that longer.
        coming = soon_claimed() if critical or ordinary else frozenset()
        for key, (incident, runbook) in {**critical, **ordinary}.items():
            if incident.id not in coming:
                self._start(incident, runbook, key)

    def _start(self, incident: Incident, runbook: AnyRunbook, key: str) -> None:
        with self._duty(f"incident {incident.id[:8]}"):
            run = start_run(runbook.slug, {"site": incident.site, "incident": incident.id}, key)
            self._started.add(key)
            log.warning("incident %s was seen to by no run: started %s", incident.id[:8], run[:8])

    def _start_the_left(self, sites: Mapping[str, Site]) -> None:
        """Incidents that were left to a graver runbook or to the cause's, or in which one look found nothing, and are
        still on when that has ended."""
        for incident, runbook, site in self._known(sites):
            run = self.ledger.runs.get(incident.claimed_by) if incident.claimed_by else None
            if run is None or run.ended_at is None:
                continue
            if incident.quiet_at:  # its alert resolved in the very moment in which the run ended
                self.ledger.incidents.close(incident.id, incident.quiet_at)
                continue
            if run.outcome not in LOOKED_AT_AGAIN or incident.taken_by:
                continue
            waited = self.ledger.now() - run.ended_at
            if waited.total_seconds() < site.platform.pace.look_back_seconds or self._busy(incident, runbook, site):
                continue
            if self.ledger.incidents.let_go(incident.id, run.id):
                # The run that is started now has the usual time to claim it.
                self.ledger.incidents.announced(incident.id, self.ledger.now())
                self._start(incident, runbook, f"{incident.id}:after:{run.id}")

    def _busy(self, incident: Incident, runbook: AnyRunbook, site: Site) -> bool:
        """Whether somebody is at work on what the runbook treats."""
        subject = runbook.subject(site.platform)
        if self.ledger.locks.of(site.name, subject) is not None:
            return True
        runs = (self.ledger.runs.get(other.claimed_by or "") for other, _, its in self._known({site.name: site}) if its)
        return any(run is not None and run.ended_at is None and run.incident != incident.id for run in runs)

    def _bury_the_dead(self, sites: Mapping[str, Site]) -> None:
        """Runs that gave no sign of life: their incident is picked up once, then a person is called."""
        for run in self.ledger.runs.silent(timedelta(0)):
            site = sites.get(run.site)
            if site is None or run.seen_at is None:
                continue
            if self.ledger.now() - run.seen_at > 2 * site.platform.pace.lease:
                with self._duty(f"run {run.id[:8]}"):
                    self._bury(run, site)

    def _bury(self, run: RunRecord, site: Site) -> None:
        log.error("run %s of %s gave no sign of life since %s", run.id[:8], run.runbook, run.seen_at)
        bury(self.ledger, self.runbooks.get(run.runbook), site, run)
        _tell_prefect(run.id)

    def _call_about_the_dead(self, sites: Mapping[str, Site]) -> None:
        """Runs that were buried while nobody could be reached."""
        for run in self.ledger.runs.crashed_within(CALLED_ABOUT_FOR):
            runbook, site = self.runbooks.get(run.runbook), sites.get(run.site)
            if runbook is not None and site is not None:
                with self._duty(f"run {run.id[:8]}"):
                    call_about_death(self.ledger, runbook, site, run)

    # ---- approvals ----

    def _answer(self, sites: Mapping[str, Site]) -> None:
        """Questions that ran out, that were answered elsewhere, or whose alert is over: their runs go on."""
        self.ledger.approvals.expire()
        for incident in {a.incident for a in self.ledger.approvals.waiting() if a.incident}:
            found = self.ledger.incidents.get(incident)
            if found is None or found.resolved_at or found.quiet_at:
                self.ledger.approvals.withdraw(incident)
        for run in self.ledger.runs.suspended():
            approval = self.ledger.approvals.get(run.waits_for or "")
            with self._duty(f"run {run.id[:8]}"):
                if approval is not None and approval.answer is not Answer.ASKED:
                    self._wake(run, approval, sites)
        for approval in self.ledger.approvals.waiting():  # also of runs that do meanwhile what needs no answer
            asking = self.ledger.runs.get(approval.run)
            if asking is not None:
                with self._duty(f"run {asking.id[:8]}"):
                    self._ask(asking, approval, sites)

    def _wake(self, run: RunRecord, approval: Approval, sites: Mapping[str, Site]) -> None:
        choice = Choice.APPROVE if approval.answer is Answer.APPROVED else Choice.DECLINE
        waited = self.ledger.now() - (approval.answered_at or approval.expires_at)
        if wake(run.id, choice, approval.answered_by):
            log.info("run %s goes on: plan %s is %s", run.id[:8], approval.key, approval.answer)
        elif waited > REPLACED_AFTER and run.site in sites and not waits_for_worker(run.id):
            self._bury(run, sites[run.site])  # it was deleted, cancelled, or died before it said that it goes on

    def _ask(self, run: RunRecord, approval: Approval, sites: Mapping[str, Site]) -> None:
        runbook, site = self.runbooks.get(run.runbook), sites.get(run.site)
        if runbook is None or site is None:
            return
        matter = Matter(run.site, runbook, run.severity, run.incident or "", run.id)
        facts = {"plan": approval.key, "until": f"{approval.expires_at:%H:%M:%S} UTC"}
        facts |= {f"change {number}": line for number, line in enumerate(approval.plan, 1)}
        summary = f"approve plan {approval.key}: in the run's page, or `runbooks approve {approval.key}`"
        level = runbook.ladder.level(1)
        tell(self.ledger, site.platform, matter, NoticeKind.APPROVAL_WANTED, level, summary, self.ledger.now(), facts)

    # ---- giving back ----

    def _give_back(self, sites: Mapping[str, Site]) -> None:
        self.giving_back.look(sites.values())

    def _call_about_overdue(self, sites: Mapping[str, Site]) -> None:
        """What should have been given back by now."""
        for claim in self.ledger.claims.overdue():
            site, runbook = sites.get(claim.site), self.runbooks.get(claim.runbook)
            if site is None or runbook is None:
                continue
            matter = Matter(claim.site, runbook, claim.severity, claim.incident or "", claim.run, claim.id)
            due = f"{claim.due_at:%Y-%m-%d %H:%M} UTC"
            summary = f"{claim.field} of {claim.target} is still {claim.claim}: it was to be given back by {due}"
            tell(
                self.ledger,
                site.platform,
                matter,
                NoticeKind.RESTORE_OVERDUE,
                runbook.ladder.level(1),
                summary,
                self.ledger.now(),
                {"claim": str(claim.claim), "made": f"{claim.made_at:%Y-%m-%d %H:%M} UTC by run {claim.run[:8]}"},
            )
            # Else it stays on the list, and is called about again.
            if was_called(self.ledger, site.platform, matter, NoticeKind.RESTORE_OVERDUE):
                self.ledger.claims.paged([claim.id])


def _tell_prefect(run: str) -> None:
    """Lets the Prefect UI tell the truth about a run that is dead."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run), Crashed(message="gave no sign of life"), force=True)
