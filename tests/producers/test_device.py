"""Values that live on a device: their copy is queued, nobody waits, and they are recorded when they have arrived.

No accelerator can be had here: ``Device`` plays torch's streams, events and pinned tensors.
"""

import contextlib

import quark
from quark.producers.device import DeviceValues, is_on_device


class Event:
    """An event that is reached when the test says so."""

    def __init__(self):
        self.reached = False
        self.waited = False

    def record(self, stream):
        pass

    def query(self):
        return self.reached

    def synchronize(self):
        self.waited = self.reached = True


class Tensor:
    """A one-element tensor on a device."""

    is_cuda = True
    device = "cuda:0"
    dtype = "float32"
    shape = ()

    def __init__(self, value=0.0):
        self.value = value

    def detach(self):
        return self

    def reshape(self, shape):
        return self

    def record_stream(self, stream):
        pass

    def copy_(self, other, non_blocking):
        self.value = other.value

    def item(self):
        if type(self) is Tensor:
            raise AssertionError("item() on the device would stop the training")
        return self.value


class Pinned(Tensor):
    """A tensor in the host's memory."""

    is_cuda = False


class Device:
    """The part of torch that is used."""

    def __init__(self):
        self.events = []
        self.cuda = self

    def Stream(self, device):
        return self

    def Event(self):
        self.events.append(Event())
        return self.events[-1]

    def wait_stream(self, other):
        pass

    def current_stream(self, device):
        return self

    def stream(self, stream):
        return contextlib.nullcontext()

    def empty(self, shape, dtype, device, pin_memory):
        return Pinned()


def test_values_arrive_in_order_and_only_when_they_are_there():
    """Draining hands out what has arrived, in the order of logging; only an asked-for wait waits."""
    device = Device()
    values = DeviceValues(device)
    got = []
    for number in range(3):
        values.add(Tensor(float(number)), got.append)
    values.drain()
    assert got == []
    device.events[1].reached = True
    values.drain()
    assert got == []
    device.events[0].reached = True
    values.drain()
    assert got == [0.0, 1.0]
    values.drain(wait=True)
    assert got == [0.0, 1.0, 2.0]
    assert [event.waited for event in device.events] == [False, False, True]


def test_a_tensor_on_a_device_is_recorded_with_its_own_step(tmp_path, monkeypatch):
    """Logged before it is known, stored with the step and time of the call, without ever stopping the device."""
    with quark.start_run(project="device", storage_dir=tmp_path) as run:
        monkeypatch.setattr(run._devices, "_torch", Device())
        metrics = quark.MetricsLogger(run)
        assert metrics.log("loss", Tensor(1.5), step=3).pending
        run.log({"loss": Tensor(2.5), "lr": 0.1}, step=4)
        assert run.health()["on_device"] == 2
        read = metrics.read(metric_key="loss")
    assert [(record.step, record.value) for record in read] == [(3, 1.5), (4, 2.5)]


def test_what_is_on_a_device():
    """Numbers, NumPy values and tensors on the host are not."""
    assert is_on_device(Tensor())
    assert not any(map(is_on_device, (1.0, None, "cuda", Pinned(), object())))
