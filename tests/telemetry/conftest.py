"""What the tests of the telemetry share."""

import threading
from collections.abc import Callable

import pytest

from quark.producers.telemetry.sampler import Sampler


@pytest.fixture
def own_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The names of the threads that were started since the test began, in a process without another sampler."""
    monkeypatch.setattr("quark.producers.telemetry.sampler._shared", Sampler())
    before = set(threading.enumerate())
    return lambda: [thread.name for thread in set(threading.enumerate()) - before]
