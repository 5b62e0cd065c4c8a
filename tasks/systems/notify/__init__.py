"""Telling people: PagerDuty, Slack, and whatever takes JSON.

A notifier puts a notice into its receiver's form, keeps that receiver's limits, and says whether it was taken. Texts
come from alerts, logs and pods: secrets are removed from them, and what would be a command to the receiver is escaped.
Sending the same notice twice does no harm.
"""

from __future__ import annotations

from typing import Protocol

from tasks.model.escalation import Notice
from tasks.systems.notify.delivery import NotAccepted
from tasks.systems.notify.pagerduty import PagerDuty
from tasks.systems.notify.slack import Slack
from tasks.systems.notify.webhook import Webhook

__all__ = ["NotAccepted", "Notifier", "PagerDuty", "Slack", "Webhook"]


class Notifier(Protocol):
    """Whoever can tell people something."""

    @property
    def name(self) -> str:
        """What it is called in reports, e.g. `Slack`. Never an address or a key."""

    def send(self, notice: Notice) -> str:
        """Sends a notice and says what was sent, e.g. `trigger runbooks/incident/4f0c`.

        Raises:
            NotAccepted: the receiver answered and did not take it. Trying again helps only with 408, 429 and 5xx.
            httpx.TransportError: no answer. The notice may have arrived all the same.
        """
