"""`runbooks approve`, `take`, `pause`, `resume`, `restore`, `changes`: how a person steers what runs by itself."""

from __future__ import annotations

import getpass
import os
from typing import Annotated

from cyclopts import Parameter

from deployments.cli.installation import our_ledger, require_server
from deployments.cli.output import Exit, Json, UserError, out, print_json, print_table
from tasks.approval import Choice, wake
from tasks.incidents import start_run
from tasks.ledger import Answer, Approval
from tasks.model.incident import Incident

By = Annotated[str | None, Parameter(help="Your name, for the record. By default your login name.", show_default=False)]


def _name(by: str | None) -> str:
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def approve(
    key: str | None = None,
    *,
    decline: Annotated[bool, Parameter(help="Say no instead.", negative=())] = False,
    by: By = None,
    json: Json = False,
) -> int:
    """Approve a plan that a run asks for, or list the plans that wait for an answer.

    The approval is for this plan only and until it expires; the run makes a fresh diagnosis before it acts on it.

    Args:
        key: The plan's key, from the notification, the run's page or this list.
    """
    with our_ledger() as ledger:
        if key is None:
            return _waiting(ledger.approvals.waiting(), json=json)
        asked = ledger.approvals.get(key)
        if asked is None:
            raise UserError(f"nobody asks for plan {key!r}: see `runbooks approve` for those that wait")
        require_server()
        before = asked.answer
        answered = ledger.approvals.answer(key, not decline, _name(by))
    wanted = Answer.DECLINED if decline else Answer.APPROVED
    if answered.answer is not wanted or before is not Answer.ASKED:
        raise UserError(f"plan {key} is {answered.answer} already: nothing was changed")
    going_on = wake(answered.run, Choice.DECLINE if decline else Choice.APPROVE, answered.answered_by)
    if json:
        print_json({"plan": key, "answer": answered.answer.value, "run": answered.run, "resumed": going_on})
    else:
        out.print(f"plan {key} is {answered.answer}; run {answered.run[:8]} {'goes on' if going_on else 'is told'}")
    return Exit.FINE


def _waiting(approvals: list[Approval], *, json: bool) -> int:
    if json:
        print_json(approvals)
        return Exit.FINE
    rows = [(a.key, a.runbook, a.site, f"{a.expires_at:%H:%M:%S}", line) for a in approvals for line in a.plan]
    print_table(("plan", "runbook", "site", "until (UTC)", "change"), rows, empty="No plan waits for an answer.")
    return Exit.FINE


def take(
    incident: str,
    *,
    back: Annotated[bool, Parameter(help="Hand it back to the automation.", negative=())] = False,
    by: By = None,
    json: Json = False,
) -> int:
    """Say 'I have it': automation stands back from this incident, and nobody else is called about it.

    A run that is at work on it stops before its next write. What it changed stays as it is, and is listed by
    `runbooks changes`.

    Args:
        incident: Its id, or the beginning of it, see `runbooks status`.
    """
    with our_ledger() as ledger:
        known = ledger.incidents.get(incident)
        if known is None:
            raise UserError(
                f"there is no incident {incident!r}, or more than one that begins so: see `runbooks status`"
            )
        if known.resolved_at is not None:
            raise UserError(f"incident {known.id[:8]} is over since {known.resolved_at:%Y-%m-%d %H:%M:%S} UTC")
        done: Incident | None
        done = ledger.incidents.hand_back(known.id) if back else ledger.incidents.take(known.id, _name(by))
    if json:
        print_json(done or known)
    elif back:
        out.print(f"incident {known.id[:8]} is the automation's again; start a run with `runbooks run`")
    else:
        out.print(f"incident {known.id[:8]} is yours: automation stands back from it")
    return Exit.FINE


def pause(
    *,
    site: Annotated[str, Parameter(help="Only this site. Without it: everything.")] = "",
    reason: Annotated[str, Parameter(help="Why, for those who wonder.")] = "",
    by: By = None,
    json: Json = False,
) -> int:
    """Stop all automation: nothing is written any more, at one site or anywhere. Runs go on looking and reporting."""
    with our_ledger(site) as ledger:
        ledger.pauses.pause(site, reason, _name(by))
    where = site or "everywhere"
    print_json({"paused": where}) if json else out.print(
        f"paused: {where}. Go on with `runbooks resume`.", markup=False
    )
    return Exit.FINE


def resume(
    *,
    site: Annotated[
        str, Parameter(help="The pause of this site. Without it: that of everything; a site's own stays.")
    ] = "",
    json: Json = False,
) -> int:
    """Let automation write again. A pause by the variable in the UI or by the file on a worker is ended there."""
    with our_ledger(site) as ledger:
        done = ledger.pauses.resume(site)
        left = ledger.pauses.all()
    if json:
        print_json({"resumed": done, "still paused": left})
    else:
        out.print(f"resumed: {site or 'everywhere'}" if done else f"{site or 'all automation'} was not paused")
        for one in left:
            out.print(f"still paused: {one.site or 'everywhere'}, by {one.by}: {one.reason}", markup=False)
    return Exit.FINE


def changes(*, site: Annotated[str | None, Parameter(help="Only this site.")] = None, json: Json = False) -> int:
    """Show what is still changed: every number that a runbook holds, what it was before, and on whose behalf."""
    with our_ledger(site or "") as ledger:
        holdings = ledger.claims.holdings(site)
    if json:
        print_json(holdings)
        return Exit.FINE
    rows = [
        (
            h.site,
            str(h.target),
            h.field,
            _levels(h.baseline),
            _levels(h.written),
            str(c.claim),
            c.runbook,
            (c.incident or c.run)[:8],
            f"{c.due_at:%m-%d %H:%M}",
        )
        for h in holdings
        for c in h.claims
    ]
    head = ("site", "target", "field", "before", "now", "claim", "runbook", "for", "give back by (UTC)")
    print_table(head, rows, empty="Nothing is left changed.")
    return Exit.FINE


def _levels(levels: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in dict(levels).items()) if isinstance(levels, dict) else str(levels)


def restore(
    *,
    site: Annotated[str, Parameter(help="Only this site. Without it: all.")] = "",
    force: Annotated[
        bool, Parameter(help="Without asking whether it is still needed. The guards are asked.", negative=())
    ] = False,
    json: Json = False,
) -> int:
    """Give back what was changed for a while, as far as it is not needed any more. See `runbooks changes`."""
    require_server()
    with our_ledger(site) as ledger:
        key = f"restore:{site}:{force}:{ledger.now().isoformat()}"
    run = start_run("restore", {"site": site, "force": force}, key)
    print_json({"run": run}) if json else out.print(f"restore started: run {run[:8]}, see `runbooks status {run[:8]}`")
    return Exit.FINE
