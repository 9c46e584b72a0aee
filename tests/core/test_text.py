"""Values as text for people, and what people write as values."""

from __future__ import annotations

import pytest

from runner.core.text import ago, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", 90.0), ("90s", 90.0), ("1.5", 1.5), ("1e3", 1000.0), ("30m", 1800.0), ("30min", 1800.0), ("2h", 7200.0),
        ("2H", 7200.0), ("1d", 86400.0), ("1h30m", 5400.0), ("1h 30 min", 5400.0), ("1.5h", 5400.0), (".5m", 30.0),
        ("1d12h", 129600.0), ("0", 0.0), ("-5", -5.0),
        ("", None), ("h", None), ("2x", None), ("2 hours", None), ("2h2h", None), ("30m1h", None), ("1,5h", None),
        ("1h-30m", None), ("2hm", None),
    ],
)  # fmt: skip
def test_durations_as_people_write_them(text: str, value: float | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("past", "text"),
    [
        (-3, "0 s ago"), (0, "0 s ago"), (59.9, "59 s ago"), (60, "1 min ago"), (3599, "59 min ago"), (3600, "1 h ago"),
        (47 * 3600, "47 h ago"), (48 * 3600, "2 d ago"),
    ],
)  # fmt: skip
def test_how_long_ago_it_was_is_said_in_whole_units(past: float, text: str) -> None:
    assert ago(past) == text
