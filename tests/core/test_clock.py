"""The stamp of a log line."""

from __future__ import annotations

from runner.core.clock import Stamp


def test_a_stamp_has_its_milliseconds_and_24_bytes() -> None:
    stamp = Stamp()
    assert stamp(1000.25).endswith(b".250 ")
    assert len(stamp(1000.25)) == 24
