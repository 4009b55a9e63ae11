"""The public names: one sorted table, complete, importable, and at home in ``quark``."""

import ast
import inspect
import pickle
from functools import cache
from typing import Any

import pytest

import quark

from .tree import ROOT

HOMES = quark._HOMES

DOCUMENTED = """
TrainingSession start_run resume_run end_run add_tag add_log RunContext RunRecord ProjectRecord MetricsLogger
MetricRecord EventLogger EventRecord LogIdentifier SystemTelemetry SystemTelemetryConfig SystemTelemetryRecord
HookEngine HookEngineConfig HookScheduleConfig LayerFilterConfig LayerSummaryRecord ArtifactStore ArtifactRecord
ARTIFACT_STORAGE_LAYOUT DataDiagnostics DataDiagnosticsConfig BatchMetadata BatchMetadataAdapter
MappingBatchMetadataAdapter BatchDiagnosticRecord AnalyzerEngine AnalyzerEngineConfig AnalyzerThresholds
AnalyzerResult AlertRecord HealthScoreRecord EvidenceRecord PhaseAnalyzer PhaseAnalyzerConfig PhaseAnalyzerThresholds
PhaseAnalysisResult PhaseRecord ComparisonEngine ComparisonEngineConfig MetricTargetSpec RunComparisonResult
migrate_store validate_record dump_record CURRENT_SCHEMA_VERSION SchemaValidationError SchemaMigrationError
SessionStoreError RunNotFoundError InvalidRunStateError StepTelemetryScope
""".split()

LATER: list[str] = []
"""Documented names whose engines are not built yet."""

PENDING: frozenset[str] = frozenset()
"""Names in the table whose module is still to come; empty in a release."""

BUILT = sorted(set(HOMES) - PENDING)


@cache
def public() -> dict[str, Any]:
    """The public classes and functions by name."""
    values = {name: getattr(quark, name) for name in BUILT}
    return {name: value for name, value in values.items() if inspect.isclass(value) or inspect.isfunction(value)}


def test_the_table_is_sorted() -> None:
    """One list in one order, so that two changes to it meet in the diff."""
    assert list(HOMES) == sorted(HOMES)


def test_every_documented_name_is_public() -> None:
    """What the usage document names is there, but for the engines that are still to come."""
    assert sorted(set(DOCUMENTED) - set(HOMES)) == sorted(LATER)


def test_all_holds_every_name_but_the_one_that_shadows_a_builtin() -> None:
    """``from quark import *`` brings every public name and leaves ``open`` alone."""
    assert quark.__all__ == sorted({*HOMES, "__version__"} - {"open"})
    assert set(HOMES) <= set(dir(quark))


def test_every_public_name_resolves() -> None:
    """Every public name can be had, or stands in the list of those to come."""
    for name in PENDING:
        with pytest.raises((ModuleNotFoundError, AttributeError)):
            getattr(quark, name)
    assert [name for name in BUILT if getattr(quark, name) is not getattr(quark, name)] == []


def test_every_public_class_or_function_lives_in_quark() -> None:
    """Tracebacks and reprs say ``quark.Name``, wherever the code moves; pickled references survive the move."""
    assert {name: value.__module__ for name, value in public().items() if value.__module__ != "quark"} == {}
    assert [name for name, value in public().items() if pickle.loads(pickle.dumps(value)) is not value] == []


def test_every_public_class_or_function_says_what_it_is() -> None:
    """Every public class and function has a docstring, and so has every public method that it defines itself."""
    methods = {
        f"{name}.{method}": getattr(value, method)
        for name, value in public().items()
        if inspect.isclass(value)
        for method, function in vars(value).items()
        if inspect.isfunction(function) and not method.startswith("_")
    }
    assert [name for name, value in {**public(), **methods}.items() if not inspect.getdoc(value)] == []


def test_the_stub_for_type_checkers_says_the_same() -> None:
    """Type checkers see exactly the names of the table, from the same modules."""
    stub = ast.parse((ROOT / "quark" / "__init__.pyi").read_text("utf-8"))
    seen = {alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name fails as it does in any module, and says which one is near, else where the names are."""
    with pytest.raises(AttributeError, match="did you mean MetricsLogger"):
        _ = quark.MetricLogger  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="dir\\(quark\\)"):
        _ = quark.zzz  # type: ignore[attr-defined]
