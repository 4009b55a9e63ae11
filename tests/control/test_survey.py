"""Runs are watched in every namespace that the service knows, not only in those that somebody asks this process for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quark.records.base import Origin
from quark.service import ServiceConfig
from quark.service import namespaces as namespaces_module
from quark.service.namespaces import LEAVES_AFTER_S, Namespaces
from quark.service.survey import AGAIN_S, AT_ONCE, Survey
from quark.testing.batches import make_batch, start_line
from quark.testing.opened import end_mark

from .test_watch import Clock

ORIGIN = Origin("r", "0-1-a", 0, 1)


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> ServiceConfig:
    """A service's configuration."""
    if request.param == "sqlite":
        return ServiceConfig.of(f"sqlite:///{tmp_path}/quark.db")
    return ServiceConfig.of(request.getfixturevalue("postgres_url"), tmp_path)


@pytest.fixture
def namespaces(config: ServiceConfig) -> Iterator[Namespaces]:
    """A service after its restart: a run went on in ``live``, one had ended in ``over``, and nothing is open."""
    before = Namespaces(config)
    for name in ("live", "over"):
        store = before.store(name, maker="k")
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        store.beat("r", 10.0)
    before.store("over").append(make_batch(ORIGIN, [end_mark("completed", "completed")], 1))
    before.close()
    made = Namespaces(config)
    yield made
    made.close()


def test_a_run_that_went_on_is_found_and_its_namespace_kept_open(namespaces: Namespaces) -> None:
    """Only where a run goes on; and who asks for that namespace gets the same store."""
    (found,) = Survey(namespaces).stores()
    assert found.run("r").status == "running"
    assert found is namespaces.store("live")


def test_the_look_around_is_repeated_now_and_then(namespaces: Namespaces, config: ServiceConfig) -> None:
    """What another process began is found some minutes later, not with every round."""
    clock = Clock()
    survey = Survey(namespaces, clock)
    assert len(survey.stores()) == 1
    other = Namespaces(config)
    store = other.store("later", maker="k")
    store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
    store.beat("r", 10.0)
    other.close()
    clock.now += AGAIN_S - 1
    assert len(survey.stores()) == 1
    clock.now += 1
    assert len(survey.stores()) == 2


def test_many_namespaces_are_looked_into_some_at_a_time(tmp_path: Path) -> None:
    """A round stays short; after some rounds every namespace was seen, and nothing idle is open."""
    config = ServiceConfig.of(f"sqlite:///{tmp_path}/quark.db")
    before = Namespaces(config)
    for number in range(AT_ONCE + 2):
        store = before.store(f"n{number}", maker="k")
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
        store.beat("r", 10.0)
    before.close()
    namespaces = Namespaces(config)
    survey = Survey(namespaces)
    assert [len(survey.stores()) for _ in range(3)] == [AT_ONCE, AT_ONCE + 2, AT_ONCE + 2]
    namespaces.close()


def test_idle_namespaces_are_closed(config: ServiceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many open stores those go that nobody asked for the longest and that no watched run needs; who has one of
    them finishes with it, and who asks again has it again.
    """
    monkeypatch.setattr(namespaces_module, "MOST_OPEN", 3)
    clock = Clock()
    namespaces = Namespaces(config, clock)
    stores = {name: namespaces.store(name, maker="k") for name in ("live", "a", "b", "c", "d")}
    for store in stores.values():
        store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
    stores["live"].beat("r", 10.0)
    assert namespaces.store("a") is stores["a"]  # it is the one that was asked for last
    survey = Survey(namespaces, clock)
    assert {name for name, store in stores.items() if store in survey.stores()} == {"live", "d", "a"}
    assert [stores[name].run("r").status for name in ("b", "c")] == ["running"] * 2
    assert namespaces.store("b") is not stores["b"]
    assert namespaces.store("b").run("r").status == "running"
    clock.now += LEAVES_AFTER_S + 1
    survey.stores()
    assert {name for name, store in stores.items() if store.closed} >= {"b", "c"}
    assert not stores["live"].closed
    namespaces.close()
    assert all(store.closed for store in stores.values())


@pytest.mark.parametrize("text", ["", "other", "\udcff"])
def test_a_name_that_was_damaged_leads_nowhere(tmp_path: Path, text: str) -> None:
    """A name that is not the directory's is passed over: no other namespace is opened or made for it."""
    config = ServiceConfig.of(f"sqlite:///{tmp_path}/quark.db")
    before = Namespaces(config)
    before.store("live", maker="k")
    before.close()
    (name,) = (tmp_path / "namespaces").glob("*/name")
    name.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert Namespaces(config).closed() == []
