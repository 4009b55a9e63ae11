"""A blueprint that cannot work is refused when it is set; one that was stored all the same holds up no start."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import quark
from quark.core.blueprint import CHECK_S, check_config
from quark.core.blueprint_schema import MOST_BYTES, MOST_ITEMS, MOST_OBJECTS, check_schema
from quark.storage import SqlStore

DRAFT7 = "http://json-schema.org/draft-07/schema#"


def doubled(times: int, keyword: str) -> dict[str, Any]:
    """A schema that asks one value twice for what asks it twice, and so on."""
    defs: dict[str, Any] = {"d0": {"type": "object"}}
    for number in range(times):
        defs[f"d{number + 1}"] = {keyword: [{"$ref": f"#/$defs/d{number}"}, {"$ref": f"#/$defs/d{number}"}]}
    return {"$ref": f"#/$defs/d{times}", "$defs": defs}


def nested(depth: int) -> dict[str, Any]:
    """A schema of properties within properties."""
    made: dict[str, Any] = {}
    for _ in range(depth):
        made = {"properties": {"a": made}}
    return made


UNUSABLE = {
    "reference to nothing": {"properties": {"lr": {"$ref": "#/def/positive"}}},
    "reference to no anchor": {"$ref": "#positive"},
    "dynamic reference to nothing": {"items": {"$dynamicRef": "#node"}},
    "recursive reference to nothing": {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$recursiveRef": "#/x",
    },
    "reference behind a list": {"$ref": "#/allOf/7", "allOf": [{}]},
    "reference to data": {"enum": [{"type": "x"}], "$ref": "#/enum/0"},
    "reference to a number": {"maximum": 3, "$ref": "#/maximum"},
    "reference elsewhere": {"$ref": "other.json#/a"},
    "reference in another draft": {"$schema": DRAFT7, "properties": {"a": {"$ref": "#/definitions/b"}}},
    "itself": {"$ref": "#"},
    "itself in allOf": {"allOf": [{"$ref": "#"}]},
    "itself in not": {"not": {"$ref": "#"}},
    "itself in if": {"if": {"$ref": "#"}, "then": {}},
    "itself in dependentSchemas": {"dependentSchemas": {"a": {"$ref": "#"}}},
    "two in a circle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "a circle that is not used": {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
    "2^26 anyOf": doubled(26, "anyOf"),
    "2^26 allOf": doubled(26, "allOf"),
    "2^26 oneOf": doubled(26, "oneOf"),
    "another draft within": {"properties": {"a": {"$schema": DRAFT7, "$ref": "#"}}},
    "pattern that is none": {"properties": {"a": {"pattern": "("}}},
    "key pattern that is none": {"patternProperties": {"[": {}}},
    "long pattern": {"pattern": "a" * 5000},
    "deep pattern": {"pattern": "(" * 400 + ")" * 400},
    "deep": nested(200),
    "very deep": nested(5000),
    "large": {"description": "x" * MOST_BYTES},
    "many schemas": {"anyOf": [{"anyOf": [{"pattern": "a"}] * 50}] * 50},
    "many flags": {"properties": {f"key{number}": True for number in range(MOST_OBJECTS)}},
    "long list": {"enum": list(range(MOST_ITEMS + 1))},
    "a draft that is no text": {"$schema": True, "$ref": "#"},
    "a draft that is a list": {"$schema": ["x"]},
    "a type that is none": {"type": {"$ref": 1}},
    "no draft that we know, no schema": {"$schema": "urn:mine", "properties": 3},
}
SLOW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pattern": ({"properties": {"a": {"pattern": "^(a|a)*$"}}}, {"a": "a" * 60 + "!"}),
    "pattern of keys": ({"patternProperties": {"^(a|a)*$": {}}}, {"a" * 60 + "!": 1}),
    "pattern of names": ({"propertyNames": {"pattern": "^(a|a)*$"}}, {"a" * 60 + "!": 1}),
    "pattern and unevaluated": (
        {"patternProperties": {"^(a|a)*$": {}}, "unevaluatedProperties": False}, {"a" * 60 + "!": 1},
    ),
    "doubled with the config": (
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "anyOf": [
            {"properties": {"a": {"$ref": "#/$defs/n"}}}, {"properties": {"a": {"$ref": "#/$defs/n"}}},
        ]}}},
        msgspec.json.decode('{"a":' * 60 + "1" + "}" * 60),
    ),
}  # fmt: skip
USABLE = {
    "recursion": {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"child": {"$ref": "#/$defs/n"}}}}},
    "the whole below a property": {"properties": {"child": {"$ref": "#"}, "$ref": {"type": "string"}}},
    "anchor below an id": {
        "$id": "https://example.org/a.json", "$defs": {"w": {"$anchor": "w", "type": "integer"}},
        "properties": {"a": {"$ref": "#w"}, "b": {"$ref": "#/$defs/w"}},
    },
    "draft 7": {"$schema": DRAFT7, "definitions": {"x": {"type": "integer"}}, "items": {"$ref": "#/definitions/x"}},
    "place of one's own": {"def": {"positive": {"minimum": 0}}, "properties": {"lr": {"$ref": "#/def/positive"}}},
    "property called patternProperties": {"properties": {"patternProperties": {"type": "object"}}},
    "dynamic": {"$dynamicAnchor": "node", "properties": {"a": {"$dynamicRef": "#node"}}},
    "some anyOf": doubled(8, "anyOf"),
}  # fmt: skip


@pytest.mark.parametrize("schema", UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_work_is_refused_when_it_is_set(schema: dict[str, Any]) -> None:
    """Every reference leads to a schema within, none leads back to the same value, and the size is bounded."""
    with pytest.raises(quark.SchemaValidationError, match="blueprint"):
        check_schema(schema)


@pytest.mark.parametrize("schema", USABLE.values(), ids=USABLE)
def test_what_works_is_taken(schema: dict[str, Any]) -> None:
    """References in all their forms, and recursion that goes down into the config, are used."""
    assert check_schema(schema) == schema
    check_config("p", schema, {"lr": 0.1, "a": 1, "child": {"child": {}}})


@pytest.mark.parametrize(("schema", "config"), SLOW.values(), ids=SLOW)
def test_work_is_bounded_when_it_is_used(schema: dict[str, Any], config: dict[str, Any]) -> None:
    """Expressions and alternatives that explode end in a BlueprintError after a bounded time of computing."""
    began = time.process_time()
    with pytest.raises(quark.BlueprintError, match="cannot be used") as caught:
        check_config("p", check_schema(schema), config)
    assert time.process_time() - began < 20 * CHECK_S
    assert caught.value.fields == {}


def stored_past_the_check(schema: Any, storage_dir: Path) -> None:
    """What an older release would have stored."""
    with SqlStore(storage_dir / ".quark" / "quark.db") as store, store._database.writing() as connection:
        content = msgspec.json.encode(schema).decode()
        connection.execute("DELETE FROM blueprints WHERE project = 'p'")
        connection.execute("INSERT INTO blueprints VALUES ('p', ?, 1)", (content,))


def test_a_start_meets_a_stored_one_with_an_error_of_quark_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`start_run` and `validate_config` neither hang nor raise what is not Quark's, and the remedy works."""
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path))
    quark.set_blueprint("p", {})
    cases = [(schema, {"lr": 1}) for name, schema in UNUSABLE.items() if name != "very deep"] + list(SLOW.values())
    for schema, config in cases:
        stored_past_the_check(schema, tmp_path)
        starts: list[Callable[[], Any]] = [
            lambda config=config: quark.validate_config("p", config),
            lambda config=config: quark.start_run(project="p", config=config),
        ]
        for start in starts:
            with pytest.raises(quark.BlueprintError, match="quark blueprint set"):
                start()
    quark.set_blueprint("p", None)
    quark.start_run(project="p", config={"lr": 1}).finish("completed")


