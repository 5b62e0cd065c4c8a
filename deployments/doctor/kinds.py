"""All kinds of findings, by subject, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.doctor import (
    clocks,
    cluster,
    contacts,
    deployed,
    held_back,
    intake,
    labels,
    ledger,
    looks,
    metrics,
    monitoring,
    packages,
    permissions,
    pools,
    readings,
    receivers,
    rules,
    server,
    sites,
    triggers,
    trust,
)
from deployments.doctor.finding import Kind

SUBJECTS: Mapping[str, tuple[Kind, ...]] = {
    "Looks that could not be made": looks.KINDS,
    "Prefect server": server.KINDS,
    "Ledger": ledger.KINDS,
    "Python and packages": packages.KINDS,
    "Deployments and their schedules": deployed.KINDS,
    "Triggers and automations": triggers.KINDS,
    "Work pools and workers": pools.KINDS,
    "Alert intake": intake.KINDS,
    "Clocks": clocks.KINDS,
    "Sites": sites.KINDS,
    "Alert labels": labels.KINDS,
    "Kubernetes": cluster.KINDS,
    "Permissions": permissions.KINDS,
    "Prometheus and Alertmanager": monitoring.KINDS,
    "Metrics": metrics.KINDS,
    "Alert rules": rules.KINDS,
    "Alerts held back": held_back.KINDS,
    "Alertmanager's receivers": receivers.KINDS,
    "Readings and criteria": readings.KINDS,
    "People": contacts.KINDS,
    "Trust and limits": trust.KINDS,
}
