"""log_batch: what it takes of any make, what it refuses, and what becomes of a loss that is not finite."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quark import (
    BatchDiagnosticRecord,
    BatchMetadata,
    BatchMetadataAdapter,
    ClosedError,
    DataDiagnostics,
    DataDiagnosticsConfig,
    EventRecord,
    MappingBatchMetadataAdapter,
    SchemaValidationError,
    WrongTypeError,
    validate_record,
)
from quark.testing import MemoryRunHandle


@pytest.fixture
def handle() -> MemoryRunHandle:
    return MemoryRunHandle()


@pytest.fixture
def lenient() -> MemoryRunHandle:
    return MemoryRunHandle(strict=False)


def with_adapter(handle: MemoryRunHandle, adapter: Any) -> DataDiagnostics:
    """Diagnostics that describe batches by ``adapter``."""
    return DataDiagnostics(handle, config=DataDiagnosticsConfig(adapter=adapter))


def test_a_batch_is_recorded_as_it_was_given(handle: MemoryRunHandle) -> None:
    """The record that is returned is the one that a reader gets, and it is valid."""
    record = DataDiagnostics(handle).log_batch(
        0.5, step=3, epoch=1, batch_size=2, labels=["cat", "dog"], sample_ids=["a", "b"], sequence_lengths=[7, 9],
        metadata={"augmentation": "mixup"}, timestamp="2026-05-07T00:00:00Z",
    )  # fmt: skip
    assert handle.records(BatchDiagnosticRecord) == [record]
    validate_record(record)
    assert record.to_dict() == {
        "id": "0-1-memory-0", "run_id": "run-1", "sequence": 0, "timestamp": "2026-05-07T00:00:00Z",
        "schema_version": 1, "step": 3, "epoch": 1, "loss": 0.5, "batch_size": 2, "sample_ids": ["a", "b"],
        "class_counts": {"cat": 1, "dog": 1}, "sequence_lengths": [7, 9], "metadata": {"augmentation": "mixup"},
    }  # fmt: skip


def test_a_loss_is_enough(handle: MemoryRunHandle) -> None:
    """Everything else may be missing."""
    record = DataDiagnostics(handle).log_batch(0.5)
    validate_record(record)
    assert (record.step, record.batch_size, record.sample_ids, record.class_counts) == (None, None, (), {})


def tensor(values: Any) -> Any:
    """A torch tensor."""
    return pytest.importorskip("torch", reason="makes tensors: pip install quark-tracker[torch]").tensor(values)


@pytest.mark.parametrize("make", [list, tuple, np.array, tensor], ids=["list", "tuple", "array", "tensor"])
def test_ids_labels_and_lengths_are_taken_of_any_make(handle: MemoryRunHandle, make: Any) -> None:
    """Lists, tuples, arrays and tensors say the same."""
    record = DataDiagnostics(handle).log_batch(
        make([0.5]) if make is not list and make is not tuple else 0.5, step=0,
        labels=make([1, 0, 1]), sample_ids=make([7, 8, 9]), sequence_lengths=make([3, 4, 5]),
    )  # fmt: skip
    validate_record(record)
    assert (record.loss, record.batch_size, record.class_counts) == (0.5, 3, {"1": 2, "0": 1})
    assert (record.sample_ids, record.sequence_lengths) == (("7", "8", "9"), (3, 4, 5))


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ({"cat": 12, 3: np.int64(4)}, {"cat": 12, "3": 4}),
        (np.array([1.0, 2.0, 1.0]), {"1": 2, "2": 1}),
        (np.array(["x", "y", "x"]), {"x": 2, "y": 1}),
        ([np.int64(5), 5, "5"], {"5": 3}),
        ([True, False, True], {"True": 2, "False": 1}),
        ([], {}),
        (range(2), {"0": 1, "1": 1}),
    ],
)
def test_classes_are_counted_by_their_text(handle: MemoryRunHandle, labels: Any, counts: dict[str, int]) -> None:
    """Counts are kept, whole numbers of any type are one class, and text is itself."""
    assert DataDiagnostics(handle).log_batch(1.0, labels=labels).class_counts == counts


def test_a_list_of_scalars_of_a_library_counts_by_value(handle: MemoryRunHandle) -> None:
    """Two tensors with the same label are one class."""
    labels = [tensor(1), tensor(0), tensor(1)]
    assert DataDiagnostics(handle).log_batch(1.0, labels=labels).class_counts == {"1": 2, "0": 1}


def test_ids_are_text(handle: MemoryRunHandle) -> None:
    """Bytes are decoded, numbers written, and lone surrogates replaced, so that every sink can hold them."""
    record = DataDiagnostics(handle).log_batch(1.0, sample_ids=[b"img-1", 2, "\ud800x"])
    assert record.sample_ids == ("img-1", "2", "\N{REPLACEMENT CHARACTER}x")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"batch_size": 8, "sample_ids": ["a"]}, 8),
        ({"sample_ids": ["a", "b"], "labels": {"x": 5}}, 2),
        ({"labels": {"x": 5}}, 5),
        ({"sequence_lengths": [1, 2, 3]}, 3),
        ({}, None),
    ],
)
def test_the_batch_size_is_counted_if_it_is_not_given(
    handle: MemoryRunHandle, given: dict[str, Any], size: int | None
) -> None:
    """By ids, else by labels, else by lengths."""
    assert DataDiagnostics(handle).log_batch(1.0, **given).batch_size == size


WRONG = [
    ({"loss": "high"}, WrongTypeError, "loss"),
    ({"loss": np.zeros(3)}, WrongTypeError, "loss"),
    ({"step": -1}, SchemaValidationError, "step"),
    ({"epoch": 1.5}, WrongTypeError, "epoch"),
    ({"batch_size": 0}, SchemaValidationError, "batch_size"),
    ({"batch_size": True}, WrongTypeError, "batch_size"),
    ({"labels": "cat"}, WrongTypeError, "labels"),
    ({"labels": 3}, WrongTypeError, "labels"),
    ({"labels": np.zeros((2, 3))}, SchemaValidationError, "labels"),
    ({"labels": [0.5]}, SchemaValidationError, "labels"),
    ({"labels": {"cat": -1}}, SchemaValidationError, "labels"),
    ({"labels": {"cat": 1.5}}, WrongTypeError, "labels"),
    ({"sample_ids": "abc"}, WrongTypeError, "sample_ids"),
    ({"sequence_lengths": [1, -2]}, SchemaValidationError, "sequence_lengths"),
    ({"sequence_lengths": [1, None]}, WrongTypeError, "sequence_lengths"),
    ({"sequence_lengths": [1.5]}, WrongTypeError, "sequence_lengths"),
    ({"metadata": [1]}, WrongTypeError, "metadata"),
    ({"metadata": {"x": float("nan")}}, SchemaValidationError, "metadata.x"),
    ({"timestamp": "yesterday"}, SchemaValidationError, "timestamp"),
]


@pytest.mark.parametrize(("wrong", "error", "name"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_argument_raises_in_strict_mode(
    handle: MemoryRunHandle, wrong: dict[str, Any], error: type[Exception], name: str
) -> None:
    """The error names the argument; nothing is recorded."""
    with pytest.raises(error, match=name.replace(".", r"\.")):
        DataDiagnostics(handle).log_batch(**{"loss": 1.0, "step": 0, **wrong})
    assert handle.journal.next == 0


@pytest.mark.parametrize(("wrong", "error", "name"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_argument_is_refused_otherwise(
    lenient: MemoryRunHandle, wrong: dict[str, Any], error: type[Exception], name: str
) -> None:
    """The training goes on; the refusal is counted. Metadata that JSON cannot hold are kept as text."""
    if name == "metadata.x":
        assert DataDiagnostics(lenient).log_batch(1.0, step=0, **wrong).metadata == {"x": "nan"}
        return
    assert DataDiagnostics(lenient).log_batch(**{"loss": 1.0, "step": 0, **wrong}).refused
    assert [type(found) for _, found in lenient.refused] == [error]


@pytest.mark.parametrize(("loss", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_loss_that_is_not_finite_is_an_event_with_its_samples(
    lenient: MemoryRunHandle, loss: float, word: str
) -> None:
    """What broke the run is not lost with the record that cannot hold it."""
    assert DataDiagnostics(lenient).log_batch(loss, step=7, epoch=1, sample_ids=["a", "b"]).refused
    (event,) = lenient.records(EventRecord)
    assert (event.event_type, event.severity, event.step, event.epoch) == ("metric_nonfinite", "error", 7, 1)
    assert event.payload == {"key": "batch_loss", "value": word, "sample_ids": ["a", "b"]}
    assert len(lenient.refused) == 1


def test_a_loss_that_is_not_finite_raises_in_strict_mode(handle: MemoryRunHandle) -> None:
    """Strict mode fails fast."""
    with pytest.raises(SchemaValidationError, match="loss must be finite, got nan at step 7"):
        DataDiagnostics(handle).log_batch(float("nan"), step=7)


# Adapters

KEYS = MappingBatchMetadataAdapter(
    sample_id_key="id", label_key="y", sequence_length_key="length", metadata_keys=("loader", "absent"),
    batch_size_key="size",
)  # fmt: skip


def test_a_mapping_is_described_by_its_entries(handle: MemoryRunHandle) -> None:
    """The named entries are taken, the others are not looked at."""
    batch = {"x": object(), "id": [1, 2], "y": np.array([0, 0]), "length": (3, 4), "loader": "a", "size": 2}
    record = with_adapter(handle, KEYS).log_batch(1.0, step=0, batch=batch)
    assert (record.sample_ids, record.class_counts, record.sequence_lengths) == (("1", "2"), {"0": 2}, (3, 4))
    assert (record.batch_size, record.metadata) == (2, {"loader": "a"})


def test_what_is_given_wins_over_the_adapter(handle: MemoryRunHandle) -> None:
    """Arguments replace what the batch says; metadata are joined."""
    batch = {"id": [1], "y": [0], "length": [3], "loader": "a", "size": 1}
    record = with_adapter(handle, KEYS).log_batch(
        1.0, batch=batch, sample_ids=["z"], labels={"q": 9}, batch_size=9, metadata={"more": 1}
    )
    assert (record.sample_ids, record.class_counts, record.batch_size) == (("z",), {"q": 9}, 9)
    assert (record.sequence_lengths, record.metadata) == ((3,), {"loader": "a", "more": 1})


def test_a_missing_entry_is_named_with_those_that_are_there(handle: MemoryRunHandle) -> None:
    """A misspelt key is seen at the first batch."""
    adapter = MappingBatchMetadataAdapter(label_key="label")
    with pytest.raises(SchemaValidationError, match=r"no entry 'label' .*it has x, labels"):
        with_adapter(handle, adapter).log_batch(1.0, batch={"x": 1, "labels": [1]})


def test_a_batch_that_is_no_mapping_is_refused(handle: MemoryRunHandle) -> None:
    """The error says which class to subclass."""
    with pytest.raises(WrongTypeError, match=r"got tuple; subclass BatchMetadataAdapter"):
        with_adapter(handle, KEYS).log_batch(1.0, batch=(1, 2))


def test_a_mapping_in_all_but_name_is_taken(handle: MemoryRunHandle) -> None:
    """Batches of tokenizers and tensor dictionaries have keys without being mappings."""

    class Encoding:
        def __init__(self, **entries: Any) -> None:
            self._entries = entries

        def keys(self) -> Any:
            return self._entries.keys()

        def __getitem__(self, key: str) -> Any:
            return self._entries[key]

        def __contains__(self, key: object) -> bool:
            return key in self._entries

    adapter = MappingBatchMetadataAdapter(sample_id_key="id")
    assert with_adapter(handle, adapter).log_batch(1.0, batch=Encoding(id=["a"])).sample_ids == ("a",)


class Adapter(BatchMetadataAdapter):
    """Gives or raises what a test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def extract_batch_metadata(self, batch: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_an_adapter_of_ones_own_describes_any_batch(handle: MemoryRunHandle) -> None:
    """What it returns is what is recorded."""
    known = BatchMetadata(sample_ids=["a", "b"], class_counts=[1, 1], metadata={"source": "tuple_loader"})
    record = with_adapter(handle, Adapter(known)).log_batch(1.0, batch=([1], [2]))
    assert (record.batch_size, record.sample_ids, record.class_counts) == (2, ("a", "b"), {"1": 2})
    assert record.metadata == {"source": "tuple_loader"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [({"batch_size": 2}, "must return a BatchMetadata"), (KeyError("y"), "raised KeyError: 'y'")],
    ids=["type", "raises"],
)
def test_a_faulty_adapter_costs_the_record_and_not_the_training(
    lenient: MemoryRunHandle, answer: Any, error: str
) -> None:
    """What it raises is the user's to see, in words; the step goes on."""
    assert with_adapter(lenient, Adapter(answer)).log_batch(1.0, batch=1).refused
    assert error in str(lenient.refused[0][1])


def test_an_adapter_without_its_method_says_so(handle: MemoryRunHandle) -> None:
    """The base class alone describes nothing."""
    with pytest.raises(SchemaValidationError, match="must implement extract_batch_metadata"):
        with_adapter(handle, BatchMetadataAdapter()).log_batch(1.0, batch=1)


def test_one_name_for_many_is_refused() -> None:
    """A string is a sequence of letters."""
    with pytest.raises(WrongTypeError, match="metadata_keys"):
        MappingBatchMetadataAdapter(metadata_keys="loader")


# Losses on a device


class Device:
    """A device that has copied a loss when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Any]] = []
        self.done = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, value: Any, arrived: Any) -> None:
        self.waiting.append((value, arrived))

    def drain(self, *, wait: bool = False) -> None:
        while self.done and self.waiting:
            value, arrived = self.waiting.pop(0)
            self.done -= 1
            arrived(value.number)


def loss_on_device(number: float, shape: tuple[int, ...] = ()) -> Any:
    """What stands for a CUDA tensor; asking for its value would fail."""
    return SimpleNamespace(number=number, shape=shape)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    home = "quark.producers.diagnostics.diagnostics"
    monkeypatch.setattr(f"{home}.is_on_device", lambda value: isinstance(value, SimpleNamespace))
    monkeypatch.setattr(f"{home}.DeviceValues", lambda: made)
    monkeypatch.setattr(f"{home}.DEVICE_WAIT_S", 0.01)
    return made


def test_a_loss_on_a_device_is_recorded_when_it_has_arrived(handle: MemoryRunHandle, device: Device) -> None:
    """The call does not wait; the record has the step, ids and time of the call."""
    diagnostics = DataDiagnostics(handle)
    moment = "2026-05-07T00:00:00Z"
    assert diagnostics.log_batch(loss_on_device(0.5), step=1, sample_ids=["a"], timestamp=moment).pending  # type: ignore[arg-type]
    assert handle.records(BatchDiagnosticRecord) == []
    device.done = 1
    diagnostics.log_batch(0.25, step=2)
    first, second = handle.records(BatchDiagnosticRecord)
    assert (first.step, first.loss, first.sample_ids, first.timestamp) == (1, 0.5, ("a",), moment)
    assert second.step == 2


def test_a_device_that_never_answers_ends_the_wait(handle: MemoryRunHandle, device: Device) -> None:
    """Closing is bounded in time, and says how many losses are missing."""
    diagnostics = DataDiagnostics(handle)
    diagnostics.log_batch(loss_on_device(0.5), step=1)  # type: ignore[arg-type]
    diagnostics.close()
    assert [cause for cause, _ in handle.reported] == ["batch_loss_device"]


def test_a_nan_from_a_device_is_an_event_too(lenient: MemoryRunHandle, device: Device) -> None:
    """It only comes later."""
    diagnostics = DataDiagnostics(lenient)
    diagnostics.log_batch(loss_on_device(float("nan")), step=4, sample_ids=["a"])  # type: ignore[arg-type]
    device.done = 1
    diagnostics.flush()
    assert [event.payload["sample_ids"] for event in lenient.records(EventRecord)] == [["a"]]


def test_losses_of_single_samples_on_a_device_are_refused(handle: MemoryRunHandle, device: Device) -> None:
    """One loss a batch: the error says to take the mean."""
    with pytest.raises(WrongTypeError, match=r"shape \(4,\); log its mean"):
        DataDiagnostics(handle).log_batch(loss_on_device(0.5, (4,)))  # type: ignore[arg-type]


# Closed and off


def test_a_closed_diagnostics_takes_nothing(handle: MemoryRunHandle) -> None:
    """As every producer; closing twice is fine."""
    with DataDiagnostics(handle) as diagnostics:
        diagnostics.log_batch(1.0)
    diagnostics.close()
    with pytest.raises(ClosedError, match="DataDiagnostics is closed"):
        diagnostics.log_batch(1.0)


def test_the_run_closes_it(handle: MemoryRunHandle) -> None:
    """Nobody has to."""
    diagnostics = DataDiagnostics(handle)
    handle.close()
    assert diagnostics.closed


def test_off_is_off() -> None:
    """With QUARK_DISABLE every call does nothing, and summaries of nothing can be asked for."""
    handle = MemoryRunHandle(disabled=True)
    with DataDiagnostics(handle) as diagnostics:
        assert diagnostics.log_batch(1.0, step=0, labels="wrong").refused
        assert diagnostics.read() == diagnostics.find_hard_batches() == ()
        assert diagnostics.summarize().loss_summary is None
        assert diagnostics.summarize_exposure().batches_seen == 0
    assert handle.journal.next == 0


def test_a_config_of_another_producer_is_refused(handle: MemoryRunHandle) -> None:
    """Settings are checked where they are given."""
    with pytest.raises(WrongTypeError, match="DataDiagnosticsConfig"):
        DataDiagnostics(handle, config={"batch_size": 3})  # type: ignore[arg-type]


def test_a_batch_without_an_adapter_is_said_once(handle: MemoryRunHandle, caplog: pytest.LogCaptureFixture) -> None:
    """The batch is recorded as far as the arguments go."""
    from quark.producers.telemetry import once

    once.forget()
    diagnostics = DataDiagnostics(handle)
    for _ in range(2):
        diagnostics.log_batch(1.0, batch={"id": [1]}, sample_ids=["a"])
    assert [record.sample_ids for record in handle.records(BatchDiagnosticRecord)] == [("a",), ("a",)]
    assert caplog.text.count("adapter=") == 1
