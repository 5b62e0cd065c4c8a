"""Whether an alert is still on, asked of whoever raised it."""

from __future__ import annotations

from datetime import timedelta

from tasks.model.criterion import Criterion, Limit
from tasks.model.evidence import Reading, UnknownReading
from tasks.model.incident import Raiser
from tasks.platform import Platform
from tasks.runbook import Trigger

NOT_FIRING = Limit("<=", 0, "firing")


def alert_resolved(text: str, platform: Platform, alert: str, trigger: Trigger, raiser: Raiser) -> Criterion:
    """The criterion that the alert is resolved.

    An alert that came through Alertmanager must be inactive there, and its rule must have been evaluated as inactive
    after the last change: an Alertmanager that hears nothing any more drops its alerts too. Its series must be there:
    an alert whose series is gone, or is not a number, falls silent as well. What a health check raised is judged by
    the health check's own condition; so is a manual run's where nobody keeps alerts.
    """

    def measure() -> Reading[float]:
        condition = _by_condition(platform, trigger)
        if raiser is Raiser.HEALTH_CHECK or not (platform.alertmanager_url or platform.prometheus_url):
            return condition
        return _by_monitoring(platform, alert, condition)

    return Criterion(
        id="alert_resolved",
        text=text,
        measure=measure,
        limit=NOT_FIRING,
        within=platform.escalate_after,
        settle=platform.pace.settle,
        stale_after=platform.pace.stale_after,
    )


def rule_fires(platform: Platform, alert: str) -> bool:
    """Whether Prometheus says that the alert is on. Where nobody can be asked, it is not known to be."""
    try:
        prometheus = platform.prometheus()
        return prometheus is not None and prometheus.rule(alert, platform.alert_labels).state == "firing"
    except Exception:  # whatever went wrong, nothing is known of it
        return False


def _by_condition(platform: Platform, trigger: Trigger) -> Reading[float]:
    reading = platform.metrics().ask(trigger.question)
    firing = float(trigger.broken.holds(reading.value))
    return Reading(firing, f"{reading.source} {trigger.broken}", reading.reach, reading.lag, reading.at)


def _by_monitoring(platform: Platform, alert: str, condition: Reading[float]) -> Reading[float]:
    asked, evaluated = [], timedelta(0)
    if (prometheus := platform.prometheus()) is not None:
        rule = prometheus.rule(alert, platform.alert_labels)
        if not rule.healthy:
            raise UnknownReading(f"Prometheus cannot evaluate {alert}: {rule.error}")
        firing, evaluated = rule.state != "inactive", rule.evaluated
        asked.append(f"Prometheus rule {alert}")
    else:  # an Alertmanager alone cannot tell when the rule was evaluated: the condition stands for it
        firing = bool(condition.value)
        asked.append(condition.source)
    if (alertmanager := platform.alertmanager()) is not None:
        firing = alertmanager.active({"alertname": alert, **platform.alert_labels}) or firing
        asked.append(f"Alertmanager {alert}")
    reach, lag = max(evaluated, condition.reach), max(evaluated, condition.lag)
    return Reading(float(firing), " and ".join(asked), reach=reach, lag=lag)
