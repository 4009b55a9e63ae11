"""Any value as JSON: shown as its author wrote it, without an exception."""

import argparse
import collections
import dataclasses
import datetime
import enum
import functools
import types
from decimal import Decimal
from pathlib import Path
from typing import Any

import attr
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quark
from quark import SchemaValidationError, jsonable
from quark.records.foreign import described, shown
from quark.records.jsonable import json_object


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Optimizer:
    name: str = "adam"
    path: Path = Path("/data")


@attr.s(auto_attribs=True)
class Model:
    width: int = 8


Point = collections.namedtuple("Point", "x y")


class Plain:
    lr = 0.1

    def __init__(self) -> None:
        self.layers = 2


def train() -> None:
    """A function to be named."""


HERE = __name__

CASES: dict[str, tuple[Any, Any]] = {
    "path": (Path("/a/b"), "/a/b"), "enum": (Colour.RED, "red"), "int enum": (Level.HIGH, 3),
    "dataclass": (Optimizer(), {"name": "adam", "path": "/data"}), "attrs": (Model(), {"width": 8}),
    "namespace": (argparse.Namespace(lr=0.1), {"lr": 0.1}), "simple": (types.SimpleNamespace(a=1), {"a": 1}),
    "named tuple": (Point(1, 2), {"x": 1, "y": 2}), "int keys": ({0: "cat", 1: "dog"}, {"0": "cat", "1": "dog"}),
    "two keys of one text": ({1: "a", "1": "b"}, {"1": "a", "1_2": "b"}), "None key": ({None: 1}, {"None": 1}),
    "nan": (float("nan"), "nan"), "inf": (float("inf"), "inf"), "-inf": (-np.inf, "-inf"),
    "datetime": (datetime.datetime(2026, 5, 7, 12), "2026-05-07 12:00:00"),
    "date": (datetime.date(2026, 5, 7), "2026-05-07"),
    "bytes": (b"ab", "b'ab'"), "bytearray": (bytearray(b"ab"), "bytearray(b'ab')"), "set": ({3, 1, 2}, [1, 2, 3]),
    "mixed set": ({1, "a"}, [1, "a"]), "class": (Optimizer, f"{HERE}.Optimizer"), "function": (train, f"{HERE}.train"),
    "builtin": (len, "builtins.len"), "array": (np.array([1.0, np.nan]), [1.0, "nan"]),
    "scalar": (np.float32(0.5), 0.5),
    "numpy text": (np.str_("a"), "a"), "numpy keys": ({np.int64(1): 2}, {"1": 2}), "decimal": (Decimal("1.5"), 1.5),
    "wide integer": (2**70, str(2**70)), "huge integer": (10**400, "1" + "0" * 400), "complex": (1j, "1j"),
    "range": (range(3), [0, 1, 2]), "deque": (collections.deque([1]), [1]), "object": (object(), "<object object>"),
    "dictionary of keys": ({1: 2}.keys(), [1]), "surrogate": ("a\ud800", "a\N{REPLACEMENT CHARACTER}"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_are_shown_as_they_were_written(name: str) -> None:
    """Containers become JSON's own; everything else its value, its full name or its text."""
    value, expected = CASES[name]
    assert jsonable(value) == expected
    assert jsonable({"deep": [value]}) == {"deep": [expected]}


@pytest.mark.torch
def test_what_torch_has() -> None:
    """dtypes and devices are text, tensors lists, networks their type; a tensor without data is named."""
    import torch

    assert jsonable(torch.bfloat16) == "torch.bfloat16"
    assert jsonable(torch.device("cuda:1")) == "cuda:1"
    assert jsonable(torch.ones(2, requires_grad=True)) == [1.0, 1.0]
    assert jsonable(torch.nn.Linear(1, 1)) == "Linear"
    assert "meta" in jsonable(torch.ones(2, device="meta"))


def test_what_configuration_libraries_have() -> None:
    """Models of pydantic and OmegaConf's containers are dictionaries; what cannot be resolved stays as written."""
    pydantic = pytest.importorskip("pydantic", reason="missing pydantic")
    omegaconf = pytest.importorskip("omegaconf", reason="missing omegaconf")
    model = pydantic.create_model("Settings", lr=(float, 0.1), path=(Path, Path("x")))
    assert jsonable(model()) == {"lr": 0.1, "path": "x"}
    config = omegaconf.OmegaConf.create({"a": [1, {"b": "${c}"}], "c": 5, "m": "???", "i": "${nowhere}"})
    assert jsonable(config) == {"a": [1, {"b": 5}], "c": 5, "m": "???", "i": "${nowhere}"}
    assert jsonable({"sizes": config.a}) == {"sizes": [1, {"b": 5}]}


def test_what_holds_itself_ends() -> None:
    """A cycle is named, deep nesting ends as text, and what multiplies itself is refused before it fills the memory."""
    cycle: dict[str, Any] = {"a": 1}
    cycle["self"] = [cycle]
    assert jsonable(cycle) == {"a": 1, "self": ["<holds itself>"]}
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    orjson.dumps(jsonable(deep))
    shared: list[Any] = []
    for _ in range(60):
        shared = [shared, shared]
    with pytest.raises(SchemaValidationError, match="100,000 times"):
        jsonable(shared)
    twice = [1]
    assert jsonable([twice, twice]) == [[1], [1]]


def test_collections_without_end_are_described_by_their_size(tmp_path: Path) -> None:
    """A few lists that hold each other nine times each are a page of YAML, and more text than any memory holds."""
    many: Any = ["x"] * 9
    named: Any = {"x": 1.0}
    for _ in range(12):
        many, named = [many] * 9, dict.fromkeys("abcdefghi", named)
    assert shown(many) == "9 items (list)"
    assert described(named) == "<dict of 9 items>"
    with quark.start_run(project="p", storage_dir=tmp_path, config={"many": many, "lr": 0.1}, name=many) as run:
        assert run.config["lr"] == 0.1
        assert run.config["many"] == "<list of 9 items>"
        run.config.update({"named": named, "epochs": 3})
        run.log({"many": many, "named": {"a": named}, "loss": 1.0}, step=0)
        assert run.config["epochs"] == 3
    with quark.open(tmp_path) as store:
        assert store.run(run.run_id).series("loss").values.tolist() == [1.0]
    with pytest.raises(SchemaValidationError, match="more than"):
        json_object({"many": many}, "config", strict=True)


class Hostile:
    """Raises from everything that a conversion may call."""

    def __getattribute__(self, name: str) -> Any:
        raise BaseException(name)

    def _raise(self, *arguments: Any) -> Any:
        raise RuntimeError("no")

    __str__ = __repr__ = __iter__ = __len__ = __eq__ = __hash__ = __bool__ = __float__ = __index__ = _raise  # type: ignore[assignment]


def test_an_object_that_raises_is_named_by_its_type() -> None:
    """Whatever it raises, but for interrupts and exits, which are for the program."""
    assert jsonable({"a": [Hostile()], "b": 1}) == {"a": ["<Hostile>"], "b": 1}

    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jsonable(Interrupting())


def test_what_a_signal_handler_raises_goes_on() -> None:
    """A timeout by SIGALRM that strikes while a value is read is not taken for a fault of the value."""
    import signal

    class Slow:
        def __str__(self) -> str:
            signal.raise_signal(signal.SIGUSR1)
            return "slow"

    def timed_out(number: int, frame: object) -> None:
        raise TimeoutError("too slow")

    before = signal.signal(signal.SIGUSR1, timed_out)
    try:
        with pytest.raises(TimeoutError):
            jsonable(Slow())
    finally:
        signal.signal(signal.SIGUSR1, before)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)  # fmt: skip


@given(json_values)
@settings(deadline=None, max_examples=100)
def test_json_stays_as_it_is(value: Any) -> None:
    """What is JSON already comes out equal, and what comes out is always JSON."""
    assert jsonable(value) == value
    orjson.dumps(jsonable(value))


def test_objects_that_are_used_as_a_configuration() -> None:
    """A class and an instance give their public attributes; what is no object at all is kept under another name."""
    assert json_object(Plain(), "config", strict=False) == {"lr": 0.1, "layers": 2}
    assert json_object(Plain, "config", strict=False) == {"lr": 0.1}
    assert json_object([1], "config", strict=False, otherwise="value") == {"value": [1]}
    with pytest.raises(quark.WrongTypeError, match="config must be a mapping"):
        json_object([1], "config", strict=False)


def test_ordinary_configurations_start_a_run(tmp_path: Path) -> None:
    """No configuration stops a training, nor do payloads, summaries and artifacts; strict mode names what is wrong."""
    strange = {name: value for name, (value, _) in CASES.items()} | {
        "hostile": Hostile(),
        "f": functools.partial(train),
    }
    with quark.start_run(project="p", config=strange, storage_dir=tmp_path) as run:
        event = quark.EventLogger(run).log("e", payload=strange)
        run.summary.update(strange)
        store = quark.ArtifactStore(run)
        artifact = store.store("k", "n", strange, metadata=strange)
        loaded = store.load(artifact)
    expected = {name: value for name, (_, value) in CASES.items()}
    for found in (run.context.run.config, event.payload, dict(run.summary), loaded, artifact.metadata):
        assert {name: found[name] for name in expected} == expected
    with pytest.raises((TypeError, ValueError), match=r"config\.path must be JSON-serializable"):
        quark.start_run(project="p", config={"path": Path("x")}, storage_dir=tmp_path, strict_mode=True)


@pytest.mark.parametrize(
    "config", [[1], "text", 5, object(), Plain, argparse.Namespace(lr=1)], ids=lambda c: type(c).__name__
)
def test_a_configuration_of_a_wrong_kind_starts_a_run(config: Any, tmp_path: Path) -> None:
    """It is kept as well as it can be."""
    with quark.start_run(project="p", config=config, storage_dir=tmp_path) as run:
        assert run.context.run.config
