"""Alerts that are held back because a claim of ours explains them, and what is known of that at a site."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("stray", sa.Column("explained_by", sa.Integer))
    op.add_column("site", sa.Column("side_effects", sa.JSON(none_as_null=True)))
