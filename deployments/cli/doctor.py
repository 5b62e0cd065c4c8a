"""`runbooks doctor` and `runbooks role`: what will not work, and the permissions that runbooks need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import httpx
from cyclopts import Parameter
from rich.markup import escape

from deployments.cli.installation import require_server
from deployments.cli.output import Exit, Json, UserError, err, out, print_json
from deployments.cli.serve import PORT
from deployments.doctor import Finding, Health, Wishes, examine
from deployments.doctor.permissions import role_yaml
from flows.catalogue import PLATFORMS
from tasks.sites import choose

_COLOUR = {Health.BROKEN: "red", Health.DOUBTFUL: "yellow", Health.FINE: "green"}


def doctor(
    *,
    site: Annotated[str, Parameter(help="Only this site. Without it: all.")] = "",
    intake: Annotated[str, Parameter(help="Where the alert intake listens.")] = f"http://127.0.0.1:{PORT}",
    notify: Annotated[
        bool, Parameter(help="Send a test notice to every contact. Without it nobody is told anything.", negative=())
    ] = False,
    json: Json = False,
) -> int:
    """Tell before the first incident what will not work, and what mends it. Changes nothing.

    Run it where the worker runs: it looks with this host's eyes. The exit code is 0 when nothing is broken (what is
    doubtful may be meant so), 1 when something will not work or could not be looked at, 2 for bad input.
    """
    where = _address(intake)
    if not json:
        err.print("looking ...")
    findings = examine(Wishes(site, str(where), notify))
    counts = Counter(finding.severity for finding in findings)
    if json:
        print_json({"findings": findings, **{health.value: counts[health] for health in Health}})
    else:
        _print(findings)
        out.print(", ".join(f"{counts[health]} {health}" for health in Health))
    return Exit.FAILED if counts[Health.BROKEN] else Exit.FINE


def _address(intake: str) -> httpx.URL:
    with suppress(httpx.InvalidURL):
        where = httpx.URL(intake.rstrip("/"))
        if where.scheme in ("http", "https") and where.host:
            return where
    raise UserError(f"--intake is no http or https address: {intake!r}")


def _print(findings: Sequence[Finding]) -> None:
    """The findings by site, what is broken first."""
    order = list(Health)
    for site in dict.fromkeys(finding.site for finding in findings):
        out.print(f"[bold]{escape(site) or 'installation'}[/bold]")
        ours = [finding for finding in findings if finding.site == site]
        for finding in sorted(ours, key=lambda one: order.index(one.severity)):
            _print_one(finding)
        out.print()


def _print_one(finding: Finding) -> None:
    colour = _COLOUR[finding.severity]
    head = f"  [{colour}]{finding.severity:<8}[/{colour}]  {escape(finding.looked_at)}"
    if finding.severity is Health.FINE:
        out.print(f"{head}: {escape(finding.seen)}")
        return
    out.print(head)
    for name, text in (("seen", finding.seen), ("means", finding.means), ("mend", finding.mend)):
        out.print(f"            {name}: {text}", markup=False)


def role(
    site: str,
    *,
    user: Annotated[str, Parameter(help="Also bind it to this account, as `kubectl auth whoami` names it.")] = "",
) -> int:
    """Print the Kubernetes Role with exactly what runbooks do at a site, for `kubectl apply -f -`.

    Args:
        site: The saved site.
    """
    require_server()
    if not site:
        raise UserError("name a site: see `runbooks sites`")
    try:
        text = role_yaml(choose(PLATFORMS.values(), site).sites[0].platform, user)
    except ValueError as error:
        raise UserError(str(error)) from error
    out.print(text, markup=False, end="")
    return Exit.FINE
