"""What the program's own logging does while Quark warns: it may be broken, and never reaches a training."""

import io
import logging
import re
import sys
import tempfile

import pytest

import quark

from .tree import PACKAGES, ROOT

OTHERS = {"quark.service", "quark.service.requests", "quark.clearml"}
"""Loggers below ``quark``: those of the server, and one that is handed to ClearML and written to by it alone."""


class Broken(Exception):
    pass


def fail(*_, **__):
    raise Broken


class RaisingHandler(logging.Handler):
    emit = fail


class RaisingFilter(logging.Filter):
    filter = fail


class RaisingFormatter(logging.Formatter):
    format = fail


@pytest.fixture(params=["handler", "handler of the root", "filter", "filter of a handler", "closed stderr", "factory"])
def broken(request, monkeypatch):
    """The logging of a program, broken in one of several ways."""
    logger, root = logging.getLogger("quark"), logging.getLogger()
    handler: logging.Handler = RaisingHandler()
    if request.param == "handler of the root":
        monkeypatch.setattr(root, "handlers", [handler])
    elif request.param == "filter":
        monkeypatch.setattr(logger, "filters", [RaisingFilter()])
    elif request.param == "factory":
        monkeypatch.setattr(logging, "_logRecordFactory", fail)
    elif request.param == "closed stderr":
        stream = io.StringIO()
        stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        handler = logging.StreamHandler(stream)
    elif request.param == "filter of a handler":
        handler = logging.NullHandler()
        handler.addFilter(RaisingFilter())
    monkeypatch.setattr(logger, "handlers", [handler])


@pytest.mark.usefixtures("broken")
def test_a_warning_never_raises():
    """Whatever the program's logging does with it, a warning of Quark is dropped and not raised."""
    assert issubclass(quark.QuarkError, Exception)  # its module prepares the logger, as any use of Quark does
    logging.getLogger("quark").warning("quark: %s", "a warning")
    logging.getLogger("quark").warning("quark: %d", "arguments that do not fit")


@pytest.mark.usefixtures("broken")
def test_a_training_whose_every_warning_fails(tmp_path, monkeypatch):
    """Start, log calls, steps, watchers, the end and calls after it: each of them warns, and none raises."""
    torch = pytest.importorskip("torch")
    absent = "01a20000-0000-7000-8000-000000000000"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with quark.start_run(project="p", storage_dir="/proc/nowhere", parent_run_id=absent) as run:
        run.watch(torch.nn.Linear(1, 1))
        for step in run.steps(range(2)):
            run.log({"bad name!": 1.0, "loss": object()}, step=step)
        run.step(-1, {"loss": 1.0})
        run.add_tag(object())  # type: ignore[arg-type]
    run.log({"loss": 1.0})
    assert run.status == "completed"


def test_a_message_names_its_caller(caplog):
    """The place in a log record is the one that warned."""
    logging.getLogger("quark").warning("quark: here")
    (record,) = caplog.records
    assert (record.funcName, record.name) == ("test_a_message_names_its_caller", "quark")


def test_every_message_goes_through_the_logger_that_never_raises():
    """No module warns by another logger than ``quark``: what protects a training is done to that one."""
    names = {
        name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"""getLogger\(["']([\w.]+)["']\)""", path.read_text("utf-8"))
        if name.startswith("quark")
    }
    assert names == {"quark", *OTHERS}
