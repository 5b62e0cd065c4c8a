"""What may happen to a plant and its runbooks, as rules of a hypothesis state machine.

Processes run interleaved, point by point, as the rules let them; they are halted, killed, and left asleep for hours.
Around them alerts come and go, readings fail, clocks jump, people pause automation, take incidents, answer questions
and turn the same knobs. After every rule the judge must have found nothing; in the end all must be given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tasks.ledger import Approval
from tasks.model.target import Target
from tests.properties.ending import complaints, heal
from tests.properties.plant import RUNBOOKS, healthy
from tests.properties.processes import Process
from tests.properties.theatre import SITE, Theatre
from tests.properties.world import LETTERS, PODS, POOL, SOURCES, Batch, Trouble

T = TypeVar("T")

FREEZE = {"begins": "2026-01-01T12:20:00Z", "ends": "2026-01-01T13:00:00Z"}
ALERTS = {runbook.alert: id for id, runbook in RUNBOOKS.items()}
POINTS = (
    "claimed",
    "before intend",
    "intended",
    "before write",
    "after write",
    "applied",
    "settled",
    "before ledger",
    "asked",
    "suspended",
    "before gate",
    "before end",
)
GONE = "cannot be reached"  # what is said when a test took the Prefect server away

points = st.sampled_from(POINTS)
which = st.integers(0, 4)  # of the processes, runs or questions that there are
queues = st.sampled_from([0.0, 850.0, 850.0, 1500.0])
sites = st.fixed_dictionaries(
    {
        "trust": st.sampled_from(["act"] * 6 + ["approve", "plan", "observe"]),
        "sources_floor": st.sampled_from([0, 0, 2]),
        "pods_ceiling": st.sampled_from([12, 12, 4]),
        "workers_ceiling": st.sampled_from([20, 20, 15]),
        "limits": st.fixed_dictionaries(
            {
                "changes_per_hour": st.sampled_from([20, 20, 3]),
                "max_sick_share": st.sampled_from([0.5, 0.5, 1.0]),
                "freezes": st.sampled_from([[], [], [], [FREEZE]]),
            }
        ),
    }
)


def pick(things: Sequence[T], number: int) -> T:
    return things[number % len(things)]


class Life(RuleBasedStateMachine):
    """The life of one plant."""

    theatre: Theatre

    # ---- how it begins ----

    @initialize(
        site=sites, inflow=st.sampled_from([15.0, 40.0, 60.0, 200.0]), queue=queues, batches=which, point=points
    )
    def begin(self, site: dict[str, Any], inflow: float, queue: float, batches: int, point: str) -> None:
        """A site with limits of its own, something that is wrong already, and runs that have begun."""
        self.theatre = Theatre(**site)
        world = self.theatre.world
        world.inflow, world.queue, world.target_tells = inflow, queue, batches % 2 == 0
        world.batches += [Batch(number) for number in range(1, batches // 2 + 1)]
        self.alertmanager()
        self.workers_start()
        for process in self._living():
            self.theatre.host.run_to(process, point)

    # ---- processes ----

    def _living(self) -> list[Process]:
        return self.theatre.living()

    @precondition(lambda self: self._living())
    @rule(number=which, point=points)
    def goes_on(self, number: int, point: str) -> None:
        """A process goes on to some point, or until it sleeps."""
        self.theatre.host.run_to(pick(self._living(), number), point)

    @precondition(lambda self: self._living())
    @rule(number=which, steps=st.integers(1, 12))
    def goes_some_steps(self, number: int, steps: int) -> None:
        """A process goes on by some points, whatever they are."""
        process = pick(self._living(), number)
        for _ in range(steps):
            self.theatre.host.step(process)

    @precondition(lambda self: self._living())
    @rule(number=which)
    def runs_out(self, number: int) -> None:
        """A process runs to its end."""
        self.theatre.host.run_out(pick(self._living(), number))

    @rule(rounds=st.integers(1, 4))
    def all_go_on(self, rounds: int) -> None:
        """A quiet hour, in which everybody does all that there is to do."""
        self.theatre.go_on(rounds)

    @precondition(lambda self: self._living())
    @rule(number=which, sleeps=st.booleans())
    def breaks_down(self, number: int, sleeps: bool) -> None:
        """kill -9; or SIGSTOP, a host that swaps, a machine that is suspended: no work, no heartbeat."""
        process = pick(self._living(), number)
        if sleeps:
            self.theatre.host.stop(process)
        else:
            self.theatre.host.kill(process)

    def _asleep(self) -> list[Process]:
        return [p for p in self.theatre.host.processes if p.stopped and not p.over]

    @precondition(lambda self: self._asleep())
    @rule(number=which)
    def wakes_up(self, number: int) -> None:
        """It goes on as if nothing had been."""
        self.theatre.host.wake(pick(self._asleep(), number))

    @rule()
    def workers_start(self) -> None:
        """Workers start what is scheduled."""
        for run in self.theatre.scheduled():
            self.theatre.start(run)

    @rule(at_once=st.booleans())
    def watch_looks(self, at_once: bool) -> None:
        """The intake's watch looks: at once, or as slowly as everybody else."""
        process = self.theatre.watch()
        if at_once:
            self.theatre.host.run_out(process)

    # ---- time ----

    @rule(seconds=st.sampled_from([1, 20, 100, 200, 400, 2000]))
    def time_passes(self, seconds: int) -> None:
        self.theatre.host.let_pass(seconds)

    @rule(seconds=st.sampled_from([-7200, -100, -20, 20, 100, 7200]))
    def clock_jumps(self, seconds: int) -> None:
        """Somebody sets the wall clock."""
        self.theatre.clock.jump(timedelta(seconds=seconds))

    # ---- alerts ----

    @rule()
    def alertmanager(self) -> None:
        """Alertmanager says what is true."""
        now = self.theatre.world.now()
        for alert, runbook in ALERTS.items():
            self._tells(alert, "resolved" if healthy(runbook, now) else "firing")

    @rule(alert=st.sampled_from(sorted(ALERTS)), status=st.sampled_from(["firing", "resolved"]))
    def alert(self, alert: str, status: str) -> None:
        """An alert that need not be true."""
        self._tells(alert, status)

    def _tells(self, alert: str, status: str) -> None:
        self.theatre.alert(alert, status)

    # ---- the plant ----

    @rule(inflow=st.sampled_from([15.0, 40.0, 60.0, 200.0]), queue=queues, hangs=st.booleans())
    def load_changes(self, inflow: float, queue: float, hangs: bool) -> None:
        """And Alertmanager says so."""
        world = self.theatre.world
        world.inflow, world.queue, world.hangs = inflow, queue, hangs
        self.alertmanager()

    @rule()
    def letters_are_lost(self) -> None:
        """One more batch of dead letters."""
        batches = self.theatre.world.batches
        batches.append(Batch(len(batches) + 1))
        self.alertmanager()

    @rule(
        sick=st.integers(0, 6),
        rolls=st.sampled_from(["", "", "a rollout is under way"]),
        budget=st.sampled_from([None, None, 0]),
    )
    def pods_change(self, sick: int, rolls: str, budget: int | None) -> None:
        """Pods fall sick, are replaced, or must not go."""
        world = self.theatre.world
        world.sick, world.rollout, world.budget = sick, rolls, budget
        world.things[PODS].touch()

    @rule(of=st.sampled_from([PODS, POOL, SOURCES, LETTERS]), owner=st.sampled_from(["", "Argo CD"]))
    def owner_changes(self, of: Target, owner: str) -> None:
        thing = self.theatre.world.things[of]
        thing.owner = owner
        thing.touch()

    @rule(
        metric=st.sampled_from(["queue", "letters"]),
        how=st.sampled_from(["well", "not at all", "as NaN"]),
        trouble=st.sampled_from([None, *Trouble]),
    )
    def answers_badly(self, metric: str, how: str, trouble: Trouble | None) -> None:
        """A metric cannot be read from now on, or is not a number; the next write goes wrong."""
        world = self.theatre.world
        world.trouble = trouble
        for names, word in ((world.unreadable, "not at all"), (world.not_numbers, "as NaN")):
            (names.add if how == word else names.discard)(metric)

    @rule(away=st.booleans(), loses=st.booleans())
    def prefect_is(self, away: bool, loses: bool) -> None:
        """The server cannot be reached; it loses events."""
        self.theatre.prefect.away, self.theatre.prefect.loses_events = away, loses

    # ---- people ----

    @rule(number=which, what=st.sampled_from(["queue-high", "queue-critical", "letters-lost", "restore", "incident"]))
    def person_starts(self, number: int, what: str) -> None:
        """A run by hand, perhaps for an incident that has one already; a restore, with or without conditions."""
        incidents = self.theatre.ledger.incidents.still_open()
        parameters: dict[str, Any] = {"site": SITE}
        if what == "restore":
            parameters["force"] = number % 2 == 0
        elif what == "incident" and incidents:
            incident = pick(incidents, number)
            parameters["incident"], what = incident.id, incident.runbook.replace("_", "-")
        if what != "incident":
            self.theatre.start(self.theatre.prefect.new_run(what, parameters))

    @rule(by=st.sampled_from(["command", "file", "variable"]), site=st.sampled_from(["", SITE]))
    def person_pauses(self, by: str, site: str) -> None:
        theatre = self.theatre
        match by:
            case "command":
                theatre.ledger.pauses.pause(site, "", "Ada")
            case "file":
                theatre.pause_file.write_text("stop")
            case _:
                theatre.prefect.variables["runbooks_paused"] = "yes"

    @precondition(lambda self: self.theatre.is_paused())
    @rule()
    def person_resumes(self) -> None:
        self.theatre.resume()

    @rule(number=which, back=st.booleans())
    def person_takes(self, number: int, back: bool) -> None:
        """'I have it', or not any more."""
        incidents = self.theatre.ledger.incidents
        if found := incidents.still_open():
            incident = pick(found, number)
            if back:
                incidents.hand_back(incident.id)
            else:
                incidents.take(incident.id, "Ada")

    @rule(of=st.sampled_from([PODS, POOL, SOURCES]), value=st.integers(1, 14))
    def person_sets(self, of: Target, value: int) -> None:
        """By hand, past all of this."""
        self.theatre.world.set_by_hand(of, value)

    def _asked(self) -> list[Approval]:
        return self.theatre.ledger.approvals.waiting()

    @precondition(lambda self: self._asked())
    @rule(number=which, approved=st.sampled_from([True, True, False]), in_the_form=st.booleans())
    def person_answers(self, number: int, approved: bool, in_the_form: bool) -> None:
        """On the command line, or in the form of the suspended run."""
        question = pick(self._asked(), number)
        if in_the_form:
            choice = "approve" if approved else "decline"
            self.theatre.prefect.resume(question.run, {"answer": {"choice": choice, "name": "Ada"}})
        else:
            self.theatre.ledger.approvals.answer(question.key, approved, "Ada")

    # ---- what must hold ----

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "theatre"):
            assert not self.theatre.judge.found, "\n".join(map(str, self.theatre.judge.found))
            assert not [line for line in self.theatre.failures() if GONE not in line]

    def teardown(self) -> None:
        if not hasattr(self, "theatre"):
            return
        theatre = self.theatre
        try:
            if not theatre.judge.found:
                heal(theatre)
                found = [line for line in complaints(theatre) if GONE not in line]
                assert not found, "in the end:\n" + "\n".join(found)
        finally:
            theatre.close()
