"""Any text is a name: it has a key of the documented grammar, always the same one, that no other name has."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quark import WrongTypeError, metric_key
from quark.records.grammar import check_event_type, check_key
from quark.records.naming import by_keys, event_type_for, file_key, without_digests

ODD = (
    "", " ", "/", "//", "a//b", "/a", "a/", "_a", ".a", "-a", "Train Loss", "train loss", "Train  Loss",
    "Train_Loss ", "acc@1", "acc(1)", "acc[1]", "größe", "gro\u0308ße", "损失", "损耗", "🚀", "💥", "a\0b", "a\nb",
    "a\\b",
    "..", "../etc", "x" * 513, "x" * 514, "a/" * 300, "é" * 5000, "\ud800", "%", "+", "#1", "a:b", "a,b",
    "a=b", "<b>", "metrics/mAP50(B)",
)  # fmt: skip


def test_a_legal_name_is_its_own_key():
    """Whatever else was logged before it."""
    for name in (
        "loss",
        "train/loss",
        "0",
        "a.b-c_d/e",
        "A" * 512,
        "Train_Loss-cf7221ce4122",
        metric_key("Train Loss"),
    ):
        assert metric_key(name) == name


def test_halves_of_characters_are_the_sign_for_what_cannot_be_shown():
    """UTF-8 holds no lone surrogate, and the name under which a key is found is the recorded one."""
    assert metric_key("a \ud800") == metric_key("a \udfff") == metric_key("a \ufffd")


def test_every_other_name_has_a_key_of_its_own():
    """Names that are cleaned alike, such as two words in Chinese, are not mixed."""
    keys = [metric_key(name) for name in ODD]
    assert len(set(keys)) == len(ODD)
    for key in keys:
        assert check_key(key) == key
    types = [event_type_for(name) for name in ODD]
    assert len(set(types)) == len(ODD)
    for event_type in types:
        assert check_event_type(event_type) == event_type


def test_the_key_of_a_name_does_not_change():
    """It is in stores: another release gives the same one."""
    assert metric_key("Train Loss") == "Train_Loss-cf7221ce4122"
    assert metric_key("metrics/mAP50(B)") == "metrics/mAP50_B-a38abffef78f"
    assert event_type_for("Hello World") == "hello_world-7100d271eb02"


@given(st.text(), st.text())
def test_two_names_never_meet(one, other):
    """Of any two texts, legal or not."""
    assert (metric_key(one) == metric_key(other)) == (one == other)
    assert check_key(metric_key(one))


@given(st.text(alphabet="ab /(@", min_size=1, max_size=30), st.text(alphabet="ab /(@", min_size=1, max_size=30))
def test_a_namespace_keeps_its_metrics_together(namespace, name):
    """The key of a name below a namespace lies below the key of the namespace."""
    assert metric_key(f"{namespace}/{name}") == f"{metric_key(namespace)}/{metric_key(name)}"


def test_words_can_be_read_without_digests():
    """Rules that look for words do not read digits of a digest as words, and leave names alone that have a dash."""
    assert without_digests(metric_key("Val Acc (top-1)/x y")) == "Val_Acc_top-1/x_y"
    for name in ("a-validation", "model-generators/loss", "x-0123456789", string.ascii_letters):
        assert without_digests(name) == name


def test_files_have_short_names():
    """A part of 300 characters is a legal key, and no name of a file."""
    assert file_key("a/b") == "a/b"
    assert max(map(len, file_key("x" * 300 + "/y").split("/"))) < 255


def test_filters_take_names():
    """Fields that hold keys are mapped, alone and in a tuple; nothing else is touched."""
    assert by_keys({"metric_key": "a b", "event_type": ("A", "b"), "severity": "X Y", "namespace": None}) == {
        "metric_key": metric_key("a b"), "event_type": (event_type_for("A"), "b"), "severity": "X Y", "namespace": None,
    }  # fmt: skip


@pytest.mark.parametrize("name", [None, 5, b"loss", ("a",)])
def test_what_is_not_text_is_no_name(name):
    """It is refused with its type."""
    with pytest.raises(WrongTypeError, match=type(name).__name__):
        metric_key(name)
