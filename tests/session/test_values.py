"""What may be logged, and what happens to what may not: nothing already recorded is lost by it."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import quark
from quark import EventLogger, MetricsLogger, SchemaValidationError


@pytest.fixture(params=[False, True], ids=["lenient", "strict"])
def session(request, tmp_path):
    made = quark.TrainingSession.start_run(project="v", storage_dir=tmp_path, strict_mode=request.param)
    yield made
    made.finish("completed")


def torch_scalar(value):
    torch = pytest.importorskip("torch", reason="missing torch")
    return torch.tensor(value)


TAKEN = {
    "int": (3, 3.0), "bool": (True, 1.0), "decimal": (Decimal("1.5"), 1.5), "fraction": (Fraction(1, 2), 0.5),
    "float32": (np.float32(0.25), 0.25), "float16": (np.float16(0.5), 0.5), "int64": (np.int64(7), 7.0),
    "np bool": (np.bool_(True), 1.0), "0-d array": (np.array(2.0), 2.0), "1-element array": (np.array([2.0]), 2.0),
    "big int": (2**70, float(2**70)), "negative zero": (-0.0, -0.0), "subnormal": (5e-324, 5e-324),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_numbers_of_every_make_are_taken(session, name):
    """Python, Decimal and NumPy scalars become floats, by log and by the wide record alike."""
    given, expected = TAKEN[name]
    metrics = MetricsLogger(session)
    assert metrics.log("m", given, step=0).value == expected
    session.log({"wide": given, "other": 1.0}, step=0)
    assert [r.value for r in metrics.read(metric_key="m")] == [expected]
    assert [r.value for r in metrics.read(metric_key="wide")] == [expected]


@pytest.mark.torch
def test_torch_scalars_are_taken(session):
    """A zero-dimensional tensor, with or without a gradient, is a number; so is bfloat16."""
    import torch

    metrics = MetricsLogger(session)
    metrics.log("m", torch_scalar(1.5), step=0)
    metrics.log("m", torch.tensor([2.5], requires_grad=True), step=1)
    metrics.log("m", torch.tensor(3.5, dtype=torch.bfloat16), step=2)
    session.log({"m": torch.tensor(4.5)}, step=3)
    assert [r.value for r in metrics.read(metric_key="m")] == [1.5, 2.5, 3.5, 4.5]


REFUSED = {
    "text": "0.5", "none": None, "list": [1.0], "array": np.ones(3), "complex": 1j, "object": object(),
    "numpy complex": np.complex64(1), "date": datetime.date(2026, 1, 1), "bytes": b"1",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_number_is_refused_with_field_value_and_remedy(session, name, caplog):
    """Strict mode raises a TypeError; otherwise it is counted, warned about, and the training goes on."""
    metrics = MetricsLogger(session)
    metrics.log("before", 1.0, step=0)
    if session.strict:
        with pytest.raises(TypeError, match="value"):
            metrics.log("m", REFUSED[name], step=0)
    else:
        assert metrics.log("m", REFUSED[name], step=0).refused
        assert session.health()["faults"]["refused_WrongTypeError"]["count"] == 1
        session.log({"a": 1.0, "m": REFUSED[name], "b": 2.0}, step=1)
        assert {r.metric_key for r in metrics.read(step=1)} == {"a", "b"}
    assert [r.metric_key for r in metrics.read(step=0)] == ["before"]


@pytest.mark.parametrize(
    ("value", "advice"),
    [(None, "leave it out"), ([1.0], "its mean"), ({1.0}, "its mean"), (np.ones(3), "its mean"), (len, "log_artifact"),
     (b"1", "log_artifact")],
    ids=["none", "list", "set", "array", "function", "bytes"],
)  # fmt: skip
def test_the_advice_is_for_what_was_given(session, value, advice, caplog):
    """A list is not told to be logged as text; the metric is named as it was."""
    if session.strict:
        with pytest.raises(TypeError, match=advice):
            session.log({"acc": value}, step=0)
        return
    session.log({"Val Acc": value}, step=0)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "metric 'Val Acc': value must be" in said and advice in said


@pytest.mark.parametrize(
    ("value", "word"), [(float("nan"), "nan"), (float("inf"), "inf"), (-np.inf, "-inf"), (1e308 * 10, "inf")]
)
def test_a_non_finite_metric_is_never_silently_gone(session, value, word):
    """Strict mode raises; otherwise an event of severity error keeps key, step and what it was."""
    metrics = MetricsLogger(session)
    if session.strict:
        with pytest.raises(SchemaValidationError, match=word):
            metrics.log("train/loss", value, step=3)
        return
    metrics.log("train/loss", value, step=3, epoch=1)
    session.log({"train/loss": value, "fine": 1.0}, step=4)
    events = EventLogger(session).read(event_type="metric_nonfinite")
    assert [(e.step, e.severity, e.payload) for e in events] == [
        (3, "error", {"key": "train/loss", "value": word}),
        (4, "error", {"key": "train/loss", "value": word}),
    ]
    assert [r.metric_key for r in metrics.read()] == ["fine"]


BAD_KEYS = [
    "", "/", "a//b", "/a", "a/", "_a", "a b", "a\0b", "a\nb", "ä", "💥", "\ud800", "..", "../etc", "a/../b", ".hidden",
    "-x", "a" * 513, "a/" * 300, "a:b", "a%b", "<b>",
]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_keys_outside_the_grammar_are_refused_in_strict_mode_alone(session, key):
    """NUL, surrogates, emoji, path parts, blanks and endless names: strict mode raises, otherwise each has a key."""
    metrics = MetricsLogger(session)
    if session.strict:
        with pytest.raises(SchemaValidationError):
            metrics.log(key, 1.0, step=0)
        return
    made = metrics.log(key, 1.0, step=0)
    assert not made.refused and made.metric_key == quark.metric_key(key)
    session.log({key: 1.0, "good": 2.0}, step=0)
    session.log({key: 1.0, "good": 2.0}, step=1)
    assert [r.metric_key for r in metrics.read()] == [quark.metric_key(key), *[quark.metric_key(key), "good"] * 2]
    assert len(metrics.read(metric_key=key)) == 3


def test_good_keys(session):
    """Letters, digits, dots, dashes, underscores and slashes, up to 512 characters; a namespace prefixes."""
    metrics = MetricsLogger(session)
    for key in ("loss", "train/loss", "0", "a.b-c_d/e", "A" * 512):
        assert metrics.log(key, 1.0, step=0).metric_key == key
    record = metrics.log("f1", 1.0, epoch=0, namespace="my/eval")
    assert (record.metric_key, record.namespace, record.metric_name) == ("my/eval/f1", "my/eval", "f1")
    if session.strict:
        with pytest.raises(SchemaValidationError, match="namespace"):
            metrics.log("my_eval/f1", 1.0, step=0, namespace="my_eval")


@pytest.mark.parametrize(
    ("where", "error"),
    [({}, ValueError), ({"step": -1}, ValueError), ({"epoch": -1}, ValueError), ({"step": 1.5}, TypeError),
     ({"step": "1"}, TypeError), ({"step": True}, TypeError), ({"step": 2**63}, ValueError),
     ({"epoch": float("nan")}, TypeError), ({"step": float("inf")}, TypeError)],
)  # fmt: skip
def test_step_and_epoch_follow_their_rules(session, where, error):
    """A metric needs a step or an epoch, each a whole number of at least 0; True is no step."""
    metrics = MetricsLogger(session)
    if session.strict:
        with pytest.raises(error):
            metrics.log("m", 1.0, **where)
    else:
        assert metrics.log("m", 1.0, **where).refused
    metrics.log("m", 1.0, step=np.int64(4))
    assert [r.step for r in metrics.read()] == [4]


@pytest.mark.parametrize("five", [5, 5.0, np.int64(5), np.float64(5.0)], ids=lambda five: type(five).__name__)
def test_a_whole_step_counts_whatever_its_type(session, five):
    """It is what ``log`` without a step counts on from; strict mode takes whole numbers that are no floats."""
    if session.strict and isinstance(five, float):
        with pytest.raises(TypeError, match="whole"):
            session.log({"m": 1.0}, step=five)
        return
    session.log({"m": 1.0}, step=five)
    session.log({"m": 2.0})
    session.step(five + 2, {"m": 3.0}, epoch=five)
    session.log({"m": 4.0})
    MetricsLogger(session).log("m", 5.0, step=five + 4, epoch=five)
    session.log({"m": 6.0}, epoch=five + 5)
    found = [(r.step, r.epoch) for r in MetricsLogger(session).read()]
    assert found == [(5, None), (6, None), (7, 5), (8, None), (9, 5), (8, 10)]


NAMES_WITHIN = {0: "0", np.int64(3): "3", True: "True", None: "None", ("a", 2): "('a', 2)", 0.5: "0.5"}


def test_a_name_within_a_mapping_may_be_anything(session):
    """A value for each class, as ``dict(enumerate(scores))`` has it, is a metric of its own."""
    if session.strict:
        session.log({"score": {0: 0.5, "1": 0.25}}, step=0)
        assert {r.metric_key for r in MetricsLogger(session).read()} == {"score/0", "score/1"}
        return
    session.log({"score": {name: {"f1": float(at)} for at, name in enumerate(NAMES_WITHIN)}}, step=0)
    session.log({"score": {7: [1.0]}}, step=1)
    found = {r.metric_key: r.value for r in MetricsLogger(session).read()}
    assert found == {quark.metric_key(f"score/{name}/f1"): at for at, name in enumerate(NAMES_WITHIN.values())}
    assert session.health()["faults"]["refused_WrongTypeError"]["subjects"] == {"score/7": 1}


def test_metadata_is_kept_as_it_is_at_the_call(session):
    """A mapping that is changed after the call does not change the record; NumPy values become JSON."""
    metrics = MetricsLogger(session)
    details = {"split": "holdout", "n": np.int32(3), "list": (1, 2), "text": "a\ud800b"}
    record = metrics.log("m", 1.0, step=0, description="what", metadata=details)
    details["split"] = "changed"
    expected = {"split": "holdout", "n": 3, "list": [1, 2], "text": "a�b"}
    assert record.metadata == expected
    (read,) = metrics.read()
    assert (read.metadata, read.description) == (expected, "what")
    assert read == record


def test_metadata_that_is_no_json_is_refused_in_strict_mode_and_converted_otherwise(session):
    """Objects, NaN, keys that are no strings and cycles are refused by name, or kept as text; a list is refused."""
    cycle: dict = {}
    cycle["self"] = cycle
    metrics = MetricsLogger(session)
    cases = (
        ({"x": object()}, {"x": "<object object>"}), ({"x": float("nan")}, {"x": "nan"}), ({1: 2}, {"1": 2}),
        (cycle, {"self": "<holds itself>"}), ({"x": {"y": b"1"}}, {"x": {"y": "b'1'"}}), ([1], None),
    )  # fmt: skip
    for metadata, expected in cases:
        if session.strict:
            with pytest.raises((TypeError, ValueError), match="metadata"):
                metrics.log("m", 1.0, step=0, metadata=metadata)
        else:
            record = metrics.log("m", 1.0, step=0, metadata=metadata)
            assert record.refused if expected is None else record.metadata == expected


class Hostile:
    """Everything that it can raise, it raises."""

    def __repr__(self):
        raise RuntimeError("repr")

    __str__ = __float__ = __index__ = __bool__ = __repr__


def test_hostile_objects_are_refused_like_others(session):
    """An object whose methods raise costs the training nothing more than a refusal."""
    metrics = MetricsLogger(session)
    for call in (
        lambda: metrics.log("m", Hostile(), step=0), lambda: metrics.log("m", 1.0, step=Hostile()),
        lambda: metrics.log(Hostile(), 1.0, step=0), lambda: session.log({"m": Hostile()}, step=0),
        lambda: session.add_log(Hostile()), lambda: EventLogger(session).log(Hostile()),
    ):  # fmt: skip
        if session.strict:
            with pytest.raises((TypeError, ValueError)):
                call()
        else:
            call()


def test_ten_thousand_keys_and_a_large_payload(session):
    """10,000 distinct keys and a payload of 3 MB are recorded like any other."""
    metrics, events = MetricsLogger(session), EventLogger(session)
    for number in range(10_000):
        metrics.log(f"k/{number}", float(number), step=0)
    events.log("big", payload={"text": "x" * 3_000_000})
    assert session.flush(60)
    assert len(session.reader().keys(session.run_id)) == 10_000
    (event,) = events.read(event_type="big")
    assert len(event.payload["text"]) == 3_000_000


def test_events_follow_their_rules(session):
    """Severities, identifiers and the reserved keys are enforced, the grammar of types in strict mode alone."""
    events = EventLogger(session)
    bad_types = ("Bad", "1x", "a b", "")
    bad = [
        *([lambda name=name: events.log(name) for name in bad_types] if session.strict else ()),
        lambda: events.log(5), lambda: events.log("x", severity="fatal"), lambda: events.log("x", step=-1),
        lambda: events.add_log("m", identifier="info"),
        lambda: events.add_log("m", identifier="Trace"), lambda: events.add_log("m", payload={"message": 1}),
        lambda: events.add_log("m", payload={"identifier": 1}), lambda: events.add_log(""),
        lambda: events.log("x", payload=[1]),
    ]  # fmt: skip
    for call in bad:
        if session.strict:
            with pytest.raises((ValueError, TypeError)):
                call()
        else:
            assert call().refused
    events.log("my.custom/event-1_x", severity="debug")
    events.log("disk_warning")
    events.log("job_failed")
    events.add_log("hello", identifier="Error", step=3)
    read = [(e.event_type, e.severity) for e in events.read() if not e.event_type.startswith("run_")]
    assert read == [
        ("my.custom/event-1_x", "debug"), ("disk_warning", "warning"), ("job_failed", "error"), ("user_log", "error"),
    ]  # fmt: skip


def test_given_timestamps_are_kept(session):
    """A timestamp that the caller gives is the record's; one that cannot be read is refused."""
    metrics = MetricsLogger(session)
    record = metrics.log("m", 1.0, step=0, timestamp="2026-05-07T00:00:00Z")
    assert record.timestamp == "2026-05-07T00:00:00Z"
    assert metrics.read()[0].timestamp == "2026-05-07T00:00:00Z"
    assert (
        metrics.log("m", 1.0, step=0, timestamp="2026-05-07T02:00:00.5+02:00").timestamp
        == "2026-05-07T00:00:00.500000Z"
    )
    if session.strict:
        with pytest.raises(SchemaValidationError, match="timestamp"):
            metrics.log("m", 1.0, step=0, timestamp="yesterday")


def test_flush_returns_what_was_logged_since_the_last_flush(session):
    """flush gives the records since the last one, at most a buffer of them, and they are in the store."""
    metrics = MetricsLogger(session, batch_size=3)
    records = [metrics.log("m", float(n), step=n) for n in range(2)]
    assert metrics.flush() == tuple(records)
    assert metrics.flush() == ()
    records = [metrics.log("m", float(n), step=n) for n in range(5)]
    assert metrics.flush() == tuple(records[-3:])
    assert len(metrics.read()) == 7
