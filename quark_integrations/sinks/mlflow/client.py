"""Talks to MLflow: its own client, without its long retries, in requests of the size that it takes."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.rest_store import RestStore
from mlflow.tracking._tracking_service.client import TrackingServiceClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.rest_utils import http_request, verify_rest_response

MAX_METRICS, MAX_PARAMS, MAX_TAGS = 1000, 100, 100
TIMEOUT_S = 30.0
JSON_BODY = {"Content-Type": "application/json"}


NEVER = (400, 411, 413, 414, 415, 422)
"""HTTP statuses that say that the content is at fault, so that sending it again is of no use."""


class _QuickStore(RestStore):
    """MLflow's REST store with one try for each request: who calls it tries again by himself, and may be stopped."""

    def _call_endpoint(self, api: Any, json_body: Any = None, *args: Any, **options: Any) -> Any:
        endpoint, method = self._METHOD_TO_INFO[api]
        body: dict[str, Any] = {"data": (json_body or "{}").encode(), "extra_headers": JSON_BODY}
        if method == "GET":
            body = {"params": json.loads(json_body or "{}")}
        response = http_request(
            self.get_host_creds(), endpoint, method, max_retries=0, timeout=TIMEOUT_S, raise_on_status=False, **body
        )
        made = api.Response()
        parse_dict(json.loads(verify_rest_response(response, endpoint).text), made)
        return made


class _QuickService(TrackingServiceClient):
    """The part of MLflow's client that tracks, on a store of its own: MLflow shares one with the user's calls."""

    def __init__(self, uri: str) -> None:
        self._own = _QuickStore(partial(get_default_host_creds, uri))
        super().__init__(uri)

    @property
    def store(self) -> Any:
        return self._own


class Backend:
    """One run in MLflow, by explicit id: nothing of the process-wide state of MLflow is read or changed."""

    def __init__(self, uri: str) -> None:
        # MLflow's tables warn under SQLAlchemy 2.1; where warnings are errors they could never be used again.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        self.client = MlflowClient(tracking_uri=uri)
        if uri.startswith(("http://", "https://")):
            self.client._tracking_client = _QuickService(uri)
        self.run_id = ""

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made if there is none of this name."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return self.client.create_experiment(name)
            except MlflowException:
                found = self.client.get_experiment_by_name(name)  # another process was faster
                if found is None:
                    raise
        return found.experiment_id

    def find(self, experiment_id: str, tags: Mapping[str, str]) -> Run | None:
        """The run with these tags; deleted ones are not found."""
        text = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self.client.search_runs([experiment_id], text, ViewType.ACTIVE_ONLY, max_results=1)
        return found[0] if found else None

    def log_points(self, points: Sequence[tuple[str, float, int, int]]) -> list[tuple[Any, str]]:
        """Send (key, value, timestamp in ms, step); what MLflow refuses comes back with the reason."""
        metrics = [Metric(*point) for point in points]
        return self._send(metrics, MAX_METRICS, lambda part: self.client.log_batch(self.run_id, metrics=part))

    def log_params(self, params: Mapping[str, str]) -> list[tuple[Any, str]]:
        """Send parameters that are not there yet; what MLflow refuses comes back with the reason."""
        made = [Param(key, value) for key, value in params.items()]
        return self._send(made, MAX_PARAMS, lambda part: self.client.log_batch(self.run_id, params=part))

    def set_tags(self, tags: Mapping[str, str]) -> list[tuple[Any, str]]:
        """Send tags; what MLflow refuses comes back with the reason."""
        made = [RunTag(key, value) for key, value in tags.items()]
        return self._send(made, MAX_TAGS, lambda part: self.client.log_batch(self.run_id, tags=part))

    def set_status(self, status: str, end_time_ms: int | None = None) -> None:
        """Set the status; ``MlflowClient.set_terminated`` would print, and end the user's asynchronous logging."""
        store = self.client._tracking_client.store
        store.update_run_info(self.run_id, RunStatus.from_string(status), end_time_ms, None)

    def log_text(self, text: str, path: str) -> None:
        """Store a text as an artifact."""
        self.client.log_text(self.run_id, text, path)

    def upload(self, path: str, folder: str) -> str | None:
        """Store a file as an artifact; the reason if MLflow will never take it."""
        try:
            self.client.log_artifact(self.run_id, path, folder)
        except Exception as error:
            if _status_of(error) not in NEVER:
                raise
            self.check_active()
            return str(error)
        return None

    def _send(self, items: list[Any], limit: int, send: Callable[[list[Any]], Any]) -> list[tuple[Any, str]]:
        refused: list[tuple[Any, str]] = []
        for start in range(0, len(items), limit):
            self._send_part(items[start : start + limit], send, refused)
        return refused

    def _send_part(self, part: list[Any], send: Callable[[list[Any]], Any], refused: list[tuple[Any, str]]) -> None:
        """Send all or, if MLflow refuses them for one of them, halves: one bad value never costs the others."""
        try:
            send(part)
        except MlflowException as error:
            if error.get_http_status_code() != 400:
                raise
            self.check_active()
            if len(part) == 1:
                refused.append((part[0], str(error)))
                return
            half = len(part) // 2
            self._send_part(part[:half], send, refused)
            self._send_part(part[half:], send, refused)

    def check_active(self) -> Run:
        """The run; raises if it was deleted, because then nothing of it is taken."""
        run = self.client.get_run(self.run_id)
        if run.info.lifecycle_stage != "active":
            raise RuntimeError(
                f"the MLflow run {self.run_id} was deleted; its records wait: restore it with "
                f"'mlflow runs restore --run-id {self.run_id}'"
            )
        return run


def _status_of(error: Exception) -> int | None:
    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    return getattr(getattr(error, "response", None), "status_code", None)
