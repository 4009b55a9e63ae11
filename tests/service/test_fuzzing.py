"""Requests of a holder of keys, thousands of shapes: never an error of ours, and one answer on both databases."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from litestar.testing import TestClient

from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.service import ServiceConfig, create_app
from quark.testing import alert_line, event_line, make_batch, metric_lines, start_line, wide_lines

from ..postgres import new_database
from .conftest import Served
from .test_artifacts import DATA, DIGEST, artifact

RUNS = ("run-1", "run-2", "run-other", "run-hidden", "run-none")
VOLATILE = frozenset(("last_seen", "stop_requested_at", "restart_requested_at", "updated_at", "next"))
EXAMPLES = 400


class Two:
    """The same service over both databases, asked everything at once."""

    def __init__(self, services: list[Served]) -> None:
        self.services = services
        self.keys = [{"all": each.key, "limited": each.new_key(["write"], ["digits"])} for each in services]
        self.statuses: Counter[int] = Counter()
        for each in services:
            _fill(each)

    def ask(self, method: str, path: str, key: str, **more: Any) -> int:
        """The status of a request; both services give the same answer, and it is no fault of theirs."""
        answers = [
            served.ask(method, path, key=keys[key], **more)
            for served, keys in zip(self.services, self.keys, strict=True)
        ]
        first, second = answers
        told = (method, path, key, more, first.text[:500], second.text[:500])
        assert first.status_code < 500 and first.status_code not in (401, 429), told
        assert first.status_code == second.status_code, told
        assert _steady(first) == _steady(second), told
        self.statuses[first.status_code] += 1
        return first.status_code


def _fill(served: Served) -> None:
    for run_id, project in (("run-1", "digits"), ("run-2", "digits"), ("run-other", "other"), ("run-hidden", "digits")):
        origin = Origin(run_id, "w")
        end = Line("run", 0, 2, label="end", body=msgspec.Raw(b'{"status":"completed"}'))
        items = [
            start_line(origin, project=project), *metric_lines(3), *wide_lines(2), event_line("saved"),
            alert_line("rule"), artifact(), *([end] if run_id == "run-hidden" else []),
        ]  # fmt: skip
        _send(served, run_id, 0, items)
        served.ask("PUT", f"/api/v1/runs/{run_id}/blobs/{DIGEST}", content=DATA).raise_for_status()
    served.ask("DELETE", "/api/v1/runs/run-hidden").raise_for_status()


def _send(served: Served, run_id: str, first: int, items: list[Any]) -> None:
    batch = make_batch(Origin(run_id, "w"), items, first)
    query = {"first": first, "stop": batch.stop}
    path = f"/api/v1/runs/{run_id}/writers/w/records"
    served.ask("POST", path, params=query, content=batch.data).raise_for_status()


def _steady(answer: Any) -> Any:
    """What two databases have to agree on: everything but the moments at which each of them was asked."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return answer.content

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: (name in VOLATILE and item is not None) or without(item) for name, item in value.items()}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(answer.json())


@contextlib.contextmanager
def _both(postgres_server: str, place: Path) -> Iterator[Two]:
    with new_database(postgres_server) as url:
        configs = [ServiceConfig.of(f"sqlite:///{place}/one/quark.db"), ServiceConfig.of(url, place / "two")]
        with TestClient(create_app(configs[0])) as one, TestClient(create_app(configs[1])) as other:
            yield Two([Served(one), Served(other)])


