"""A double of the W&B server: it keeps runs in memory and takes the real client, online and by ``wandb sync``."""

import gzip
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VIEWER = {
    "id": "VQ==", "entity": "ent", "username": "u", "email": "a@b.c", "flags": "{}", "teams": {"edges": []},
    "apiKeys": {"edges": []},
}  # fmt: skip


@dataclass
class HostedRun:
    """What the server holds of a run."""

    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    complete: bool = False


class WandbServer:
    """Listens on loopback while the ``with`` block runs; ``stuck`` set: it takes requests and never answers."""

    def __init__(self) -> None:
        self.runs: dict[str, HostedRun] = {}
        self.stuck = threading.Event()
        self.freed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hosted": self}))
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None  # a killed client is the point here
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "WandbServer":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.freed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL query."""
        run_id = variables.get("name") or variables.get("id") or "r"
        if "upsertBucket" in query:
            new = run_id not in self.runs
            run = self.runs.setdefault(run_id, HostedRun())
            run.name = variables.get("displayName") or run.name
            run.config.update(json.loads(variables.get("config") or "{}"))
            return {"upsertBucket": {"bucket": self._bucket(run_id), "inserted": new}}
        if "RunResumeStatus" in query:
            return {"model": {"id": "UA==", "name": "p", "entity": {"id": "RQ==", "name": "ent"},
                              "bucket": self._bucket(run_id) if run_id in self.runs else None}}  # fmt: skip
        if "serverInfo" in query and "__type" not in query:
            version = {"max_cli_version": "9.9.9"}
            return {"viewer": VIEWER, "serverInfo": {"cliVersionInfo": version, "latestLocalVersionInfo": None,
                                                     "features": []}}  # fmt: skip
        if "viewer" in query:
            return {"viewer": VIEWER, "serverInfo": None}
        if "createRunFiles" in query:
            found = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables.get("files", [])]
            return {"createRunFiles": {"runID": "UnVu", "uploadHeaders": [], "files": found}}
        if "createArtifact(" in query:
            latest = {"id": "QQ==", "versionIndex": 0}
            return {"createArtifact": {"artifact": {
                "id": "QQ==", "state": "COMMITTED", "artifactSequence": {"id": "Uw==", "latestArtifact": latest},
            }}}  # fmt: skip
        return {"model": {"bucket": None}, "project": None} if "model(" in query or "project(" in query else {}

    def _bucket(self, run_id: str) -> dict[str, Any]:
        run = self.runs[run_id]
        tail = json.dumps([json.dumps(row) for row in run.history[-1:]])
        return {
            "id": "UnVu", "name": run_id, "displayName": run.name or run_id, "description": "",
            "config": json.dumps(run.config), "sweepName": None, "tags": [], "wandbConfig": '{"t": {}}',
            "historyLineCount": len(run.history), "eventsLineCount": 0, "logLineCount": 0,
            "summaryMetrics": json.dumps(run.summary), "historyTail": tail, "eventsTail": "[]",
            "project": {"id": "UA==", "name": "p", "entity": {"id": "RQ==", "name": "ent"}},
        }  # fmt: skip

    def stream(self, run_id: str, body: dict[str, Any]) -> None:
        """Take a part of a run's files: rows go where their offset says, as the real server puts them."""
        run = self.runs.setdefault(run_id, HostedRun())
        for name, part in (body.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                at = part.get("offset", 0)
                run.history[at : at + len(part["content"])] = [json.loads(line) for line in part["content"]]
            elif name == "wandb-summary.json":
                run.summary = json.loads(part["content"][-1])
        if body.get("complete"):
            run.complete, run.exit_code = True, body.get("exitcode")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosted: WandbServer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        self._body()
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.hosted.stuck.is_set():
            self.hosted.freed.wait(60)
        if self.path == "/graphql":
            asked = json.loads(body)
            self._answer({"data": self.hosted.answer(asked.get("query", ""), asked.get("variables") or {})})
        elif found := re.search(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            self.hosted.stream(found.group(1), json.loads(body))
            self._answer({"exitcode": None, "limits": {}})
        else:
            self._answer({})

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            data = b"".join(parts)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _answer(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            self.close_connection = True  # the client went away
