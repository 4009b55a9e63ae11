"""Control from afar: signs of life and requests of every run, deleted runs, blueprints of configurations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Two tables, a column and an index."""
    op.add_column("runs", sa.Column("deleted_at", sa.BigInteger()))
    op.create_index(op.f("ix_runs_status"), "runs", ["status"])
    op.create_table(
        "controls",
        sa.Column("run_pk", KEY, nullable=False), sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.Column("interval_s", sa.Double(), nullable=False), sa.Column("last_seen", sa.BigInteger()),
        sa.Column("stale", sa.Boolean(), nullable=False), sa.Column("reaped", sa.Boolean(), nullable=False),
        sa.Column("marks", sa.BigInteger()), sa.Column("stop_at", sa.BigInteger()),
        sa.Column("stop_grace_s", sa.Double()), sa.Column("stop_step", sa.BigInteger()),
        sa.Column("restart_at", sa.BigInteger()), sa.Column("restart_grace_s", sa.Double()),
        sa.PrimaryKeyConstraint("run_pk", name=op.f("pk_controls")),
        sa.ForeignKeyConstraint(["run_pk"], ["runs.pk"], name=op.f("fk_controls_run_pk")),
    )  # fmt: skip
    op.create_table(
        "blueprints",
        sa.Column("project", TEXT, nullable=False), sa.Column("content", TEXT, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_blueprints")),
    )  # fmt: skip
