"""Turns what was typed into runs: the store, a run by id or the latest one, filters."""

import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import typer

from ..errors import RunNotFoundError
from ..reading import RunView, Store, connect, open
from ..records.base import format_timestamp, parse_timestamp
from ..sinks.wording import plain

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def opened(storage_dir: Path | None, url: str | None = None) -> Store:
    """The runs of a service where one is named or configured, else those of a directory, leftovers delivered."""
    from ..client.connection import service_is_configured

    if url is not None or service_is_configured():
        return connect(url, storage_dir=storage_dir)
    return open(storage_dir)


def address(store: Store, view: RunView) -> str:
    """The run as it is typed in a command, with the options that name its store.

    It is its name where no other run has it and a terminal can show it, else its id.
    """
    name = view.name
    if name and plain(name) == name and not name.startswith("-") and len(list(store.runs(name=name, limit=2))) == 1:
        return shlex.quote(name) + store.options
    return view.id + store.options


def chosen(store: Store, run: str | None) -> RunView:
    """The run that was named, or the latest one.

    Raises:
        RunNotFoundError: there is none.
    """
    if run is not None:
        return store.run(run)
    latest = next(store.runs(limit=1), None)
    if latest is None:
        raise RunNotFoundError(f"{store.location} holds no runs yet; record one, for instance with: quark demo")
    return latest


def moment(text: str | None, option: str) -> str | None:
    """An RFC 3339 time, or a span before now such as ``90m``, ``12h`` or ``7d``, as RFC 3339."""
    if text is None:
        return None
    seconds = _span_s(text)
    if seconds is not None:
        return format_timestamp(time.time_ns() - int(seconds * 1e9))
    try:
        return format_timestamp(parse_timestamp(text))
    except ValueError as error:
        raise typer.BadParameter(
            f"{option} takes a time such as 2026-05-07T12:00, or a span before now such as 90m, 12h or 7d; got {text!r}"
        ) from error


def span_s(text: str, option: str) -> float:
    """A span such as ``90m``, ``12h`` or ``7d``, in seconds."""
    seconds = _span_s(text)
    if seconds is None:
        raise typer.BadParameter(f"{option} takes a span such as 90m, 12h or 7d; got {text!r}")
    return seconds


def _span_s(text: str) -> float | None:
    span = _SPAN.match(text.strip())
    return float(span[1]) * _SECONDS[span[2]] if span else None


def confirmed(question: str, yes: bool, as_json: bool) -> None:
    """Ask whoever sits at the terminal, unless ``--yes`` has answered; without a yes the command ends here."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter("this asks before it is done, and nobody is there to answer; add --yes")
    if not typer.confirm(plain(question, 10_000)):
        raise typer.Exit(1)


def config_filter(pairs: list[str]) -> dict[str, Any] | None:
    """``key=value`` pairs of ``--config``; None if there are none."""
    return key_values(pairs, "--config") or None


def key_values(pairs: list[str], option: str) -> dict[str, Any]:
    """``key=value`` pairs; a value is read as JSON where it is JSON, else as text."""
    made: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{option} takes KEY=VALUE such as lr=0.1, got {pair!r}")
        try:
            made[key] = orjson.loads(value)
        except ValueError:
            made[key] = value
    return made
