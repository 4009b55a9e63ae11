"""The pause that an answer asks for, as number or date, bounded by who waits."""

import time
from email.utils import formatdate

import pytest

from quark.core.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0), ("", 0), ("7", 7), ("1.5", 1.5), ("-3", 0), ("1e9", 60), ("nan", 0), ("inf", 60), ("soon", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
        ("Mon, 01 Jan 0001 00:00:00 -1200", 0), ("Mon, 01 Jan 99999 00:00:00", 0),
    ],
)  # fmt: skip
def test_seconds_and_dates_are_honoured_up_to_the_bound(text: str | None, seconds: float) -> None:
    """Seconds and dates are taken up to the caller's bound; nonsense asks for nothing."""
    assert retry_after_s(text, 60.0) == seconds


def test_a_date_is_turned_into_seconds_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date says how long it is until then, whoever's bound is further away."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.25)
    assert retry_after_s(formatdate(1_700_000_060), 3600.0) == 59.75
