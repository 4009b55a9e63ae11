"""A configuration that does not match its project's blueprint starts no run, wherever runs live."""

import signal
from pathlib import Path
from typing import Any

import pytest

import quark

from .conftest import QuickService, opened

BLUEPRINT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "epochs": {"type": "integer", "minimum": 1},
        "optimizer": {"type": "object", "properties": {"lr": {"type": "number"}}, "required": ["lr", "name"]},
        "layers": {"type": "array", "items": {"$ref": "#/$defs/width"}},
        "api_key": {"type": "string", "minLength": 3},
    },
    "required": ["epochs"],
    "additionalProperties": False,
    "$defs": {"width": {"type": "integer"}},
}
GOOD = {"epochs": 3, "optimizer": {"lr": 0.1, "name": "sgd"}, "layers": [1, 2], "api_key": "secret-text"}
BAD = {"optimizer": {"lr": "fast"}, "layers": [1, "x"], "epoch": 3}
WRONG = {"epochs", "optimizer.lr", "optimizer.name", "layers.1", "epoch"}


def test_a_bad_config_starts_nothing_and_every_field_is_named(where: str, tmp_path: Path) -> None:
    """validate_config and start_run refuse it alike; no run, no file is made; a good one and other projects start."""
    quark.set_blueprint("p", BLUEPRINT)
    before = sorted(tmp_path.glob("runs/**/*"))
    for act in (lambda: quark.validate_config("p", BAD), lambda: quark.start_run(project="p", config=BAD)):
        with pytest.raises(quark.BlueprintError) as caught:
            act()
        assert set(caught.value.fields) == WRONG
        assert all(field in str(caught.value) for field in WRONG)
    with pytest.raises(quark.BlueprintError, match="epochs: is missing"):
        quark.start_run(project="p")
    assert sorted(tmp_path.glob("runs/**/*")) == before
    quark.validate_config("p", GOOD)
    with quark.start_run(project="p", config=GOOD), quark.start_run(project="other", config=BAD):
        pass
    with opened(where) as store:
        assert sorted(view.project for view in store.runs()) == ["other", "p"]
        assert store.blueprint("p") == BLUEPRINT
        store.set_blueprint("p", None)
        assert store.blueprint("p") is None
    quark.validate_config("p", BAD)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "whatever"}, {"properties": 3}, {"$ref": "http://127.0.0.1:9/x"}, {"items": [{"$ref": "file:///etc"}]},
        "text",
    ],
)  # fmt: skip
def test_what_is_no_blueprint(where: str, schema: Any) -> None:
    """What is no JSON Schema, or would have to be fetched from elsewhere, is refused when it is set."""
    with pytest.raises((quark.SchemaValidationError, TypeError)):
        quark.set_blueprint("p", schema)


def test_the_service_checks_a_blueprint_itself(service: QuickService) -> None:
    """Whoever sends one past the client is refused too; a key of another project learns and changes nothing."""
    import httpx

    other = service.new_key(["write"], ["other"])
    with httpx.Client(base_url=f"{service.url}/api/v1") as client:
        mine, theirs = {"X-Quark-API-Key": service.key}, {"X-Quark-API-Key": other}
        bad = {"blueprint": {"type": "whatever"}}
        assert client.put("/blueprint?project=p", json=bad, headers=mine).status_code == 422
        assert client.put("/blueprint?project=p", json={"blueprint": {}}, headers=theirs).status_code == 404
        assert client.get("/blueprint?project=p", headers=theirs).status_code == 404
        assert client.get("/blueprint?project=p", headers=mine).json() == {"blueprint": None}


def test_a_service_that_is_away_blocks_no_start(service: QuickService, tmp_path: Path) -> None:
    """What it said last holds; a project that it never spoke of starts with any configuration, at once."""
    quark.set_blueprint("p", BLUEPRINT)
    with quark.start_run(project="p", config=GOOD):
        pass
    service.stop(signal.SIGKILL)
    with pytest.raises(quark.BlueprintError):
        quark.start_run(project="p", config=BAD)
    for project, config in (("p", GOOD), ("unknown", BAD)):
        quark.start_run(project=project, config=config, close_timeout_s=0.1).finish("completed")
