"""Alerts that nobody knows, and the sites as the intake knew them last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "stray",
        *(sa.Column(name, sa.String, nullable=False) for name in ("key", "alert", "why", "summary")),
        sa.Column("labels", sa.JSON, nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("started_at", "first_at", "last_at")
        ),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("key", name="stray_pkey"),
    )
    op.create_index("stray_last_at", "stray", ["last_at"])
    op.create_table(
        "site",
        *(sa.Column(name, sa.String, nullable=False) for name in ("name", "platform")),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True)),
        sa.Column("heard_before", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="site_pkey"),
    )
