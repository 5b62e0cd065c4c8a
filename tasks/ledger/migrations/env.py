"""Carries the steps out on the connection that the caller passes along, in its transaction."""

from __future__ import annotations

from alembic import context

from tasks.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,
)
context.run_migrations()
