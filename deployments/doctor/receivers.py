"""Alertmanager's configuration, as far as its API shows it: whether alerts are sent to the intake.

Newer versions hide the addresses of webhooks; then it can only be told that there are some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from deployments.doctor.finding import Finding, Health, Kind, fine
from deployments.doctor.routes import receivers_of
from tasks.systems.alertmanager import Alertmanager

_NOT_SENT = "alerts fire and none reaches the intake: only the health check opens incidents"
_RECEIVER = (
    "alertmanager.yml: receivers: [{{name: runbooks, webhook_configs: [{{url: {intake}/alerts, http_config: "
    "{{authorization: {{credentials: RUNBOOKS_INTAKE_TOKEN}}}}}}]}}]"
)

NO_RECEIVER = Kind("no-receiver", Health.BROKEN, _NOT_SENT, _RECEIVER + ", and a route with receiver: runbooks")
HIDDEN = Kind(
    "receiver-hidden",
    Health.DOUBTFUL,
    "Alertmanager hides where its webhooks lead: that one leads to the intake cannot be told",
    "look into alertmanager.yml: one webhook must lead to {intake}/alerts",
)
ELSEWHERE = Kind(
    "receiver-elsewhere",
    Health.DOUBTFUL,
    "it may be another name of the same intake; if not, no alert reaches this one",
    "runbooks doctor --intake URL, as Alertmanager names it; or correct the url in alertmanager.yml to {intake}/alerts",
)
UNROUTED = Kind("receiver-unrouted", Health.BROKEN, _NOT_SENT, "alertmanager.yml: a route with receiver: {receiver}")
NO_TOKEN = Kind(
    "receiver-without-token",
    Health.BROKEN,
    "the intake answers 401 to every alert",
    "alertmanager.yml, in that webhook: http_config: {{authorization: {{credentials: RUNBOOKS_INTAKE_TOKEN}}}}",
)
NOT_RESOLVED = Kind(
    "receiver-not-told-of-the-end",
    Health.BROKEN,
    "incidents stay open when their alerts end, and people go on being called",
    "alertmanager.yml, in that webhook: send_resolved: true",
)
OTHER_ROUTE = Kind(
    "alert-routed-elsewhere",
    Health.DOUBTFUL,
    "with the labels that `runbooks rules` gives it the alert does not reach the intake; labels of its series may lead "
    "it another way",
    "alertmanager.yml: a route with receiver: {receiver} and matchers: [{matchers}] above those that take it, with "
    "continue: true",
)
KINDS = (NO_RECEIVER, HIDDEN, ELSEWHERE, UNROUTED, NO_TOKEN, NOT_RESOLVED, OTHER_ROUTE)

_SECRET = "<secret>"  # noqa: S105 - what Alertmanager shows instead of one


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of Alertmanager's configuration; `routed` says whether any route leads to its receiver."""

    receiver: str
    url: str
    token: bool = True
    resolved: bool = True
    routed: bool = True

    @property
    def hidden(self) -> bool:
        return not self.url or self.url == _SECRET

    @property
    def path(self) -> str:
        return "" if self.hidden else httpx.URL(self.url).path

    def leads_to(self, intake: str) -> bool:
        """Whether it leads to the intake under this very name."""
        return not self.hidden and httpx.URL(self.url) == httpx.URL(f"{intake}/alerts")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the receivers of a configuration call, and the route by which all alerts begin."""

    webhooks: tuple[Webhook, ...]
    route: Mapping[str, Any]


def read(alertmanager: Alertmanager) -> Configuration:
    """What Alertmanager shows of its configuration."""
    return configuration_of(yaml.safe_load(alertmanager.get("/api/v2/status")["config"]["original"]) or {})


def configuration_of(shown: Mapping[str, Any]) -> Configuration:
    """The webhooks and the route of a configuration."""
    route = shown.get("route") or {}
    routed = set(_receivers(route))
    everywhere = (shown.get("global") or {}).get("http_config") or {}
    webhooks = (
        Webhook(
            str(receiver.get("name", "")),
            str(webhook.get("url") or ""),
            _shows_token({**everywhere, **(webhook.get("http_config") or {})}),
            bool(webhook.get("send_resolved", True)),
            receiver.get("name") in routed,
        )
        for receiver in shown.get("receivers") or ()
        for webhook in receiver.get("webhook_configs") or ()
    )
    return Configuration(tuple(webhooks), route)


def _receivers(route: Mapping[str, Any]) -> Iterator[str]:
    """The receivers of a route and of those below it."""
    if "receiver" in route:
        yield str(route["receiver"])
    for below in route.get("routes") or ():
        yield from _receivers(below)


def _shows_token(http: Mapping[str, Any]) -> bool:
    return any(http.get(key) for key in ("authorization", "bearer_token", "bearer_token_file"))


def judge(site: str, intake: str, found: Sequence[Webhook]) -> Iterable[Finding]:
    """Whether a webhook leads to the intake, with all that the intake needs. `intake` is its address."""
    what = "Alertmanager's receivers"
    exact, named = _leading(found, intake)
    if not named:
        hidden = [webhook for webhook in found if webhook.hidden]
        if hidden:
            receivers = ", ".join(dict.fromkeys(webhook.receiver for webhook in hidden))
            yield HIDDEN.found(what, f"webhooks of {receivers}, their addresses are hidden", site, intake=intake)
            yield from _faults_of_all(site, what, hidden)
        else:
            seen = f"{len(found)} webhooks, none leads to {intake}/alerts"
            yield NO_RECEIVER.found(what, seen, site, intake=intake)
        return
    if not exact:
        seen = f"receiver {named[0].receiver} leads to {named[0].url}, not to {intake}/alerts"
        yield ELSEWHERE.found(what, seen, site, intake=intake)
    routed = [webhook for webhook in named if webhook.routed]
    faults = [finding for webhook in routed for finding in _faults(site, what, webhook)]
    if not routed:
        faults = [_unrouted(site, what, named[0])]
    yield from faults
    if exact and not faults:
        yield fine(what, f"receiver {routed[0].receiver} leads to {intake}/alerts", site)


def _leading(found: Sequence[Webhook], intake: str) -> tuple[list[Webhook], list[Webhook]]:
    """The webhooks that lead to the intake by this very name, and those that may."""
    exact = [webhook for webhook in found if webhook.leads_to(intake)]
    return exact, exact or [webhook for webhook in found if webhook.path.rstrip("/").endswith("/alerts")]


def judge_routes(
    site: str, intake: str, found: Configuration, alerts: Iterable[Mapping[str, str]]
) -> Iterable[Finding]:
    """Whether alerts with these labels come to a receiver that leads to the intake, where there is one."""
    named = _leading(found.webhooks, intake)[1] or [webhook for webhook in found.webhooks if webhook.hidden]
    ours = {webhook.receiver for webhook in named if webhook.routed}
    told = [(labels, receivers_of(found.route, labels)) for labels in alerts] if ours else []
    for labels, receivers in told:
        if not ours & set(receivers):
            matchers = ", ".join(f'{name}="{value}"' for name, value in labels.items())
            seen, places = f"it goes to {', '.join(receivers)}", {"receiver": min(ours), "matchers": matchers}
            yield OTHER_ROUTE.found(f"route of {labels['alertname']}", seen, site, **places)
    if told and all(ours & set(receivers) for _, receivers in told):
        yield fine("routes in Alertmanager", f"all {len(told)} alerts go to {', '.join(sorted(ours))}", site)


def _faults_of_all(site: str, what: str, webhooks: Sequence[Webhook]) -> Iterable[Finding]:
    """What is wrong with whichever of them leads to the intake; nothing where one is as the intake needs it."""
    faults = [list(_faults(site, what, one)) if one.routed else [_unrouted(site, what, one)] for one in webhooks]
    return [] if [] in faults else [finding for some in faults for finding in some]


def _unrouted(site: str, what: str, webhook: Webhook) -> Finding:
    seen = f"no route leads to receiver {webhook.receiver}"
    return UNROUTED.found(what, seen, site, receiver=webhook.receiver)


def _faults(site: str, what: str, webhook: Webhook) -> Iterable[Finding]:
    if not webhook.token:
        yield NO_TOKEN.found(what, f"receiver {webhook.receiver} shows no token", site)
    if not webhook.resolved:
        yield NOT_RESOLVED.found(what, f"receiver {webhook.receiver} has send_resolved: false", site)
