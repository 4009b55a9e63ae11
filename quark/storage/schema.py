"""The tables of a store, for every database that it can live in.

``pk`` is a row's number inside this store; ids are those of the records. Times are nanoseconds since 1970 UTC. The
embedded database is created from ``schema.sql``, so that making one imports no SQLAlchemy; a test holds the two and the
migrations equal, and ``python -m quark.storage.schema`` writes the file anew.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite only numbers rows by itself where the column is called INTEGER.
Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# Compared byte by byte everywhere, so that lists have one order, and no two names are taken for the same.
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _pk() -> sa.Column[int]:
    return sa.Column("pk", Key, primary_key=True)


def _to(target: str, **options: object) -> sa.Column[int]:
    name = f"{target.removesuffix('s') if target != 'series' else target}_pk"
    return sa.Column(name, Key, sa.ForeignKey(f"{target}.pk"), nullable=False, **options)  # type: ignore[arg-type]


projects = sa.Table(
    "projects", metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("name", Text, nullable=False),
    sa.Column("root_path", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("schema_version", sa.Integer, nullable=False),
)  # fmt: skip

runs = sa.Table(
    "runs", metadata,
    _pk(),
    sa.Column("id", Text, nullable=False, unique=True),
    sa.Column("name", Text),
    sa.Column("project_id", Text, sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("reason", Text),
    sa.Column("parent_run_id", Text),
    sa.Column("lineage_root_run_id", Text, nullable=False),
    sa.Column("resume_count", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("run_path", Text, nullable=False),
    sa.Column("git_commit", Text),
    sa.Column("strict_mode", sa.Boolean, nullable=False),
    sa.Column("config", Text, nullable=False),
    sa.Column("environment", Text, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("placeholder", sa.Boolean, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    sa.Index(None, "project_id", "started_at"),
    sa.Index(None, "started_at"),
    sa.Index(None, "status"),
)  # fmt: skip
"""``attempt`` is the highest one that spoke; ``placeholder`` marks a run whose start line has not arrived."""

controls = sa.Table(
    "controls", metadata,
    _to("runs", primary_key=True),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("interval_s", sa.Double, nullable=False),
    sa.Column("last_seen", sa.BigInteger),
    sa.Column("stale", sa.Boolean, nullable=False),
    sa.Column("reaped", sa.Boolean, nullable=False),
    sa.Column("marks", sa.BigInteger),
    sa.Column("stop_at", sa.BigInteger),
    sa.Column("stop_grace_s", sa.Double),
    sa.Column("stop_step", sa.BigInteger),
    sa.Column("restart_at", sa.BigInteger),
    sa.Column("restart_grace_s", sa.Double),
)  # fmt: skip
"""``reaped``: the run was closed because it was silent, when it had ``marks`` records; see ``control.py``."""

blueprints = sa.Table(
    "blueprints", metadata,
    sa.Column("project", Text, primary_key=True),
    sa.Column("content", Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)  # fmt: skip
"""The JSON Schema that the configurations of a project's runs must match."""

