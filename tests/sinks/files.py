"""Writing and reading the files of a JsonlSink in tests."""

import json
from pathlib import Path

from quark.records.base import Origin
from quark.sinks.jsonl import JsonlSink
from quark.testing import make_manifest

ORIGIN = Origin("run-1", "writer-a")


def opened(path, origin=ORIGIN, *, world_size=1, **options):
    sink = JsonlSink(path, **options)
    sink.on_start(make_manifest(origin, world_size=world_size))
    return sink


def written(path, *batches, origin=ORIGIN, **options):
    sink = opened(path, origin, **options)
    for batch in batches:
        sink.write(batch)
    sink.on_stop(None, "completed")
    sink.close()
    return sink


def decoded(path):
    content = Path(path).read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def numbers(path):
    return [line["sequence"] for line in decoded(path) if line["kind"] != "writer"]