@pytest.fixture(scope="module")
def two(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Services over SQLite and PostgreSQL with the same runs."""
    with _both(postgres_server, tmp_path_factory.mktemp("fuzzing")) as made:
        yield made


@pytest.fixture
def edited(postgres_server: str, tmp_path: Path) -> Iterator[Two]:
    """Services of their own: edits are records, whose writers and ids each service draws by itself."""
    with _both(postgres_server, tmp_path) as made:
        yield made


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.integers(0, 9), st.floats(allow_nan=False),
    st.text(max_size=8), st.sampled_from(["saved", "info", "digits", "cnn", "w", "w-3", "rule", "run-1", "%", "\0"]),
)  # fmt: skip
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))
numbers = st.one_of(st.integers(-2, 12), st.sampled_from([2**31, 2**63 - 1, 2**63, 10**30]), st.text(max_size=3))
texts = st.one_of(st.text(max_size=10), st.sampled_from(["digits", "other", "cnn", "running", "-started_at", "name"]))


def as_json(value: Any) -> str:
    """A value as a query holds it."""
    return encode(value).decode()


run_ids = st.sampled_from(RUNS)
keys = st.sampled_from(["all", "limited"])
FIELDS = (
    "event_type", "severity", "payload", "rule_id", "title", "sequence", "rank", "attempt", "writer_id", "id", "no",
    "metric_key", "namespace", "metric_name", "size_bytes", "evidence", "status", "cpu_percent",
)  # fmt: skip
bounds = {name: numbers for name in ("step", "step_min", "step_max", "epoch", "epoch_min", "epoch_max", "limit")}
filters = st.dictionaries(st.sampled_from(FIELDS), values, max_size=2)
READS: dict[str, dict[str, Any]] = {
    "/api/v1/runs": {
        **{name: texts for name in ("project", "status", "tag", "name", "started_after", "started_before", "sort")},
        "config": st.dictionaries(st.sampled_from(["lr", "a.b", ""]), values, max_size=2).map(as_json),
        "limit": numbers,
    },
    "/api/v1/runs/{run_id}/records/{kind}": {
        **bounds, "where": filters.map(as_json), "after": numbers,
    },
    "/api/v1/runs/{run_id}/series": {"key": texts | st.just("train/loss"), "all_attempts": texts, "limit": numbers},
    "/api/v1/runs/{run_id}/chart": {"key": texts | st.just("train/loss"), "buckets": numbers, "step_min": numbers},
    "/api/v1/runs/{run_id}": {}, "/api/v1/runs/{run_id}/overview": {}, "/api/v1/runs/{run_id}/control": {},
    "/api/v1/runs/{run_id}/writers/w": {}, "/api/v1/runs/{run_id}/blobs/{digest}": {},
    "/api/v1/runs/{run_id}/artifacts/{artifact_id}/payload": {}, "/api/v1/projects": {},
    "/api/v1/blueprint": {"project": texts},
}  # fmt: skip
KINDS = st.sampled_from(["event", "metric", "alert", "artifact", "telemetry"])


@st.composite
def reads(draw: Any) -> tuple[str, dict[str, Any]]:
    """A route with parameters that it knows, some of them of the wrong kind."""
    template = draw(st.sampled_from(sorted(READS)))
    path = template.format(
        run_id=draw(run_ids), kind=draw(KINDS), digest=draw(st.sampled_from([DIGEST, "0" * 64])),
        artifact_id=draw(st.sampled_from(["w-8", "w-9", "w"])),
    )  # fmt: skip
    chosen = (
        draw(st.lists(st.sampled_from(sorted(READS[template])), unique=True, max_size=3)) if READS[template] else []
    )
    return path, {name: str(draw(READS[template][name])) for name in chosen}


def lane(examples: int) -> Any:
    """Settings of a lane: the same cases every time."""
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks)


def test_reading(two: Two) -> None:
    """Whatever is asked, of whom and by whom: a client's fault is a 4xx, the same on both databases."""

    @seed(7)
    @lane(EXAMPLES)
    @given(read=reads(), key=keys)
    def ask(read: tuple[str, dict[str, Any]], key: str) -> None:
        path, query = read
        two.ask("GET", path, key, params=query)

    two.statuses.clear()
    ask()
    assert two.statuses[200] > EXAMPLES // 10, two.statuses


@st.composite
def lines(draw: Any) -> bytes:
    """A batch for a new run, no two alike: up to two of its fields hold something else."""
    origin = Origin("run", "w")
    items = [
        start_line(origin),
        *metric_lines(2),
        *wide_lines(1),
        event_line("saved", payload={"a": draw(st.integers(0, 10**6))}),
        alert_line("r"),
    ]
    content = [msgspec.json.decode(raw) for raw in make_batch(origin, items).data.splitlines()]
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        target = draw(st.sampled_from(content))
        while True:
            name = draw(st.sampled_from(sorted(target)))
            if not isinstance(target[name], dict) or not target[name] or draw(st.booleans()):
                break
            target = target[name]
        target[name] = draw(values)
    return b"\n".join(encode(line) for line in content)


def test_writing(two: Two) -> None:
    """Records with fields that hold something else are stored alike or refused alike, by line."""
    made = iter(range(10**6))

    @seed(7)
    @lane(EXAMPLES)
    @given(body=lines(), key=keys)
    def ask(body: bytes, key: str) -> None:
        run_id = f"fuzz-{next(made)}"
        body = body.replace(b'"id":"run"', f'"id":"{run_id}"'.encode())
        path = f"/api/v1/runs/{run_id}/writers/w/records"
        status = two.ask("POST", path, key, params={"first": 0, "stop": 6}, content=body)
        for rest in ("", "/overview", "/records/event", "/records/metric") if status == 200 else ():
            two.ask("GET", f"/api/v1/runs/{run_id}{rest}", key)

    two.statuses.clear()
    ask()
    assert two.statuses[200] > EXAMPLES // 10, two.statuses
    assert two.statuses[422] > EXAMPLES // 10, two.statuses


words = st.sampled_from([
    "status:running", "-tag:a", "lr<1", "lr=0.1", "lr!=null", "min:train/loss<0.5", "last:train/loss>=0", "%", "_",
    "best:train/loss<1", '"a b"', "cnn", "id:run", "id=run-1", "has:lr", "started_at>2026-01-01", "config.a.b=1",
    "train/loss<3", "name=cnn", "ended_at<2030-01-01", "lr>x", "project:digits,other", "-", "\\",
])  # fmt: skip
columns = st.sampled_from([
    "lr", "config.lr", "min:train/loss", "best:train/loss", "last:train/lr", "train/loss:max", "name", "ended_at", "id",
    "started_at", "a.b.c", "status",
])  # fmt: skip
drawn = {
    "keys": st.lists(st.sampled_from(["train/loss", "train/lr", "none"]) | st.text(min_size=1), min_size=1, max_size=3),
    "buckets": st.integers(1, 9), "min": st.floats(-2, 3), "max": st.floats(2, 12),
    "axis": st.sampled_from(["step", "epoch", "wall", "relative", "train/lr", "none"]),
}  # fmt: skip
listed_ids = st.lists(run_ids, min_size=1, max_size=3)
groups = st.fixed_dictionaries({"name": st.text(max_size=3), "runs": listed_ids})
tags = st.lists(st.sampled_from(["a", "b", "%"]), max_size=2)
PAGE: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/v1/charts"): {"runs": listed_ids, **drawn},
    ("POST", "/api/v1/charts/groups"): {"groups": st.lists(groups, min_size=1, max_size=2), **drawn},
    ("POST", "/api/v1/runs/query"): {
        "query": st.lists(words, max_size=3).map(" ".join), "columns": st.lists(columns, max_size=3),
        "limit": st.integers(1, 5), "sort": columns | columns.map(lambda column: f"-{column}"),
    },
    ("PATCH", "/api/v1/runs/{run_id}"): {
        "name": texts, "notes": texts, "tags": st.fixed_dictionaries({"add": tags, "remove": tags}),
    },
    ("PUT", "/api/v1/views/{name}"): {"content": st.dictionaries(st.text(max_size=4), values, max_size=2)},
    ("GET", "/api/v1/views/{name}"): {}, ("GET", "/api/v1/views"): {}, ("DELETE", "/api/v1/views/{name}"): {},
}  # fmt: skip
strange = values | st.text(max_size=6) | st.lists(st.text(max_size=3), max_size=3) | st.sampled_from([
    "a:b", "<", '"', "best:x", 'config."', "status:x", 4001, -1, 2.5, ["", "config."], {"add": ["\0"]}, "-", "cursor",
])  # fmt: skip


