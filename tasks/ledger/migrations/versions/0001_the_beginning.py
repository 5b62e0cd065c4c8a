"""The beginning: incidents, runs, changes, claims, locks, approvals, calls to people."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("meta", _key("key"), _text("value"), _pk("meta", "key"))
    _incidents_and_runs()
    _changes_and_claims()
    _people()


def _incidents_and_runs() -> None:
    op.create_table(
        "incident",
        _key("id"),
        *_texts("raiser", "alert", "runbook", "site", "severity", "summary"),
        sa.Column("labels", sa.JSON, nullable=False),
        _text("fingerprint"),
        *_moments("started_at", "received_at"),
        *_moments("quiet_at", "resolved_at", nullable=True),
        _text("claimed_by", nullable=True),
        *_moments("announced_at", nullable=True),
        _text("taken_by", nullable=True),
        *_moments("taken_at", nullable=True),
        sa.Column("pickups", sa.Integer, nullable=False),
        _pk("incident", "id"),
    )
    _index("incident", "received_at")
    _unique_where("one_open_incident", "incident", ["site", "alert"], "resolved_at IS NULL")
    op.create_table(
        "breach", _key("site"), _key("runbook"), *_moments("since", "seen_at"), _pk("breach", "site", "runbook")
    )
    op.create_table(
        "run",
        _key("id"),
        *_texts("runbook", "site"),
        _text("incident", nullable=True),
        *_texts("severity", "trust", "code_version"),
        *_moments("started_at", "seen_at"),
        _text("waits_for", nullable=True),
        sa.Column("crashed", sa.Boolean, nullable=False),
        *_moments("ended_at", nullable=True),
        *_texts("outcome", "verdict", nullable=True),
        sa.Column("report", sa.JSON),
        _pk("run", "id"),
    )
    _index("run", "incident")
    _index("run", "started_at")
    _index_where("run_not_ended", "run", ["seen_at"], "ended_at IS NULL")
    _numbered("note", _text("run"), *_moments("at"), *_texts("kind", "text"))
    _index("note", "run")
    _numbered(
        "evidence",
        _text("run"),
        sa.Column("round", sa.Integer, nullable=False),
        *_texts("name", "value", "source"),
        sa.Column("lag", sa.Double, nullable=False),
        *_moments("at"),
    )
    _index("evidence", "run")


def _changes_and_claims() -> None:
    _numbered(
        "change",
        _text("run"),
        _text("incident", nullable=True),
        *_texts("site", "option", "purpose", "target_kind", "target_scope", "target_name", "field", "wanted"),
        *_texts("effect", "restore", "group", "before", "after", "state", "detail"),
        *_moments("intended_at"),
        *_moments("ended_at", nullable=True),
    )
    _index("change", "run")
    _index("change", "incident")
    _index("change", "site", "intended_at")
    _numbered(
        "holding",
        *_texts("site", "target_kind", "target_scope", "target_name", "field"),
        sa.Column("baseline", sa.JSON, nullable=False),
        sa.Column("written", sa.JSON, nullable=False),
        sa.Column("written_by", sa.Integer, nullable=False),
        *_moments("opened_at"),
        *_moments("closed_at", nullable=True),
    )
    field = ["site", "target_kind", "target_scope", "target_name", "field"]
    _unique_where("one_open_holding", "holding", field, "closed_at IS NULL")
    _numbered(
        "pending_write",
        _of_holding("pending_write"),
        sa.Column("change", sa.Integer, nullable=False),
        sa.Column("levels", sa.JSON, nullable=False),
    )
    _index("pending_write", "holding")
    _index("pending_write", "change")
    _numbered(
        "claim",
        _of_holding("claim"),
        sa.Column("change", sa.Integer, nullable=False),
        _text("bound"),
        sa.Column("value", sa.Integer, nullable=False),
        *_texts("state", "run"),
        _text("incident", nullable=True),
        *_texts("runbook", "option", "severity"),
        *_moments("made_at", "due_at"),
        *_moments("paged_at", "ended_at", nullable=True),
        _text("detail"),
    )
    for column in ("holding", "change", "run", "incident"):
        _index("claim", column)
    _index_where("claim_not_ended", "claim", ["due_at"], "ended_at IS NULL")
    op.create_table(
        "lock",
        *(_key(name) for name in field[:-1]),
        _text("run", nullable=True),
        *_texts("runbook", "severity"),
        sa.Column("epoch", sa.Integer, nullable=False),
        *_moments("expires_at"),
        _pk("lock", *field[:-1]),
    )
    _index("lock", "run")


def _people() -> None:
    op.create_table(
        "approval",
        _key("key"),
        _text("run"),
        _text("incident", nullable=True),
        *_texts("site", "runbook"),
        sa.Column("plan", sa.JSON, nullable=False),
        _text("answer"),
        *_moments("asked_at", "expires_at"),
        *_moments("answered_at", nullable=True),
        _text("answered_by"),
        _pk("approval", "key"),
    )
    _index("approval", "run")
    _index("approval", "incident")
    op.create_table("pause", _key("site"), *_texts("reason", "by"), *_moments("at"), _pk("pause", "site"))
    _numbered(
        "page",
        *_texts("incident", "kind"),
        sa.Column("level", sa.Integer, nullable=False),
        _text("text"),
        *_moments("at"),
        *_texts("via", "error"),
    )
    _index("page", "incident")
    op.create_table(
        "page_turn",
        *(_key(name) for name in ("incident", "kind")),
        sa.Column("level", sa.Integer, autoincrement=False, nullable=False),
        *_moments("taken_at"),
        _pk("page_turn", "incident", "kind", "level"),
    )


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=nullable)


_key = _text


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [_text(name, nullable) for name in names]


def _moments(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]


def _of_holding(table: str) -> sa.Column[int]:
    key = sa.ForeignKey("holding.id", name=f"{table}_holding_fkey")
    return sa.Column("holding", sa.Integer, key, nullable=False)


def _pk(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"{table}_pkey")


def _numbered(table: str, *columns: sa.Column[Any]) -> None:
    number = sa.Column("id", sa.Integer, nullable=False)
    op.create_table(table, number, *columns, _pk(table, "id"), sqlite_autoincrement=True)


def _index(table: str, *columns: str) -> None:
    op.create_index("_".join((table, *columns)), table, list(columns))


def _index_where(name: str, table: str, columns: list[str], where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _unique_where(name: str, table: str, columns: list[str], where: str) -> None:
    _index_where(name, table, columns, where, unique=True)
