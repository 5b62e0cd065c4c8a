"""Who is called about the message bus.

Source: Message Bus & Orchestration Troubleshooting Runbook, "Escalation Paths", with its "Contacts".
"""

from __future__ import annotations

from datetime import timedelta

from flows.message_bus.platform import DOCUMENT
from tasks.model.escalation import Contact, Ladder, Level

LADDER = Ladder(
    document=DOCUMENT,
    section="Escalation Paths",
    levels=(
        Level(
            number=1,
            name="On-Call Engineer",
            scope="Respond to alerts, follow runbook procedures",
            authority="Scale services, restart pods, apply configuration changes",
            escalate_if="Issue persists >30 minutes, data loss suspected, security incident",
        ),
        Level(
            number=2,
            name="Platform Team Lead",
            scope="Complex debugging, code hotfixes, architecture decisions",
            authority="Deploy code changes, modify infrastructure, coordinate with other teams",
            escalate_if="Issue requires multi-team coordination, affects multiple services",
            after=timedelta(minutes=30),  # "Issue persists >30 minutes"
        ),
        Level(
            number=3,
            name="Engineering Management",
            scope="Incident command, customer communication, post-mortem coordination",
            authority="Emergency decisions, resource allocation, external communication",
            escalate_if="",
        ),
    ),
    # The document lists the contacts beside the levels. Which belongs to which follows from the roles: incident
    # command is in the scope of level 3.
    contacts=(
        Contact("On-Call", "PagerDuty rotation", level=1),
        Contact("Platform Team", "#platform-team Slack channel", level=2),
        Contact("Engineering Manager", "manager@waooaw.com", level=3),
        Contact("Incident Commander", "#incidents Slack channel", level=3),
    ),
)
