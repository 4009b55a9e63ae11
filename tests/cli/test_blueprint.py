"""`quark blueprint`."""

import json
from pathlib import Path

import pytest

import quark

from .conftest import Command

SCHEMA = {"type": "object", "required": ["lr"], "properties": {"lr": {"type": "number"}}}


def test_a_blueprint_is_set_shown_held_and_removed(command: Command, tmp_path: Path) -> None:
    """Also in a directory without a store; runs that do not match are refused until it is removed."""
    place, file = tmp_path / "runs", tmp_path / "schema.json"
    place.mkdir()
    file.write_text(json.dumps(SCHEMA))
    told = command("blueprint", "set", "p", file, "-d", place, "--json")
    assert told.json() == {"project": "p", "blueprint": SCHEMA}
    assert command("blueprint", "show", "p", "-d", place).json() == SCHEMA
    with pytest.raises(quark.BlueprintError):
        quark.start_run(project="p", config={"lr": "fast"}, storage_dir=place)
    assert command("blueprint", "remove", "p", "-d", place).code == 0
    assert command("blueprint", "show", "p", "-d", place, "--json").json() == {"project": "p", "blueprint": None}
    assert "no blueprint" in command("blueprint", "show", "p", "-d", place).out
    quark.start_run(project="p", config={"lr": "fast"}, storage_dir=place).finish("completed")


@pytest.mark.parametrize(("text", "code"), [("{", 2), ('{"$ref": "https://example.org/other"}', 1), ("3", 1)])
def test_what_is_no_blueprint_is_refused(command: Command, tmp_path: Path, text: str, code: int) -> None:
    """No JSON is a usage error; a document that is no schema, or needs others, is refused with the reason."""
    file = tmp_path / "schema.json"
    file.write_text(text)
    told = command("blueprint", "set", "p", file, "-d", tmp_path, "--json")
    assert (told.code, bool(told.json()["error"]["message"])) == (code, True)
    assert not (tmp_path / ".quark" / "quark.db").exists()
