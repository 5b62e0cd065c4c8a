"""What the columns of the ledger hold, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tasks.model.target import Target
from tasks.redact import redact


class Utc(sa.types.TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Plain(sa.types.TypeDecorator[str]):
    """Text, without the characters that a database refuses: logs and labels may hold anything."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else plain(value)


class Redacted(sa.types.TypeDecorator[str]):
    """Text in words, secrets removed before it is written."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else plain(redact(value))


def plain(text: str) -> str:
    """The text without NUL characters and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def text(name: str, **options: Any) -> sa.Column[str]:
    """A name, a key, or a word of a fixed set."""
    return sa.Column(name, Plain, nullable=False, **options)


def words(name: str) -> sa.Column[str]:
    """A text for people."""
    return sa.Column(name, Redacted, nullable=False)


def moment(name: str, **options: Any) -> sa.Column[datetime]:
    """A moment that is always known."""
    return sa.Column(name, Utc, nullable=False, **options)


def target(**options: Any) -> tuple[sa.Column[str], ...]:
    """The columns of a target."""
    return tuple(sa.Column(f"target_{part}", Plain, nullable=False, **options) for part in ("kind", "scope", "name"))


def target_values(value: Target) -> dict[str, str]:
    """A target as values of its columns."""
    return {"target_kind": value.kind, "target_scope": value.scope, "target_name": value.name}


def target_is(table: sa.FromClause, value: Target) -> sa.ColumnElement[bool]:
    """The condition that a row is about the target."""
    return sa.and_(*(table.c[name] == part for name, part in target_values(value).items()))


def take_target(row: dict[str, Any]) -> Target:
    """Takes the columns of the target out of a row."""
    return Target(*(row.pop(f"target_{part}") for part in ("kind", "scope", "name")))
