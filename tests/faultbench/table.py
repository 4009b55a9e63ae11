"""The outcome as a table, and its place in the documentation."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from .bench import DYNAMICS, Case, score

BEGIN, END = "<!-- faultbench: begin -->", "<!-- faultbench: end -->"


def table(cases: Sequence[Case]) -> str:
    """A row per rule, and the whole."""
    valid = [case for case in cases if case.valid]
    lines = [
        "| rule | right | wrong | precision | to name | named, by it or its like | median delay in looks |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for rule in sorted(DYNAMICS):
        right = sum(rule in case.right for case in valid)
        wrong = sum(rule in case.wrong for case in valid)
        due = [case for case in valid if rule in case.plan.expected]
        delays = [case.delay for case in due if case.delay is not None]
        precision = f"{right / (right + wrong):.2f}" if right + wrong else ""
        delay = f"{statistics.median(delays):g}" if delays else ""
        named = sum(case.found for case in due)
        lines.append(f"| `{rule}` | {right} | {wrong} | {precision} | {len(due)} | {named} | {delay} |")
    whole = score(cases)
    overfit = statistics.median(whole.overfitting_delays) if whole.overfitting_delays else 0.0
    lines += [
        "",
        f"All in all: precision {whole.precision:.3f}, recall {whole.recall:.3f} on {whole.faulty} faulty runs, a "
        f"false alarm on {whole.false_alarms} of {whole.healthy} healthy runs ({whole.false_alarm_rate:.1%}), "
        f"median delay {whole.delay:g} probes (overfitting: {overfit:g} evaluations after the onset).",
    ]
    return "\n".join(lines)


def write_table(page: Path, cases: Sequence[Case]) -> None:
    """Put the table between the marks of the page."""
    text = page.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    seeds = sorted({case.seed for case in cases})
    said = f"Seeds {seeds[0]} to {seeds[-1]}, {len(cases)} runs, of which {sum(case.valid for case in cases)} count."
    page.write_text(f"{head}{BEGIN}\n{said}\n\n{table(cases)}\n{END}{tail}", "utf-8")
