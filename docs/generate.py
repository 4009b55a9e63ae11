"""Writes the pages of the documentation that are read off the code: python docs/generate.py [--check]."""

import argparse
import dataclasses
import inspect
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import quark
from quark.reading import RunView, Store
from quark.records.describe import fields_of
from quark.records.kinds import KINDS
from quark.settings import SETTINGS

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code: change the code, then run it. -->\n"

AREAS = {
    "Sessions": ("session", "loop"),
    "Recording": ("producers",),
    "Analyzing": ("analysis",),
    "Reading": ("reading", "core.reader", "storage"),
    "Sinks and trackers": ("sinks", "core"),
    "Records": ("records",),
    "Errors": ("errors",),
}
GIVEN = {"Reading": (Store, RunView)}
"""Classes that are no public names, for nobody builds them: ``quark.open`` gives their objects."""

INTERNAL = frozenset((
    "after_fork_in_child", "asked_to_stop", "attach", "begin_step", "close_reader", "configured", "declare", "defer",
    "emit", "end_step", "exit_by_end", "exit_by_signal", "journal_directory", "lifecycle", "log_values", "mark_ended",
    "offer", "reader", "refuse", "report", "share", "signalled", "stops_before", "tell_step", "thread_failed", "tick",
    "will_end",
))  # fmt: skip
"""What only producers and Quark's own parts call of a session."""

SNAPSHOTS = ("ProjectRecord", "RunRecord", "RunContext", "EvidenceRecord")
ANSWERS = ("DataDiagnosticsSummary", "LossSummary", "ExposureSummary", "HardBatchFinding")


def main() -> int:
    """Write the generated pages, or with ``--check`` say which ones are stale and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    check = parser.parse_args().check
    stale = [name for name, text in pages().items() if not _same(DOCS / name, text)]
    if check:
        for name in stale:
            print(f"docs/{name} is stale; run: python docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(pages()[name], "utf-8")
        print(f"wrote docs/{name}")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    made = {"configuration.md": configuration(), "records.md": records(), "api.md": api(), "rules.md": rules()}
    made["service-api.md"] = service_api()
    commands = command_page()
    if commands is not None:
        made["commands.md"] = commands
    return made


def service_api() -> str:
    """Every route of the service, from its description."""
    import tempfile

    from quark.service import ServiceConfig, create_app
    from quark.service.app import ROUTES
    from quark.service.description import document

    with tempfile.TemporaryDirectory() as place:
        app = create_app(ServiceConfig.of(f"sqlite:///{place}/quark.db"))
        made = document(app, ROUTES)
        app.state.key_store.close()
    text = f"""# API of the service

{NOTE}
A running service describes itself as OpenAPI 3.1 at `/schema/openapi.json`, without a key. This is the same in short.

A key is sent as `X-Quark-API-Key: KEY` or `Authorization: Bearer KEY`; `X-Quark-Storage-Dir` names the storage
namespace. Every error is `{{"error": {{"code", "message", ...}}}}`, with `field` or `index` where one is at fault. 503
and 429 carry `Retry-After`.
Pages have `next`, which goes into `after` for the page behind; `null` ends.
"""
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            text += f"\n## {method.upper()} {path}\n\n{operation['description']}\n"
            rows = [
                _parameter(each) for each in operation.get("parameters", ()) if each["name"] != "X-Quark-Storage-Dir"
            ]
            if rows:
                text += "\n" + table(("Parameter", "In", "Type", "Meaning"), rows)
            bodies = operation.get("requestBody", {}).get("content", {})
            answers = operation["responses"].get("200", operation["responses"].get("201", {})).get("content", {})
            for word, contents in (("Body", bodies), ("Answer", answers)):
                for media, content in contents.items():
                    text += f"\n{word}: {_schema(content['schema'])} (`{media}`).\n"
    return text + "\n" + _shapes(made["components"]["schemas"])


def _parameter(parameter: dict[str, Any]) -> tuple[str, ...]:
    name = f"`{parameter['name']}`" + (" (must be given)" if parameter.get("required") else "")
    schema = parameter["schema"]
    given = f", default {schema['default']}" if schema.get("default") is not None else ""
    return name, parameter["in"], _schema(schema) + given, parameter.get("description", "")


def _schema(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "oneOf" in schema or "anyOf" in schema:
        kinds = {_schema(each) for each in schema.get("oneOf") or schema["anyOf"]}
        return " or ".join(sorted(kinds, key=lambda kind: (kind == "null", kind)))  # their order is that of a cache
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_schema(schema.get('items') or {})}"
    return str(schema.get("type", "any"))


def _shapes(schemas: dict[str, Any]) -> str:
    """The answers; records have a page of their own."""
    text = "## Shapes\n\nRecords and runs are described in [records](records.md).\n"
    for name, schema in sorted(schemas.items()):
        if name.endswith("Record"):
            continue
        rows = [(f"`{field}`", _schema(shape)) for field, shape in schema.get("properties", {}).items()]
        meaning = schema.get("description", "").strip().replace("``", "`")
        text += f"\n### {name}\n\n{meaning}\n\n{table(('Field', 'Type'), rows)}"
    return text


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; pipes inside cells are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def configuration() -> str:
    """The variables, then the configuration classes."""
    rows = [(f"`{s.name}`", _default_of(s.default), s.meaning) for s in SETTINGS.values()]
    text = f"""# Configuration

