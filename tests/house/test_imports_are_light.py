"""``import quark`` costs next to nothing, and what is optional is loaded only by those who use it."""

import json
import subprocess
import sys

from .tree import imports, modules

HEAVY = ("torch", "numpy", "sqlalchemy", "alembic", "httpx", "psutil", "pynvml", "pandas", "pyarrow", "rich", "typer")
EXTRAS = {
    "torch", "lightning", "mlflow", "wandb", "clearml", "transformers", "accelerate", "keras", "hydra", "ignite",
    "psycopg", "pandas", "pyarrow", "sklearn", "mcp", "mcp_types", "pydantic",
}  # fmt: skip


def loaded_after(statement: str) -> set[str]:
    """The top-level modules of a fresh interpreter that ran ``statement``."""
    program = (
        f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    """A script that only imports Quark pays for none of its dependencies."""
    loaded = loaded_after("import quark")
    assert loaded & {*HEAVY, "msgspec", "orjson"} == set()


def test_the_names_of_a_training_loop_load_nothing_heavy() -> None:
    """A session and its first producers need neither the database nor the network libraries to be imported."""
    loaded = loaded_after("from quark import TrainingSession, MetricsLogger, EventLogger, ArtifactStore, start_run")
    assert loaded & set(HEAVY) == set()


NOTHING_WITHOUT_AN_EXTRA = (
    "quark.demo", "quark.mcp.tools", "quark.storage.postgres", "quark_integrations.callbacks.hydra",
    "quark_integrations.callbacks.ignite.", "quark_integrations.callbacks.keras.",
    "quark_integrations.sinks.mlflow.client",
)  # fmt: skip
"""Of the last three only what is inside: the packages themselves load nothing, and say what is missing."""

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
