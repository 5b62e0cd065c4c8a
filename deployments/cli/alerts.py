"""`runbooks alerts`: the alerts that arrived and that have no incident."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from deployments.cli.installation import our_ledger
from deployments.cli.output import Exit, Json, out, print_json, print_table
from tasks.ledger import Stray


def alerts(
    *,
    forget: Annotated[bool, Parameter(help="Take those that are shown off the list.", negative=())] = False,
    json: Json = False,
) -> int:
    """List the alerts that no runbook or no site knows, and those that are held back because they are our own doing.

    They are kept, so that nothing is lost in silence. One that a site answers to later, because its block was saved or
    changed, is taken up then by itself; so is one that is still on when what explained it was given back.
    """
    with our_ledger() as ledger:
        strays = ledger.strays.all()
        if forget:  # not what is held back: it would be lost
            strays = [stray for stray in strays if not stray.held_back]
            ledger.strays.forget([stray.key for stray in strays])
    if json:
        print_json({"alerts": strays, "forgotten": forget})
        return Exit.FINE
    head = ("alert", "why", "labels", "first (UTC)", "last (UTC)", "times", "on")
    print_table(head, [_row(stray) for stray in strays], empty="Every alert that arrived was answered to.")
    if strays and forget:
        out.print(f"{len(strays)} forgotten.")
    return Exit.FINE


def _row(stray: Stray) -> tuple[str, ...]:
    labels = ", ".join(f"{key}={value}" for key, value in sorted(stray.labels.items()) if key != "alertname")
    when = (f"{moment:%m-%d %H:%M:%S}" for moment in (stray.first_at, stray.last_at))
    return (
        stray.alert or "(no name)",
        stray.why,
        labels,
        *when,
        str(stray.times),
        "over" if stray.resolved_at else "yes",
    )
