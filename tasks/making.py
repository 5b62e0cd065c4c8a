"""One change being made: read again, ask the guards again, write down, act, check.

Safe to repeat. A desired state is read first, and if an earlier attempt did reach the target in spite of its error,
nothing is left to do but to check. What must not be done twice is asked after instead (`Once`), and if the target
cannot tell, the effect is unknown and a person has to look.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, TypeVar

from prefect import State
from prefect.runtime import task_run
from prefect.states import Failed

from tasks import failpoint
from tasks.case import Case, Planned, try_again
from tasks.ledger import ChangeState, LockLost, NotOurs
from tasks.model.change import Conflict, Diff, Once, PreconditionFailed, Purpose, describe
from tasks.model.evidence import Unknown
from tasks.model.refusal import Refusal, Refused
from tasks.plan import done_already
from tasks.platform import Platform
from tasks.systems.errors import explain, is_transient, turned_away

P = TypeVar("P", bound=Platform)
F = TypeVar("F")

RETRIES = 3
CONFLICTS = 10  # a busy controller rewrites an object's status several times a second
_REFUSED = "Refused"  # the state of a change that a guard refused at the moment of acting


class Making:
    """One planned change of a run.

    `reached` says that a write reached the target, or may have; `refused` why it was refused in the end.
    """

    def __init__(self, case: Case[P, F], option: str, planned: Planned, purpose: Purpose = Purpose.CHANGE) -> None:
        self._case: Case[Any, Any] = case
        self._option = option
        self._planned = planned
        self._purpose = purpose
        self._number: int | None = None  # of the ledger's entry, once the intent is written
        self.reached = False
        self.refused: Refused | None = None

    @property
    def text(self) -> str:
        """What is made, e.g. `orchestration, replicas: 2 -> 5`."""
        return self._planned.text

    def attempt(self) -> str | State[Any]:
        """Makes the change; as a task's work, so trouble is returned as a state."""
        change, ledger = self._planned.change, self._case.ledger
        name = f"{change.target}, {change.field}"
        try:
            with self._case.writing:
                diff = self._write()
                if not self.reached:
                    self._settle(ChangeState.NOT_NEEDED, "somebody else did it meanwhile")
                    return f"already {diff.before}"
                assert self._number is not None  # what reached the target was intended first
                failpoint.reach("applied")
                ledger.changes.settle(self._number, ChangeState.APPLIED, "")
                ledger.claims.confirm(self._number)
            self._case.moments.append((datetime.now(UTC), f"{name}: {diff.after}"))
            self._case.note("changed", f"{name}: {diff}")
            failpoint.reach("settled")
            seen = change.verify(self._case.platform.pace.verify)
            failpoint.reach("verified")
            ledger.changes.settle(self._number, ChangeState.IN_EFFECT, seen)
            self._case.note("in effect", f"{name}: {seen}")
            return seen
        except Refused as refused:  # the plan was in order, but things have changed since
            return self._refuse(refused)
        except PreconditionFailed as error:
            return self._refuse(Refused(Refusal.PRECONDITION, str(error)))
        except Exception as error:
            return self._fail(error)

    def _fail(self, error: Exception) -> State[Any]:
        change = self._planned.change
        text = Unknown.because(explain(error)).reason
        again = try_again(text, task_run.run_count, RETRIES) if is_transient(error) else None
        if again is not None:
            self._case.note("trying again", f"{describe(change)}: {text}")
            return again
        state = self._broken_off
        if state is ChangeState.EFFECT_UNKNOWN:
            self.refused = Refused(Refusal.EFFECT_UNKNOWN, text)
        self._settle(state, text)
        self._case.note(state.value, f"{describe(change)}: {text}")
        return Failed(name="NotInEffect", message=text)

    def _refuse(self, refused: Refused) -> State[Any]:
        self.refused = refused
        change = self._planned.change
        if self._number is None:
            self._case.refuse(self._option, change, self._planned.diff, str(refused), self._purpose)
        else:
            self._settle(self._broken_off if self.reached else ChangeState.REFUSED, str(refused))
        self._case.note("refused", f"{describe(change)}: {refused}")
        return Failed(name=_REFUSED, message=str(refused))

    @property
    def _broken_off(self) -> ChangeState:
        """What became of a change that did not come to its end: one that must not be made twice is never just failed
        when its write may have arrived, or somebody would make it again."""
        twice = self.reached and isinstance(self._planned.change, Once)
        return ChangeState.EFFECT_UNKNOWN if twice else ChangeState.FAILED

    def _settle(self, state: ChangeState, detail: str) -> None:
        if self._number is None:
            return
        self._case.ledger.changes.settle(self._number, state, detail)
        if not self.reached:
            self._case.ledger.claims.withdraw(self._number)

    def _write(self) -> Diff:
        change, not_ours = self._planned.change, None
        for _ in range(CONFLICTS):
            diff = done_already(self._case, change) or change.diff()
            if not diff.needed:
                return diff
            self._case.hold(change.target)
            self._case.check(change, diff, self._after, self._planned.key, self._purpose)
            live = diff.draft.before if diff.draft else None
            try:
                self._intend(diff, looked_again=live == not_ours)
            except NotOurs:
                not_ours = live
                continue
            try:
                change.apply(diff)
            except Conflict:
                continue
            except PreconditionFailed:  # found while it was about to write: nothing was sent
                raise
            except Exception as error:
                if not turned_away(error):  # then nobody knows whether it arrived
                    self.reached = self._case.changed = True
                raise
            self.reached = self._case.changed = True
            return diff
        raise Conflict(f"{change.target} kept changing while it was written, {CONFLICTS} times in a row")

    @property
    def _after(self) -> str:
        return self._planned.diff.after if self._planned.diff else ""

    def _intend(self, diff: Diff, *, looked_again: bool) -> None:
        """Writes the change down, unless the lock was lost in this very moment."""
        asked = time.monotonic()
        failpoint.reach("before intend")
        try:
            number = self._case.intend(
                self._option, self._planned.change, diff, self._purpose, self._number, looked_again
            )
        except LockLost as lost:
            raise Refused(Refusal.SUPERSEDED, str(lost)) from lost
        self._number = number
        failpoint.reach("intended")
        # The ledger granted the write at a moment after `asked`; a process that was halted since may have slept
        # through its lease.
        if time.monotonic() - asked > self._case.lease.total_seconds() / 2:
            raise Refused(Refusal.SUPERSEDED, "this run was halted between being allowed to write and writing")
