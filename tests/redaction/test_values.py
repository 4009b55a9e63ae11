"""Secrets in values of any shape: below secret names, in pairs, in lists of options, in JSON, in hostile objects."""

import json
from collections import OrderedDict, UserDict
from types import MappingProxyType

import pytest

from quark.redaction import HIDDEN, redact

X = "hunter2Zq9"


@pytest.mark.parametrize(
    "value",
    [
        {"password": {"value": X}}, {"credentials": {"id": X, "value": X}}, {"password": [X, {"a": [X]}]},
        {"secrets": {"deep": {"er": [[X]]}}}, {"auth": ["ada", X]}, {"auth": ("ada", X)}, {"tokens": [X]},
        {"token": {X}},
        {"api": {"key": X}}, {"openai": {"key": X}}, {"aws": {"access": {"key": X}}}, {"webhook": {"url": X}},
        [{"name": "Authorization", "value": X}], {"headers": [{"key": "X-Api-Key", "value": X}]},
        {"env": [{"name": "DB_PASSWORD", "value": X}]}, {"option": "--token", "value": X}, {"Key": "Secret",
        "Value": X},
        [["Authorization", X], ["Accept", "text/html"]], (("password", X),), {"headers": [("X-Api-Key", X)]},
        ["password", X], ["--api-key", X], ["run.py", "--user-token", X, "--lr", 0.1], ("-password", X),
        {"command": ["curl", "--header", f"Authorization: {X}"]}, [f"--token={X}"], {"args": [f"trainer.token={X}"]},
        {"note": f"password={X}"}, {"url": f"https://u:{X}@h"}, {"dump": json.dumps({"password": {"value": X}})},
        {"dump": json.dumps([{"name": "Authorization", "value": X}])}, {"dump": json.dumps(["--api-key", X])},
        {f"https://u:{X}@h/": 1}, {"password": X.encode()}, {"note": f"password={X}".encode()}, {"passcode": X},
        UserDict(password=X), OrderedDict(password=X), MappingProxyType({"password": X}), {"a": (1, {"password": X})},
        {"password": bytearray(X.encode())}, {b"password": f"token={X}"}, {1: {"password": X}},
        {"note": [f"API key: {X}"]}, ["mysql", "-uroot", f"-p{X}"], {"command": ["sshpass", "-p", X, "ssh", "h"]},
        {"SAS": X}, {"connectionString": f"h;{X}"}, {"ConnectionStrings": {"Default": X}}, ["set", "api_key", X],
        {"command": f"mysql -uroot -p{X} db"}, {"note": f"the password is {X}"}, ["--header", "Authorization", X],
    ],
    ids=str,
)  # fmt: skip
def test_a_secret_of_any_shape_is_hidden(value):
    """Nothing of the secret is left, wherever it stands in a value, and looking again changes nothing."""
    shown = redact(value)
    assert X not in repr(shown)
    assert HIDDEN in repr(shown)
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "value",
    [
        {"lr": 0.1, "layers": [1, 2, {"size": 3}], "name": "résumé", "none": None, "url": "https://a.b/c?x=1"},
        {"token": 17, "tokens": 4096, "tokens_seen": 1e9, "pass": 3, "auth": False, "password": None, "secret": True},
        {"password": "", "token": "<s>", "tokens": ["<s>", "</s>", "[MASK]"], "api_key": None, "use_auth": False},
        {"name": "adam", "value": 0.1}, [{"key": "train/loss", "value": 0.3}], ["token", "char"], [["lr", 0.1],
        ["wd", 0]],
        {"text": '{"lr": 1e5, "k": [1,2]}', "list": "[1,  2]", "broken": "{'a': 1}"}, ["--lr", "0.1", "--max-tokens",
        "5"],
        {"columns": ["token", "label"], "keys": ["a", "b"]}, {"pairs": [["a", "b"], ["c", "d"]]}, {}, [], "x", 3,
        None,
    ],
    ids=str,
)  # fmt: skip
def test_ordinary_values_keep_their_shape_and_content(value):
    """What is no secret comes out as it went in: numbers, vocabularies, pairs, text that looks like JSON."""
    assert redact(value) == value
    assert json.dumps(redact(value)) == json.dumps(value)


def test_the_value_that_was_given_is_not_changed():
    """Redaction makes a copy; the program goes on with its own configuration."""
    value = {"password": X, "list": [["token", X]], "inner": {"api_key": X}}
    before = json.dumps(value)
    redact(value)
    assert json.dumps(value) == before


def test_secret_names_hide_numbers_where_numbers_are_secrets():
    """A numeric password is a secret, a number of tokens is none."""
    assert redact({"password": 123456, "otp": 123456, "tokens": 512, "cookies": 3}) == {
        "password": HIDDEN, "otp": HIDDEN, "tokens": 512, "cookies": 3,
    }  # fmt: skip


def test_hidden_keys_stay_apart():
    """Keys that hold secrets are hidden too, and none of their values is lost."""
    shown = redact({f"https://u:{X}@h": 1, f"https://v:{X}@h": 2, "a b": 3})
    assert sorted(shown.values()) == [1, 2, 3]
    assert X not in str(shown)


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __eq__(self, other):
        raise RuntimeError("eq")

    __hash__ = object.__hash__

    def __repr__(self):
        raise RuntimeError("repr")


class HostileDict(dict):
    """A mapping that cannot be read."""

    def items(self):
        raise OSError("gone")


class HostileText(str):
    """Text whose methods lie."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


def test_nothing_that_redaction_meets_raises():
    """Cycles, deep nesting, bytes, and objects that raise at every touch cost at most their own value."""
    cyclic: list = [1]
    cyclic.append(cyclic)
    knot: dict = {"a": 1}
    knot["self"] = [knot, knot]
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for hostile in (
        cyclic, knot, deep, Hostile(), [Hostile()], {"x": Hostile()}, {"password": Hostile()}, HostileDict(a=1),
        {"a": HostileDict(password=X)}, HostileText("password=x"), {HostileText("password"): X}, {Hostile(): 1},
        {"b": b"\xff\xfe"}, {None: 1, (1, 2): X}, float("nan"), object(), {"a": iter([1])}, 10**400,
        {"password": 10**400},
        "\ud800=", {"\ud800": "token=\ud800"}, "[" * 100_000, '{"a":' * 10_000 + "1" + "}" * 10_000,
    ):  # fmt: skip
        redact(hostile)
        redact({"config": hostile}, "name")
    assert X not in repr(redact({"a": HostileDict(password=X)}))


def test_shared_lists_do_not_multiply_the_work():
    """A list that holds one other list twice, forty levels deep, has 2**40 paths and forty lists."""
    value: list = ["x"]
    for _ in range(40):
        value = [value, value]
    assert redact(value)[0][0] is redact(value)[0][0] or redact(value)[0] is not None
