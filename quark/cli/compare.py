"""`quark compare`: what differs between recorded runs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .gate import FailOn, gated, leave
from .options import AsJson, ServiceUrl, StorageDir
from .output import SEVERITIES, console, cut, print_json, table, text

if TYPE_CHECKING:
    from rich.console import Console

    from ..analysis.comparison.result import MetricDiff, RunComparisonResult
    from ..reading.beside import SideBySide
    from ..records.literals import TargetDirection


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", show_default=False, help="Ids of runs, the starts of ids, or names."),
    ],
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    baseline: Annotated[bool, typer.Option("--baseline", help="Of two runs the second is the baseline.")] = False,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="KEY>=VALUE",
            help="Of two runs also the first step at which a metric is there; may be repeated.",
        ),
    ] = None,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare runs: settings that differ, best and last values. Nothing is written.

    Of two runs also their alerts, phases and layers, and whether a difference is within the noise. --fail-on counts
    the alerts that the first run has and the second has not, or has in a lower severity.
    """
    from ..analysis.comparison.engine import ComparisonEngine
    from ..reading.beside import SideBySide
    from ..reading.findings import regressions
    from ..records.configs import ComparisonEngineConfig
    from .beside import print_beside
    from .choosing import chosen, opened

    if len(runs) < 2:
        raise typer.BadParameter("compare takes at least two runs; quark show shows one, quark runs lists them")
    if len(runs) > 2 and (baseline or target or fail_on):
        raise typer.BadParameter(f"--baseline, --target and --fail-on compare two runs, got {len(runs)}")
    config = ComparisonEngineConfig(metric_targets=tuple(_target(one) for one in target or ()))
    with opened(storage_dir, url) as store:
        views = [chosen(store, run) for run in runs]
        if len(views) > 2:
            beside = SideBySide(views)
            print_json(beside.to_dict()) if as_json else print_beside(beside, console())
            return
        result = ComparisonEngine.compare_runs(*views, baseline=baseline, config=config)
        found = [] if fail_on is None else regressions(views[0], views[1], fail_on)
        beside = SideBySide(views)
        if as_json:
            print_json({**result.to_dict(), "best": beside.to_dict()["best"], **gated(fail_on, found)})
        else:
            _print(result, beside, console())
    leave(fail_on, found, as_json=as_json)


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


def _print(result: "RunComparisonResult", beside: "SideBySide", out: "Console") -> None:
    from .beside import print_best, print_settings

    names = [run.name or run.id for run in (result.primary, result.reference)]
    out.print(text(f"{names[0]} ({result.primary.status}) against {names[1]} ({result.reference.status})", "bold"))
    print_settings(beside, out)
    print_best(beside, out)
    if result.metric_diffs:
        _print_metrics(result.metric_diffs, out)
    _print_rest(result, out)
    out.print(text(result.caution, "dim"), soft_wrap=True)


def _print_metrics(diffs: "tuple[MetricDiff, ...]", out: "Console") -> None:
    columns = ("first", "second", "difference", "at step", "noise band")
    rows = table("metric", *columns, "", right=columns, flexible=("metric", ""))
    for diff in sorted(diffs, key=lambda diff: diff.metric_key.startswith("system/")):
        common = diff.last_common_step is not None
        delta = diff.delta_last_common if common else diff.delta_last
        step = str(diff.last_common_step) if common else "last" if delta is not None else ""
        rows.add_row(
            cut(diff.metric_key), *(_number(side and side.last) for side in (diff.primary, diff.reference)),
            _number(delta, "+"), step, _number(diff.noise_band), text(_remark(diff), "dim"),
        )  # fmt: skip
    out.print()
    out.print(rows)


def _remark(diff: "MetricDiff") -> str:
    if diff.only_in is not None:
        return f"in the {'first' if diff.only_in == 'primary' else 'second'} run only"
    equal = diff.delta_last == 0 and diff.delta_last_common in (0, None)
    words = ["equal"] if equal else ["within the noise"] if diff.within_noise else []
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
