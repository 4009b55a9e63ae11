"""`quark compare`: what differs between two recorded runs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, ServiceUrl, StorageDir
from .output import SEVERITIES, console, cut, print_json, table, text

if TYPE_CHECKING:
    from rich.console import Console

    from ..analysis.comparison.result import MetricDiff, RunComparisonResult
    from ..records.literals import TargetDirection

Named = Annotated[str, typer.Argument(show_default=False, help="Id of a run, the start of one, or its name.")]


def compare(
    primary: Named,
    reference: Named,
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    baseline: Annotated[bool, typer.Option("--baseline", help="The second run is the baseline.")] = False,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="KEY>=VALUE", help="Also the first step at which a metric is there; may be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a run with another: metrics, alerts, phases, layers, configuration. Nothing is written."""
    from ..analysis.comparison.engine import ComparisonEngine
    from ..records.configs import ComparisonEngineConfig
    from .choosing import chosen, opened

    config = ComparisonEngineConfig(metric_targets=tuple(_target(one) for one in target or ()))
    with opened(storage_dir, url) as store:
        runs = chosen(store, primary), chosen(store, reference)
        result = ComparisonEngine.compare_runs(*runs, baseline=baseline, config=config)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result, console())


def _target(given: str) -> Any:
    """A target such as ``val/accuracy>=0.8``."""
    from ..records.configs import MetricTargetSpec

    signs: tuple[tuple[str, TargetDirection], ...] = ((">=", "at_least"), ("<=", "at_most"))
    for sign, direction in signs:
        key, found, value = given.partition(sign)
        if found:
            try:
                return MetricTargetSpec(key.strip(), float(value), direction)
            except ValueError:
                break
    raise typer.BadParameter(f"--target takes KEY>=VALUE or KEY<=VALUE such as val/accuracy>=0.8, got {given!r}")


def _print(result: "RunComparisonResult", out: "Console") -> None:
    names = [run.name or run.id for run in (result.primary, result.reference)]
    out.print(text(f"{names[0]} ({result.primary.status}) against {names[1]} ({result.reference.status})", "bold"))
    if result.config_diffs:
        rows = table("setting", "first", "second", flexible=("setting", "first", "second"))
        for diff in result.config_diffs:
            cells = [cut("" if diff.only_in == other else value) for other, value in
                     (("reference", diff.primary), ("primary", diff.reference))]  # fmt: skip
            rows.add_row(cut(diff.key), *cells)
        out.print(rows)
    if result.metric_diffs:
        _print_metrics(result.metric_diffs, out)
    _print_rest(result, out)
    out.print(text(result.caution, "dim"), soft_wrap=True)


def _print_metrics(diffs: "tuple[MetricDiff, ...]", out: "Console") -> None:
    columns = ("first", "second", "difference", "at step", "noise band")
    rows = table("metric", *columns, "", right=columns, flexible=("metric", ""))
    for diff in diffs:
        common = diff.last_common_step is not None
        delta = diff.delta_last_common if common else diff.delta_last
        step = str(diff.last_common_step) if common else "last" if delta is not None else ""
        rows.add_row(
            cut(diff.metric_key), *(_number(side and side.last) for side in (diff.primary, diff.reference)),
            _number(delta, "+"), step, _number(diff.noise_band), text(_remark(diff), "dim"),
        )  # fmt: skip
    out.print(rows)


def _remark(diff: "MetricDiff") -> str:
    if diff.only_in is not None:
        return f"in the {'first' if diff.only_in == 'primary' else 'second'} run only"
    words = ["within the noise"] if diff.within_noise else []
    found = diff.time_to_target_step
    if found is not None:
        steps = ["never" if step is None else f"step {step}" for step in (found.primary, found.reference)]
        words.append(f"{found.target_value:g} reached: {steps[0]}, {steps[1]}")
    return "; ".join(words)


def _print_rest(result: "RunComparisonResult", out: "Console") -> None:
    alerts = result.alert_diff
    for title, marks in (("only in the first", alerts.added), ("only in the second", alerts.removed)):
        for mark in marks:
            about = f" ({mark.subject})" if mark.subject else ""
            words = f"{mark.severity}, {title}: {mark.title}{about}"
            out.print(text(words, SEVERITIES.get(mark.severity, "")), soft_wrap=True)
    for change in alerts.severity_changed:
        out.print(text(f"{change.rule_id}: {change.primary} in the first, {change.reference} in the second"))
    if result.phase_diffs:
        rows = table("phase", "first, steps", "second, steps", "longer by", right=("longer by",))
        for phase in result.phase_diffs:
            spans = [f"{side.step_start} to {side.step_end}" if side.present else "" for side in
                     (phase.primary, phase.reference)]  # fmt: skip
            longer = "" if phase.delta_duration is None else f"{phase.delta_duration:+d}"
            rows.add_row(text(phase.phase_name), *(text(span) for span in spans), text(longer))
        out.print(rows)
    layers = [diff for diff in result.layer_summary_diffs if diff.only_in is None]
    alone = len(result.layer_summary_diffs) - len(layers)
    if layers or alone:
        out.print(
            text(f"{len(layers)} layer summaries in both runs, {alone} in one only; --json has their differences")
        )


def _number(value: float | None, sign: str = "") -> Any:
    return text("" if value is None else f"{value:{sign}.5g}")