def test_patterns_of_keys_mean_what_they_say() -> None:
    """Bounded as they are, they choose the keys that the expressions match, and what is left over is named."""
    schema = {
        "patternProperties": {"^x_": {"type": "integer"}, "b$": {"type": "string"}}, "additionalProperties": False,
        "properties": {"inner": {"patternProperties": {".": {"minimum": 0}}, "unevaluatedProperties": False}},
    }  # fmt: skip
    check_config("p", schema, {"x_1": 1, "ab": "t", "inner": {"a": 1}})
    with pytest.raises(quark.BlueprintError) as caught:
        check_config("p", schema, {"x_1": "t", "x_b": 1, "other": 1, "inner": {"a": -1}})
    assert set(caught.value.fields) == {"x_1", "x_b", "other", "inner.a"}
    assert caught.value.fields["other"] == "is not known to the blueprint"


@pytest.mark.parametrize(
    ("items", "unique"),
    [([1, True], True), ([1, 1.0], False), ([{"a": 1}, {"a": 1}], False), ([[1], [2]], True), ([{}, []], True)],
)
def test_unique_items_are_told_as_json_tells_them(items: list[Any], unique: bool) -> None:
    """1 is 1.0 and not true; objects and lists are compared by what they hold."""
    schema = {"properties": {"a": {"uniqueItems": True}}}
    if unique:
        check_config("p", schema, {"a": items})
    else:
        with pytest.raises(quark.BlueprintError, match="non-unique"):
            check_config("p", schema, {"a": items})
