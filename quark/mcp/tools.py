"""The tools of the MCP server, with what a model reads about them and the limits of their arguments."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent
from pydantic import Field

from ..errors import QuarkError
from ..records.literals import AlertSeverity, RunStatus
from ..sinks.wording import plain
from .answers import Answers

Run = Annotated[str, Field(min_length=1, max_length=512, description="Id of a run, the start of it, or its name.")]
Text = Annotated[str | None, Field(max_length=512)]
Metrics = Annotated[str, Field(description="Only metrics whose name matches this regular expression; empty: all.")]
QUERY = (
    'Terms that must all hold, such as: status:failed lr<1e-3 max:val/acc>0.9 tag:x "text". Before a colon: status, '
    "project, tag, name, id, has; a minus negates a term; other words are looked for in id, name, project and tags."
)
COLUMNS = "Settings such as lr, metrics such as val/acc:max; behind the colon last, first, min, max, best or mean."
SORT = "started_at, updated_at, name, project, status, id, or a column such as val/acc:max; - for descending."
Step = Annotated[int | None, Field(ge=0, le=2**63 - 1)]


def tools_of(answers: Answers) -> list[Callable[..., CallToolResult]]:
    """One function a tool."""

    def list_runs(
        query: Annotated[str | None, Field(max_length=2000, description=QUERY)] = None,
        project: Text = None,
        status: RunStatus | None = None,
        tag: Text = None,
        columns: Annotated[list[str], Field(max_length=10, description=COLUMNS)] = [],  # noqa: B006  never changed
        sort: Annotated[str, Field(max_length=512, description=SORT)] = "-started_at",
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
        after: Annotated[str | None, Field(max_length=4096, description="The `next` of the page before.")] = None,
    ) -> CallToolResult:
        """List runs, the newest first: id, name, project, status, times, and the settings and metrics in `columns`."""
        return _answer(
            answers.list_runs, query=query, project=project, status=status, tag=tag, columns=columns, sort=sort,
            limit=limit, after=after,
        )  # fmt: skip

    def run_summary(run: Run, metrics: Metrics = "") -> CallToolResult:
        """What a run is and how it went: configuration, verdict, results, notes, and of each metric first, last, least,
        greatest and best value."""
        return _answer(answers.run_summary, run, metrics=metrics)

    def series(
        run: Run,
        key: Annotated[str, Field(min_length=1, max_length=1024, description="Name of the metric.")],
        buckets: Annotated[int, Field(ge=1, le=200, description="Stretches of steps.")] = 50,
        step_min: Step = None,
        step_max: Step = None,
    ) -> CallToolResult:
        """The course of a metric in stretches of steps, each with its true minimum and maximum, so that no spike is
        lost; NaN and infinite values are counted apart."""
        return _answer(answers.series, run, key, buckets=buckets, step_min=step_min, step_max=step_max)

    def alerts(
        run: Run, severity: AlertSeverity = "info", limit: Annotated[int, Field(ge=1, le=100)] = 20
    ) -> CallToolResult:
        """What was found wrong with a run, of a severity and worse: the fact, what it suggests, what to do, and the
        evidence."""
        return _answer(answers.alerts, run, severity=severity, limit=limit)

    def diagnose(run: Run) -> CallToolResult:
        """Analyze a run now: its health, what is wrong and why, what to do, and what could not be judged."""
        return _answer(answers.diagnose, run)

    def compare(
        runs: Annotated[list[Run], Field(min_length=2, max_length=10)], metrics: Metrics = ""
    ) -> CallToolResult:
        """What differs between runs: settings, best and last values; of two runs also alerts, phases, and whether a
        difference is within the noise."""
        return _answer(answers.compare, runs, metrics=metrics)

    def layers_at(
        run: Run,
        step: Step = None,
        layers: Annotated[str, Field(description="Only names that match this regular expression; empty: all.")] = "",
        limit: Annotated[int, Field(ge=1, le=200)] = 50,
    ) -> CallToolResult:
        """Statistics of layers and parameters at the last step at or before `step` at which they were looked at."""
        return _answer(answers.layers_at, run, step=step, layers=layers, limit=limit)

    def log_lines(
        run: Run,
        last: Annotated[int, Field(ge=1, le=500)] = 50,
        stream: Literal["stdout", "stderr"] | None = None,
        pattern: Annotated[str, Field(description="Only lines that match this regular expression; empty: all.")] = "",
    ) -> CallToolResult:
        """The last lines that a run printed, the oldest of them first."""
        return _answer(answers.log_lines, run, last=last, stream=stream, pattern=pattern)

    return [list_runs, run_summary, series, alerts, diagnose, compare, layers_at, log_lines]


def _answer(question: Callable[..., dict[str, Any]], *given: Any, **named: Any) -> CallToolResult:
    """The answer as compact text and as a document; an error of Quark becomes a text that the model reads."""
    try:
        made = question(*given, **named)
    except (QuarkError, OSError) as error:
        raise ToolError(plain(error, 1000)) from None
    return CallToolResult(content=[TextContent(text=orjson.dumps(made).decode())], structured_content=made)
