"""``import quark`` costs next to nothing, and what is optional is loaded only by those who use it."""

import json
import subprocess
import sys
from pathlib import Path

import quark

from .tree import imports, modules

HEAVY = ("torch", "numpy", "sqlalchemy", "alembic", "httpx", "psutil", "pynvml", "pandas", "pyarrow", "rich", "typer")
EXTRAS = {
    "torch", "lightning", "mlflow", "wandb", "clearml", "transformers", "accelerate", "keras", "hydra", "ignite",
    "psycopg", "pandas", "pyarrow", "sklearn", "mcp", "mcp_types", "pydantic",
    "cryptography", "httptools", "litestar", "prometheus_client", "uvicorn", "uvloop", "zstandard",
}  # fmt: skip


def loaded_modules(program: str, *arguments: str) -> list[str]:
    """The modules that a fresh interpreter has loaded after a program."""
    program += "\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def loaded_after(statement: str) -> set[str]:
    """The top-level modules of a fresh interpreter that ran ``statement``."""
    return {name.partition(".")[0] for name in loaded_modules(statement)}


def test_importing_the_package_loads_nothing_heavy() -> None:
    """A script that only imports Quark pays for none of its dependencies."""
    loaded = loaded_after("import quark")
    assert loaded & {*HEAVY, "msgspec", "orjson"} == set()


def test_the_names_of_a_training_loop_load_nothing_heavy() -> None:
    """A session and its first producers need neither the database nor the network libraries to be imported."""
    loaded = loaded_after("from quark import TrainingSession, MetricsLogger, EventLogger, ArtifactStore, start_run")
    assert loaded & set(HEAVY) == set()


NOT_FOR_A_START = {
    "ctypes", "difflib", "fractions", "quark.analysis", "quark.client.remote", "quark.delivery.frames",
    "quark.producers.hooks", "quark.producers.metrics", "quark.producers.telemetry", "quark.reading",
    "quark.records.analysis", "quark.records.batch", "quark.records.configs", "quark.records.kinds",
    "quark.records.layer", "quark.records.parameter", "quark.records.telemetry", "quark.storage",
}  # fmt: skip
"""What only some runs use, or another thread than the one that starts: a module takes a third of a millisecond."""

SHORT_RUN = """
import quark, sys
run = quark.start_run(project="p", storage_dir=sys.argv[1])
run.log({"loss": 0.5, "accuracy": 0.9}, step=0)
run.end_run()
"""


def test_a_start_loads_only_what_it_uses() -> None:
    """``start_run`` loads no module for what most runs never do: a start stays as quick as it is."""
    before, after = (set(loaded_modules(text)) for text in ("pass", "from quark import start_run; start_run"))
    assert (after - before) & NOT_FOR_A_START == set()


def test_a_short_run_needs_no_numpy(tmp_path: Path) -> None:
    """A run of a few values ends without NumPy and SQLAlchemy, which cost more than everything else that it does."""
    assert set(loaded_modules(SHORT_RUN, str(tmp_path))) & {"numpy", "sqlalchemy", "alembic", "httpx"} == set()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.series("loss").values.tolist()) == ("completed", [0.5])


NOTHING_WITHOUT_AN_EXTRA = (
    "quark.dashboard", "quark.demo", "quark.mcp.tools", "quark.service", "quark.storage.postgres",
    "quark_integrations.callbacks.hydra", "quark_integrations.callbacks.ignite.", "quark_integrations.callbacks.keras.",
    "quark_integrations.sinks.mlflow.client",
)  # fmt: skip
"""Of names that end with a dot only what is inside: the packages themselves load nothing, and say what is missing."""

ALWAYS_LOADABLE = [module for module in modules() if not module.name.startswith(NOTHING_WITHOUT_AN_EXTRA)]


def test_an_extra_is_imported_where_it_is_used() -> None:
    """A module can be loaded without any optional package, but for those that are nothing without theirs."""
    wrong = [
        f"{module.where(found.line)} {found.target}"
        for module in ALWAYS_LOADABLE
        for found in imports(module)
        if found.at_load and found.target.partition(".")[0] in EXTRAS
    ]
    assert wrong == []
