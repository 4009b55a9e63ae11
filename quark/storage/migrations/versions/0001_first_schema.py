"""The first schema: projects, runs, records, and metric series as fragments and chunks."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create all tables."""
    _runs()
    _records()
    _series()


def _column(name: str, kind: Any, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _foreign(table: str, column: str, target: str, **options: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"), **options)  # type: ignore[arg-type]


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))


def _runs() -> None:
    op.create_table(
        "projects",
        _column("id", TEXT), _column("name", TEXT), _column("root_path", TEXT),
        _column("created_at", sa.BigInteger()), _column("updated_at", sa.BigInteger()),
        _column("schema_version", sa.Integer()),
        _primary("projects", "id"),
    )  # fmt: skip
    op.create_table(
        "runs",
        _column("pk", KEY), _column("id", TEXT), _column("name", TEXT, nullable=True),
        _column("project_id", TEXT), _column("status", TEXT), _column("reason", TEXT, nullable=True),
        _column("parent_run_id", TEXT, nullable=True), _column("lineage_root_run_id", TEXT),
        _column("resume_count", sa.Integer()), _column("attempt", sa.Integer()), _column("run_path", TEXT),
        _column("git_commit", TEXT, nullable=True), _column("strict_mode", sa.Boolean()),
        _column("config", TEXT), _column("environment", TEXT), _column("started_at", sa.BigInteger()),
        _column("ended_at", sa.BigInteger(), nullable=True), _column("updated_at", sa.BigInteger()),
        _column("schema_version", sa.Integer()), _column("placeholder", sa.Boolean()),
        _primary("runs", "pk"), _unique("runs", "id"), _foreign("runs", "project_id", "projects.id"),
    )  # fmt: skip
    _index("runs", "project_id", "started_at")
    _index("runs", "started_at")
    op.create_table(
        "run_tags",
        _column("run_pk", KEY), _column("position", sa.Integer()), _column("tag", TEXT),
        _primary("run_tags", "run_pk", "position"), _foreign("run_tags", "run_pk", "runs.pk"),
    )  # fmt: skip
    _index("run_tags", "tag")
    op.create_table(
        "writers",
        _column("pk", KEY), _column("run_pk", KEY), _column("id", TEXT), _column("rank", sa.Integer()),
        _column("attempt", sa.Integer()), _column("next", sa.BigInteger()), _column("dropped", sa.BigInteger()),
        _primary("writers", "pk"), _unique("writers", "run_pk", "id"), _foreign("writers", "run_pk", "runs.pk"),
    )  # fmt: skip


def _records() -> None:
    op.create_table(
        "records",
        _column("pk", KEY), _column("run_pk", KEY), _column("writer_pk", KEY), _column("sequence", sa.BigInteger()),
        _column("kind", TEXT), _column("time_ns", sa.BigInteger()),
        _column("step", sa.BigInteger(), nullable=True), _column("epoch", sa.BigInteger(), nullable=True),
        _column("label", TEXT, nullable=True), _column("body", TEXT),
        _primary("records", "pk"), _foreign("records", "writer_pk", "writers.pk"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    _index("records", "run_pk", "kind", "pk")
    _index("records", "run_pk", "kind", "label")
    _index("records", "run_pk", "kind", "step")


def _series() -> None:
    op.create_table(
        "series",
        _column("pk", KEY), _column("run_pk", KEY), _column("key", TEXT), _column("count", sa.BigInteger()),
        _column("last_step", sa.BigInteger(), nullable=True), _column("last_value", sa.Double(), nullable=True),
        _primary("series", "pk"), _unique("series", "run_pk", "key"), _foreign("series", "run_pk", "runs.pk"),
    )  # fmt: skip
    op.create_table(
        "fragments",
        _column("pk", KEY), _column("run_pk", KEY), _column("writer_pk", KEY),
        _column("first_sequence", sa.BigInteger()), _column("last_sequence", sa.BigInteger()),
        _column("count", sa.Integer()), _column("points", sa.LargeBinary()),
        _column("extras", TEXT, nullable=True),
        _primary("fragments", "pk"), _foreign("fragments", "run_pk", "runs.pk"),
        _foreign("fragments", "writer_pk", "writers.pk"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    _index("fragments", "run_pk", "writer_pk", "first_sequence")
    op.create_table(
        "chunks",
        _column("pk", KEY), _column("series_pk", KEY), _column("writer_pk", KEY),
        _column("first_sequence", sa.BigInteger()), _column("last_sequence", sa.BigInteger()),
        _column("count", sa.Integer()), _column("step_min", sa.BigInteger(), nullable=True),
        _column("step_max", sa.BigInteger(), nullable=True), _column("ordered", sa.Boolean()),
        _column("blocks", sa.LargeBinary(), nullable=True),
        _primary("chunks", "pk"), _unique("chunks", "series_pk", "writer_pk", "first_sequence"),
        _foreign("chunks", "series_pk", "series.pk"), _foreign("chunks", "writer_pk", "writers.pk"),
    )  # fmt: skip
    _index("chunks", "writer_pk", "last_sequence")
    op.create_table(
        "chunk_data",
        _column("chunk_pk", KEY), _column("value_data", sa.LargeBinary()),
        _column("step_data", sa.LargeBinary(), nullable=True), _column("epoch_data", sa.LargeBinary(), nullable=True),
        _column("time_data", sa.LargeBinary()), _column("sequence_data", sa.LargeBinary()),
        _column("extras", TEXT, nullable=True),
        _primary("chunk_data", "chunk_pk"), _foreign("chunk_data", "chunk_pk", "chunks.pk", ondelete="CASCADE"),
    )  # fmt: skip