{NOTE}
An argument wins over an environment variable, and a variable over the default. A variable that is set but empty counts
as unset. One that cannot be read raises `ConfigurationError` and names what it got.

## Environment variables

{table(("Variable", "Default", "Meaning"), rows)}
## Configuration classes

Frozen values that check themselves when they are built: a wrong value raises `SchemaValidationError`, a wrong type
`WrongTypeError`, and both name the field.
"""
    for name in _classes("Config", "Thresholds", "Spec", "Metadata"):
        text += f"\n### {name}\n\n{_first(getattr(quark, name))}\n\n{_field_table(getattr(quark, name), default=True)}"
    return text


def records() -> str:
    """The fields of every record."""
    text = f"""# Records

{NOTE}
Every record is a frozen dataclass with `to_dict()`. `validate_record(record)` checks one against the tables below and
`dump_record(record)` returns it as a dictionary of JSON values; both raise `SchemaValidationError` with field, value
and remedy. The schema version is {quark.CURRENT_SCHEMA_VERSION} (`CURRENT_SCHEMA_VERSION`).

## What is recorded in a run
"""
    for _, cls in sorted(KINDS.items()):
        text += f"\n### {cls.__name__}\n\n{_first(cls)} Its kind on the wire is `{cls.kind}`.\n\n{_field_table(cls)}"
    text += "\n## What a run is\n"
    for name in SNAPSHOTS:
        text += f"\n### {name}\n\n{_first(getattr(quark, name))}\n\n{_field_table(getattr(quark, name))}"
    text += "\n## What the data diagnostics answer\n"
    for name in ANSWERS:
        text += f"\n### {name}\n\n{_first(getattr(quark, name))}\n\n{_field_table(getattr(quark, name))}"
    return text


def _field_table(cls: type, *, default: bool = False) -> str:
    rows = []
    for field in fields_of(cls):
        limits = f"{field.type}, {field.limits}" if field.limits else field.type
        given = (f"`{field.default}`" if field.default is not None else "must be given",) if default else ()
        rows.append((f"`{field.name}`", limits, *given, field.meaning))
    return table(("Field", "Type and limits", *(("Default",) if default else ()), "Meaning"), rows)


def rules() -> str:
    """What every rule sees, decides and advises, from its own docstring."""
    from quark.analysis.rules import RULES

    text = f"""# The rules

{NOTE}
What each alert means. [Diagnosis](diagnosis.md) tells how to run the rules, how they are configured and how often they
are right. `silenced_rules` of `AnalyzerEngineConfig` silences a rule by its name.
"""
    for rule in RULES:
        text += f"\n## {rule.name}\n\n{inspect.cleandoc(rule.__doc__ or '')}\n\n"
        text += f"Category: {rule.category}. It needs {rule.needs}; without it the rule abstains and says so.\n\n"
        text += f"Consequence: {rule.consequence or 'see the alert'}\n\n"
        actions = rule.actions or ("The alert names what fits its cause.",)
        text += "What to do:\n\n" + "".join(f"- {action}\n" for action in actions)
        text += f"\nIt is over with: {rule.clears[0].lower()}{rule.clears[1:]}\n"
    return text


def api() -> str:
    """Every public name with its signature and its first sentence."""
    text = f"""# Public names