def test_what_a_page_asks(edited: Two) -> None:
    """Charts, tables, edits and views with fields that hold something else: one answer, and no fault of ours."""

    @seed(7)
    @lane(EXAMPLES)
    @given(data=st.data(), run_id=run_ids, key=keys)
    def ask(data: st.DataObject, run_id: str, key: str) -> None:
        method, template = data.draw(st.sampled_from(sorted(PAGE)))
        fields = PAGE[method, template]
        wrong = data.draw(st.sampled_from([None, None, *fields]))
        body = {name: data.draw(strange if name == wrong else value) for name, value in fields.items()}
        for name in ("min", "max", "name", "notes", "tags"):
            if name in body and data.draw(st.booleans()):
                del body[name]
        path = template.format(
            run_id=run_id, name=data.draw(st.sampled_from(["mine", "mine", "a b", "%00", "x" * 201]))
        )
        query = {"project": data.draw(st.just("digits") | texts)} if "views" in path else {}
        headers = {"Content-Type": "application/json"}
        edited.ask(method, path, key, params=query, headers=headers, content=encode(body) if body else None)

    edited.statuses.clear()
    ask()
    assert edited.statuses[200] > EXAMPLES // 10, edited.statuses


BODIES = {
    "heartbeat": {"interval_s": values, "stop_step": values}, "stop": {"grace_period_s": values},
    "restart": {"grace_period_s": values},
}  # fmt: skip


def test_control_and_blueprints(two: Two) -> None:
    """Bodies of the right shape with wrong values, and schemas of any kind."""
    schemas = st.dictionaries(
        st.sampled_from(["$ref", "type", "properties", "allOf", "pattern", "enum", "$schema", "items", "$defs"]),
        values | st.sampled_from(["#", "#/$defs/a", "object", "^(a+)+$"]), max_size=3,
    )  # fmt: skip

    @seed(7)
    @lane(EXAMPLES // 2)
    @given(data=st.data(), run_id=run_ids, key=keys)
    def ask(data: st.DataObject, run_id: str, key: str) -> None:
        route = data.draw(st.sampled_from([*sorted(BODIES), "blueprint"]))
        headers = {"Content-Type": "application/json"}
        if route == "blueprint":
            body = encode({"blueprint": data.draw(schemas)})
            two.ask("PUT", "/api/v1/blueprint", key, params={"project": "digits"}, content=body, headers=headers)
        else:
            fields = {name: data.draw(value) for name, value in BODIES[route].items() if data.draw(st.booleans())}
            two.ask("POST", f"/api/v1/runs/{run_id}/{route}", key, content=encode(fields), headers=headers)

    two.statuses.clear()
    ask()
    assert two.statuses[200] > 10, two.statuses
