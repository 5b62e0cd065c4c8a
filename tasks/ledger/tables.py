"""The tables of the ledger as they are now. What led here is in `migrations`; a test holds the two together."""

from __future__ import annotations

import sqlalchemy as sa

from tasks.ledger.columns import Plain, Redacted, Utc, moment, target, text, words

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    },
)

_STILL = sa.text("ended_at IS NULL")
_OPEN = sa.text("closed_at IS NULL")
_UNRESOLVED = sa.text("resolved_at IS NULL")


def _number() -> sa.Column[int]:
    """A number that is given once: with `sqlite_autoincrement`, because SQLite would use those of pruned rows again."""
    return sa.Column("id", sa.Integer, primary_key=True)


meta = sa.Table("meta", metadata, text("key", primary_key=True), text("value"))

incidents = sa.Table(
    "incident",
    metadata,
    text("id", primary_key=True),
    text("raiser"),
    text("alert"),
    text("runbook"),
    text("site"),
    text("severity"),
    words("summary"),
    sa.Column("labels", sa.JSON, nullable=False),
    text("fingerprint"),
    moment("started_at"),
    moment("received_at", index=True),
    sa.Column("quiet_at", Utc),
    sa.Column("resolved_at", Utc),
    sa.Column("claimed_by", Plain),
    sa.Column("announced_at", Utc),
    sa.Column("taken_by", Plain),
    sa.Column("taken_at", Utc),
    sa.Column("pickups", sa.Integer, nullable=False),
    # One open incident per alert and site: a resolved one makes room for the next.
    sa.Index("one_open_incident", "site", "alert", unique=True, sqlite_where=_UNRESOLVED, postgresql_where=_UNRESOLVED),
)
breaches = sa.Table(
    "breach",
    metadata,
    text("site", primary_key=True),
    text("runbook", primary_key=True),
    moment("since"),
    moment("seen_at"),
)
runs = sa.Table(
    "run",
    metadata,
    text("id", primary_key=True),
    text("runbook"),
    text("site"),
    sa.Column("incident", Plain, index=True),
    text("severity"),
    text("trust"),
    text("code_version"),
    moment("started_at", index=True),
    moment("seen_at"),
    sa.Column("waits_for", Plain),
    sa.Column("crashed", sa.Boolean, nullable=False),
    sa.Column("ended_at", Utc),
    sa.Column("outcome", Plain),
    sa.Column("verdict", Redacted),
    sa.Column("report", sa.JSON(none_as_null=True)),
    sa.Index("run_not_ended", "seen_at", sqlite_where=_STILL, postgresql_where=_STILL),
)
notes = sa.Table(
    "note",
    metadata,
    _number(),
    text("run", index=True),
    moment("at"),
    text("kind"),
    words("text"),
    sqlite_autoincrement=True,
)
evidence = sa.Table(
    "evidence",
    metadata,
    _number(),
    text("run", index=True),
    sa.Column("round", sa.Integer, nullable=False),
    text("name"),
    words("value"),
    words("source"),
    sa.Column("lag", sa.Double, nullable=False),
    moment("at"),
    sqlite_autoincrement=True,
)
changes = sa.Table(
    "change",
    metadata,
    _number(),
    text("run", index=True),
    sa.Column("incident", Plain, index=True),
    text("site"),
    text("option"),
    text("purpose"),
    *target(),
    text("field"),
    text("wanted"),
    text("effect"),
    text("restore"),
    text("group"),
    words("before"),
    words("after"),
    text("state"),
    words("detail"),
    moment("intended_at"),
    sa.Column("ended_at", Utc),
    sa.Index("change_site_intended_at", "site", "intended_at"),
    sqlite_autoincrement=True,
)
holdings = sa.Table(
    "holding",
    metadata,
    _number(),
    text("site"),
    *target(),
    text("field"),
    sa.Column("baseline", sa.JSON, nullable=False),
    sa.Column("written", sa.JSON, nullable=False),
    sa.Column("written_by", sa.Integer, nullable=False),  # the change that wrote it; 0: nobody, it is the baseline
    moment("opened_at"),
    sa.Column("closed_at", Utc),
    sa.Index(
        "one_open_holding",
        *("site", "target_kind", "target_scope", "target_name", "field"),
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    ),
    sqlite_autoincrement=True,
)
# What was about to be written to a holding's field, until it is known whether it arrived.
writes = sa.Table(
    "pending_write",
    metadata,
    _number(),
    sa.Column("holding", sa.ForeignKey("holding.id"), nullable=False, index=True),
    sa.Column("change", sa.Integer, nullable=False, index=True),
    sa.Column("levels", sa.JSON, nullable=False),
    sqlite_autoincrement=True,
)
claims = sa.Table(
    "claim",
    metadata,
    _number(),
    sa.Column("holding", sa.ForeignKey("holding.id"), nullable=False, index=True),
    sa.Column("change", sa.Integer, nullable=False, index=True),
    text("bound"),
    sa.Column("value", sa.Integer, nullable=False),
    text("state"),
    text("run", index=True),
    sa.Column("incident", Plain, index=True),
    text("runbook"),
    text("option"),
    text("severity"),
    moment("made_at"),
    moment("due_at"),
    sa.Column("paged_at", Utc),
    sa.Column("ended_at", Utc),
    words("detail"),
    sa.Index("claim_not_ended", "due_at", sqlite_where=_STILL, postgresql_where=_STILL),
    sqlite_autoincrement=True,
)
# A row stays when its lock is given back: the epoch goes on from there.
locks = sa.Table(
    "lock",
    metadata,
    text("site", primary_key=True),
    *target(primary_key=True),
    sa.Column("run", Plain, index=True),
    text("runbook"),
    text("severity"),
    sa.Column("epoch", sa.Integer, nullable=False),
    moment("expires_at"),
)
approvals = sa.Table(
    "approval",
    metadata,
    text("key", primary_key=True),
    text("run", index=True),
    sa.Column("incident", Plain, index=True),
    text("site"),
    text("runbook"),
    sa.Column("plan", sa.JSON, nullable=False),
    text("answer"),
    moment("asked_at"),
    moment("expires_at"),
    sa.Column("answered_at", Utc),
    text("answered_by"),
)
pauses = sa.Table("pause", metadata, text("site", primary_key=True), words("reason"), text("by"), moment("at"))
pages = sa.Table(
    "page",
    metadata,
    _number(),
    text("incident", index=True),
    text("kind"),
    sa.Column("level", sa.Integer, nullable=False),
    words("text"),
    moment("at"),
    text("via"),
    words("error"),
    sqlite_autoincrement=True,
)
page_turns = sa.Table(
    "page_turn",
    metadata,
    text("incident", primary_key=True),
    text("kind", primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    moment("taken_at"),
)
# Alerts that no runbook or no site knows, and those that a claim of ours explains.
strays = sa.Table(
    "stray",
    metadata,
    text("key", primary_key=True),
    text("alert"),
    text("why"),
    words("summary"),
    sa.Column("labels", sa.JSON, nullable=False),
    moment("started_at"),
    moment("first_at"),
    moment("last_at", index=True),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("resolved_at", Utc),
    sa.Column("explained_by", sa.Integer),
)
# The sites as the intake knew them last. `heard_at` and `heard_before` are the last two signs of life of a site's
# alerting.
sites = sa.Table(
    "site",
    metadata,
    text("name", primary_key=True),
    text("platform"),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("heard_at", Utc),
    sa.Column("heard_before", Utc),
    sa.Column("side_effects", sa.JSON(none_as_null=True)),
)