{NOTE}
Everything below is imported from `quark`, but for `Store` and `RunView`: `quark.open` and `quark.connect` give them.
Names that are not here may change at any time.
"""
    left = dict(quark._HOMES)  # type: ignore[attr-defined]  # the stub shows users only the names themselves
    for area, homes in AREAS.items():
        names = [name for name, home in left.items() if home.startswith(homes)]
        text += f"\n## {area}\n\n"
        for name in names:
            text += _entry(name, getattr(quark, name))
            del left[name]
        for given in GIVEN.get(area, ()):
            text += _entry(given.__name__, given)
    if left:
        raise SystemExit(f"docs/generate.py has no area for {', '.join(left)}; add their module to AREAS")
    return text


def _entry(name: str, value: Any) -> str:
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return f"- `{name}`: {_constant(value)}\n"
    text = f"- `{name}`: {_first(value)}\n"
    if inspect.isclass(value) and not dataclasses.is_dataclass(value):
        for method in _members(value):
            text += f"    - `{method}`: {_first(getattr(value, method))}\n"
    return text


def _members(value: type) -> list[str]:
    """The public methods and properties of a class, with those of bases that have no entry of their own."""
    hidden = INTERNAL if issubclass(value, quark.TrainingSession) else ()
    bases = [base for base in value.__mro__ if base.__module__.startswith("quark")]
    shown = bases[:1] if value is quark.DisabledSession else bases
    names = [
        name for base in shown if base is value or getattr(quark, base.__name__, None) is not base
        for name, member in vars(base).items()
        if isinstance(member, (staticmethod, classmethod, property)) or inspect.isfunction(member)
    ]  # fmt: skip
    return list(dict.fromkeys(name for name in names if not name.startswith("_") and name not in hidden))


def _constant(value: Any) -> str:
    shown = " ".join(str(value).split()).replace("typing.", "")
    return f"`{shown}`" if len(shown) < 200 else type(value).__name__


def command_page() -> str | None:
    """The commands as their own help describes them; None while there is no command line."""
    try:
        import typer

        from quark.cli.entry import app
    except ImportError:
        return None
    group: Any = typer.main.get_command(app)
    text = f"# Commands\n\n{NOTE}\nEvery command explains itself with `--help`.\n"
    for name, command in sorted(group.commands.items()):
        if not command.hidden:
            text += f"\n## quark {name}\n\n{_paragraphs(command.help)}\n\n{_options(command)}"
            for part, inner in sorted(getattr(command, "commands", {}).items()):
                text += f"\n### quark {name} {part}\n\n{_paragraphs(inner.help)}\n\n{_options(inner)}"
    return text


def _options(command: Any) -> str:
    """The arguments and options of a command as a table."""
    rows = []
    for option in command.params:
        if option.name == "help" or getattr(option, "hidden", False):
            continue
        shown = ", ".join(f"`{word}`" for word in option.opts) if option.opts[0].startswith("-") else f"`{option.name}`"
        flag = {True: "on", False: "off"}.get(option.default) if isinstance(option.default, bool) else None
        needed = "must be given" if option.required else flag or _default_of(option.default)
        rows.append((shown, needed, " ".join((getattr(option, "help", "") or "").split())))
    return table(("Option", "Default", "Meaning"), rows) if rows else ""


def _paragraphs(text: str | None) -> str:
    return inspect.cleandoc((text or "").partition("\f")[0])


def _classes(*endings: str) -> list[str]:
    return [name for name in quark._HOMES if name.endswith(endings)]  # type: ignore[attr-defined]


def _default_of(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return f"`{int(value) if isinstance(value, bool) else value}`"


def _first(value: Any) -> str:
    """The first sentence or paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main())
