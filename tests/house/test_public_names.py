"""The public names: one sorted table, complete, importable, and at home in ``quark``."""

import ast
import inspect
import pickle

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


@pytest.mark.parametrize("name", sorted(HOMES))
def test_a_public_name_resolves(name: str) -> None:
    """Every public name can be had, or stands in the list of those to come."""
    if name in PENDING:
        with pytest.raises((ModuleNotFoundError, AttributeError)):
            getattr(quark, name)
    else:
        assert getattr(quark, name) is getattr(quark, name)


@pytest.mark.parametrize("name", BUILT)
def test_a_public_class_or_function_lives_in_quark(name: str) -> None:
    """Tracebacks and reprs say ``quark.Name``, wherever the code moves; pickled references survive the move."""
    value = getattr(quark, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__module__ == "quark"
        assert pickle.loads(pickle.dumps(value)) is value


@pytest.mark.parametrize("name", BUILT)
def test_a_public_class_or_function_says_what_it_is(name: str) -> None:
    """Every public class and function has a docstring, and so has every public method that it defines itself."""
    value = getattr(quark, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)
    if inspect.isclass(value):
        methods = {n: m for n, m in vars(value).items() if inspect.isfunction(m) and not n.startswith("_")}
        assert [n for n, m in methods.items() if not inspect.getdoc(getattr(value, n))] == []


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