run_tags = sa.Table(
    "run_tags", metadata,
    _to("runs", primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("tag", Text, nullable=False),
    sa.Index(None, "tag"),
)  # fmt: skip

writers = sa.Table(
    "writers", metadata,
    _pk(),
    _to("runs"),
    sa.Column("id", Text, nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("next", sa.BigInteger, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger),
    sa.UniqueConstraint("run_pk", "id"),
    sa.Index(None, "changed_at"),
)  # fmt: skip
"""``next`` is the high-water mark: everything of this writer below it is stored; ``changed_at``: when it moved last."""

records = sa.Table(
    "records", metadata,
    _pk(),
    sa.Column("run_pk", Key, nullable=False),  # that of the writer: to check it too would cost 4 us a row
    _to("writers"),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("kind", Text, nullable=False),
    sa.Column("time_ns", sa.BigInteger, nullable=False),
    sa.Column("step", sa.BigInteger),
    sa.Column("epoch", sa.BigInteger),
    sa.Column("label", Text),
    sa.Column("body", Text, nullable=False),
    sa.Index(None, "run_pk", "kind", "pk"),
    sa.Index(None, "run_pk", "kind", "label"),
    sa.Index(None, "run_pk", "kind", "step"),
    sqlite_autoincrement=True,  # a number is never given twice, or a reader's cursor could skip a record
)  # fmt: skip

series = sa.Table(
    "series", metadata,
    _pk(),
    _to("runs"),
    sa.Column("key", Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("last_step", sa.BigInteger),
    sa.Column("last_value", sa.Double),
    sa.Column("min_step", sa.BigInteger),
    sa.Column("min_value", sa.Double),
    sa.Column("max_step", sa.BigInteger),
    sa.Column("max_value", sa.Double),
    sa.UniqueConstraint("run_pk", "key"),
)  # fmt: skip
"""A metric key of a run with the last, the least and the greatest of its values, of all attempts.

``count`` is that of its chunks, fragments are not counted.
"""

fragments = sa.Table(
    "fragments", metadata,
    _pk(),
    _to("runs"),
    _to("writers"),
    sa.Column("first_sequence", sa.BigInteger, nullable=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("points", sa.LargeBinary, nullable=False),
    sa.Column("extras", Text),
    sa.Index(None, "run_pk", "writer_pk", "first_sequence"),
    sqlite_autoincrement=True,
)  # fmt: skip
"""New points of all series together as they arrived, one row an append; see ``points.py``."""

chunks = sa.Table(
    "chunks", metadata,
    _pk(),
    _to("series"),
    _to("writers"),
    sa.Column("first_sequence", sa.BigInteger, nullable=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("step_min", sa.BigInteger),
    sa.Column("step_max", sa.BigInteger),
    sa.Column("ordered", sa.Boolean, nullable=False),
    sa.Column("blocks", sa.LargeBinary),
    sa.UniqueConstraint("series_pk", "writer_pk", "first_sequence"),
    sa.Index(None, "writer_pk", "last_sequence"),
)  # fmt: skip
"""A stretch of one series of one writer; ``ordered``: every point has a step, and steps never fall."""

chunk_data = sa.Table(
    "chunk_data", metadata,
    sa.Column("chunk_pk", Key, sa.ForeignKey("chunks.pk", ondelete="CASCADE"), primary_key=True),
    sa.Column("value_data", sa.LargeBinary, nullable=False),
    sa.Column("step_data", sa.LargeBinary),
    sa.Column("epoch_data", sa.LargeBinary),
    sa.Column("time_data", sa.LargeBinary, nullable=False),
    sa.Column("sequence_data", sa.LargeBinary, nullable=False),
    sa.Column("extras", Text),
)  # fmt: skip
"""A chunk's columns, apart from its summary so that a chart reads the summaries alone; see ``columns.py``."""

chunk_details = sa.Table(
    "chunk_details", metadata,
    sa.Column("chunk_pk", Key, sa.ForeignKey("chunks.pk", ondelete="CASCADE"), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)  # fmt: skip
"""Summaries of a chunk that are finer than its ``blocks``; a chunk that was packed before these were kept has none."""

views = sa.Table(
    "views", metadata,
    sa.Column("project", Text, primary_key=True),
    sa.Column("name", Text, primary_key=True),
    sa.Column("content", Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)  # fmt: skip
"""What people see of a project's runs, under a name: JSON that the page writes and reads."""


def create_statements(dialect: str = "sqlite") -> list[str]:
    """The statements that create all tables and indexes, in order."""
    from sqlalchemy.dialects import registry
    from sqlalchemy.schema import CreateIndex, CreateTable

    engine_dialect = registry.load(dialect)()
    made: list[str] = []
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=engine_dialect)))
        made += [
            str(CreateIndex(index).compile(dialect=engine_dialect))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return ["\n".join(line.rstrip() for line in text.strip().splitlines() if line.strip()) for text in made]


if __name__ == "__main__":
    from pathlib import Path

    statements = ";\n\n".join(create_statements())
    Path(__file__).with_name("schema.sql").write_text(
        f"-- Generated by python -m quark.storage.schema\n\n{statements};\n"
    )
