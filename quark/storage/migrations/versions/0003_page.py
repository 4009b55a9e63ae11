"""What the page asks for: extremes of metrics, finer summaries of chunks, saved views, when a writer wrote last."""

import sqlalchemy as sa
from alembic import op

from quark.storage.extremes import fill

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Columns and tables; the extremes of what is stored are found, the finer summaries are not made."""
    for name, kind in (
        ("min_step", sa.BigInteger), ("min_value", sa.Double), ("max_step", sa.BigInteger), ("max_value", sa.Double),
    ):  # fmt: skip
        op.add_column("series", sa.Column(name, kind()))
    op.add_column("writers", sa.Column("changed_at", sa.BigInteger()))
    op.create_index(op.f("ix_writers_changed_at"), "writers", ["changed_at"])
    op.create_table(
        "chunk_details",
        sa.Column("chunk_pk", KEY, nullable=False), sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chunk_pk", name=op.f("pk_chunk_details")),
        sa.ForeignKeyConstraint(
            ["chunk_pk"], ["chunks.pk"], name=op.f("fk_chunk_details_chunk_pk"), ondelete="CASCADE"
        ),
    )  # fmt: skip
    op.create_table(
        "views",
        sa.Column("project", TEXT, nullable=False), sa.Column("name", TEXT, nullable=False),
        sa.Column("content", TEXT, nullable=False), sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name=op.f("pk_views")),
    )  # fmt: skip
    fill(op.get_bind())
