"""Reads a tracking server by MLflow's own client, which knows how to authenticate."""

import heapq
from collections.abc import Iterator
from functools import partial
from operator import attrgetter
from typing import Any

import quark

from .mlflow_run import MlflowRun, Point
from .source import SourceRun

PAGE = 500


def runs_of_server(address: str) -> Iterator[MlflowRun]:
    """The runs of all experiments that are not deleted.

    Raises:
        MissingDependencyError: MLflow is not installed.
        SessionStoreError: the server does not answer, or refuses.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise quark.MissingDependencyError(
            'a tracking server is read with MLflow: pip install "quark-tracker[mlflow]"'
        ) from error
    client = MlflowClient(address)
    try:
        names = {found.experiment_id: found.name for found in _pages(client.search_experiments)}
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        search = partial(client.search_runs, order_by=order)
        for experiment_id, name in names.items():
            for found in _pages(partial(search, [experiment_id])):
                yield _run(client, found, name)
    except MlflowException as error:
        raise quark.SessionStoreError(
            f"the tracking server could not be read: {error}; see that it runs and that MLFLOW_TRACKING_USERNAME, "
            "MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN let you in",
            code="unavailable",
        ) from error


def _pages(search: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _run(client: Any, found: Any, experiment: str) -> MlflowRun:
    info, data = found.info, found.data
    return MlflowRun(
        run_id=info.run_id, name=info.run_name, experiment=experiment, status=info.status,
        started_ms=info.start_time or 0, ended_ms=info.end_time, params=data.params, tags=data.tags,
        points=partial(_points, client, info.run_id, sorted(data.metrics)),
    )  # fmt: skip


def _points(client: Any, run_id: str, keys: list[str], run: SourceRun) -> Iterator[Point]:
    """All points by their time, those of a metric in the order of the server: a run that goes on adds at the end."""
    histories = (client.get_metric_history(run_id, key) for key in keys)
    for metric in heapq.merge(*histories, key=attrgetter("timestamp")):
        yield metric.key, metric.value, metric.timestamp, metric.step
