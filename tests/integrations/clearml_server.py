"""A double of ClearML's API and file server: none can be had here, for the real one needs Elasticsearch and MongoDB.

It takes the real client's requests over HTTP, and keeps events by the rules of the real server: scalars and plots are
kept by task, iteration, title and series, the last one counts; every line of the console is kept.
"""

import base64
import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .clearml_session import rows_of

ENDS = {"tasks.stopped": "stopped", "tasks.completed": "completed", "tasks.failed": "failed"}


class ClearMLServer:
    """What arrived, and how the server feels.

    Attributes:
        tasks: by id, what is known of each.
        events: by task, iteration, title and series.
        lines: the console's, in order.
        files: by name, what the file server was given.
        added: how many scalars and lines came in all, those that came again too.
        refuse: a status to answer everything with.
        awake: cleared, no request is answered before it is set.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.projects: dict[str, str] = {}
        self.events: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.lines: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.added = 0
        self.refuse: int | None = None
        self.awake = threading.Event()
        self.awake.set()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="clearml-double")
        self._thread.start()

    def environment(self) -> dict[str, str]:
        """What sends the real client here."""
        hosts = {f"CLEARML_{kind}_HOST": self.address for kind in ("API", "WEB", "FILES")}
        return {**hosts, "CLEARML_API_ACCESS_KEY": "key", "CLEARML_API_SECRET_KEY": "secret"}

    def stop(self) -> None:
        """End."""
        self.awake.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def points(self, task: str | None = None) -> list[tuple[str, str, int, float]]:
        """Title, series, iteration and value of every scalar that is kept."""
        return sorted(
            (e["metric"], e["variant"], e["iter"], e["value"])
            for e in self.events.values()
            if e["type"] == "training_stats_scalar" and task in (None, e["task"])
        )

    def once(self) -> bool:
        """Whether no scalar and no line came twice."""
        scalars = [event for event in self.events.values() if event["type"] == "training_stats_scalar"]
        return self.added == len(scalars) + len(self.lines)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        (plot,) = [e for e in self.events.values() if e["type"] == "plot" and e["variant"] == name]
        return rows_of(plot)

    def answer(self, endpoint: str, body: Any) -> dict[str, Any]:
        with self._lock:
            return self._answer(endpoint, body)

    def _answer(self, endpoint: str, body: Any) -> dict[str, Any]:
        if endpoint == "events.add_batch":
            return self._add(body)
        if endpoint == "auth.login":
            return {"token": _token()}
        if endpoint.startswith("projects."):
            return self._project(endpoint, body)
        if endpoint == "tasks.create":
            made = uuid.uuid4().hex
            known = {"hyperparams": {}, "configuration": {}, "execution": {}, "script": {}, "tags": [], "artifacts": {}}
            times = {"created": "2026-01-01T00:00:00+00:00", "last_iteration": 0}
            self.tasks[made] = {**known, **body, **times, "id": made, "status": "created"}
            return {"id": made}
        if endpoint in ("tasks.get_all", "tasks.get_all_ex"):
            return {"tasks": [task for task in self.tasks.values() if _fits(task, body)]}
        if endpoint == "events.get_task_log":
            return {"events": [line for line in self.lines if line["task"] == body["task"]][-body["batch_size"] :]}
        if endpoint == "users.get_current_user":
            return {"user": {"id": "u", "name": "u", "company": {"id": "c", "name": "c"}}}
        task = self.tasks.get(body.get("task")) if isinstance(body, dict) else None
        return {} if task is None else self._change(endpoint, task, body)

    def _change(self, endpoint: str, task: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        if endpoint == "tasks.get_by_id":
            return {"task": task}
        if endpoint == "tasks.started":
            task["status"] = "in_progress"
            return {"updated": 1, "started": 1, "fields": {}}
        if endpoint in ENDS:
            task.update(status=ENDS[endpoint], status_reason=body.get("status_reason"))
        elif endpoint == "tasks.edit_hyper_params":
            for item in body["hyperparams"]:
                task["hyperparams"].setdefault(item["section"], {})[item["name"]] = item
        elif endpoint == "tasks.edit_configuration":
            task["configuration"].update({item["name"]: item for item in body["configuration"]})
        elif endpoint == "tasks.add_or_update_artifacts":
            task["artifacts"].update({item["key"]: item for item in body["artifacts"]})
        elif endpoint in ("tasks.edit", "tasks.update"):
            task.update({name: value for name, value in body.items() if name not in ("task", "force")})
        return {"updated": 1, "fields": {}}

    def _add(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        for event in events:
            if event.get("task") not in self.tasks:
                raise ValueError(f"Invalid task id {event.get('task')}")
            if event["type"] == "log":
                self.lines.append(event)
            else:
                self.events[event["task"], event["iter"], event["metric"], event["variant"]] = event
        self.added += sum(event["type"] != "plot" for event in events)
        return {"added": len(events), "errors": 0}

    def _project(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        if endpoint == "projects.create":
            self.projects[body["name"]] = uuid.uuid4().hex
            return {"id": self.projects[body["name"]]}
        found = [{"id": made, "name": name} for name, made in self.projects.items()]
        return {"projects": found}


class _Handler(BaseHTTPRequestHandler):
    owner: ClearMLServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.owner.awake.wait(60)
        kind = self.headers.get("Content-Type") or ""
        endpoint = self.path.split("?")[0].strip("/").split("/")[-1]
        if self.owner.refuse is not None:
            return self._say(self.owner.refuse, "the double refuses", {})
        if kind.startswith("multipart/"):
            name = raw.split(b'name="', 1)[1].split(b'"', 1)[0].decode()
            self.owner.files[name] = raw.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
            return self._say(200, "OK", {})
        lines = "json-lines" in kind or endpoint == "events.add_batch"
        try:
            body = [json.loads(line) for line in raw.splitlines() if line.strip()] if lines else json.loads(raw or "{}")
            return self._say(200, "OK", self.owner.answer(endpoint, body))
        except ValueError as error:
            return self._say(400, str(error), {})

    do_GET = do_PUT = do_POST

    def _say(self, status: int, message: str, data: dict[str, Any]) -> None:
        meta = {
            "id": uuid.uuid4().hex, "trx": uuid.uuid4().hex, "result_code": status, "result_subcode": 0,
            "result_msg": message, "error_stack": "", "error_data": {},
            "endpoint": {"name": self.path, "requested_version": "2.31", "actual_version": "2.31"},
        }  # fmt: skip
        out = json.dumps({"meta": meta, "data": data}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)


def _fits(task: dict[str, Any], body: dict[str, Any]) -> bool:
    if body.get("id"):
        return task["id"] in body["id"]
    projects, marks = body.get("project") or (), body.get("system_tags") or ()
    return (not projects or task.get("project") in projects) and set(marks) <= set(task.get("system_tags") or ())


def _token() -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    now = int(time.time())
    identity = {"user": "u", "company": "c", "role": "user"}
    body = {"exp": now + 86400, "iat": now, "identity": identity, "env": "x", "api_version": "2.31"}
    versions = {"server_version": "2.1.0", "server_build": "1", "feature_set": "basic"}
    return ".".join((part({"alg": "HS256", "typ": "JWT"}), part({**body, **versions}), "c2ln"))
