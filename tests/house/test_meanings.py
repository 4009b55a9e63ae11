"""Every field that Quark records or takes as a setting says in words what it means."""

import dataclasses
import inspect
import re

import quark
from quark.records.base import Document
from quark.records.describe import fields_of, json_schema
from quark.records.kinds import KINDS
from quark.settings import SETTINGS

from .tree import modules

DOCUMENTS = [name for name, home in quark._HOMES.items() if home.startswith("records") or name.endswith("Config")]


def test_every_field_has_a_meaning() -> None:
    """A field that nobody can explain is neither recorded nor asked for."""
    classes = [cls for name in DOCUMENTS if inspect.isclass(cls := getattr(quark, name)) and issubclass(cls, Document)]
    fields = [(cls.__name__, field) for cls in classes if dataclasses.is_dataclass(cls) for field in fields_of(cls)]
    assert [f"{owner}.{field.name}" for owner, field in fields if len(field.meaning.split()) < 2] == []


def test_every_kind_has_a_json_schema() -> None:
    """Other languages can read what is recorded: each kind is described for them."""
    definitions = json_schema()["$defs"]
    assert sorted(cls.__name__ for cls in KINDS.values()) == sorted(set(definitions) - {"EvidenceRecord"})
    assert definitions["MetricRecord"]["properties"]["value"]["description"] == "the measured value, finite"


def test_every_setting_has_a_meaning() -> None:
    """A variable that nobody can explain is not read."""
    assert [name for name, setting in SETTINGS.items() if len(setting.meaning.split()) < 3] == []


def test_every_variable_is_in_the_one_table() -> None:
    """No module reads a ``QUARK_*`` variable that the table does not know."""
    named = {
        word
        for module in modules()
        for word in re.findall(r"\bQUARK_[A-Z][A-Z_]*[A-Z]\b", module.path.read_text("utf-8"))
    }
    assert named <= set(SETTINGS)


def test_settings_are_sorted() -> None:
    """One list in one order."""
    assert list(SETTINGS) == sorted(SETTINGS)
