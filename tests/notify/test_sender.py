"""The process that sends, without its process: quiet hours, and a last message with the report."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from runner.notify import ledger, sender
from runner.notify.choices import Choices
from runner.notify.message import ENDED, FAILED, Event
from runner.notify.sender import About, Sender
from tests.notify.servers import receiver


class Night(Choices):
    """Quiet hours that end after a few looks at the clock."""

    looks = 5

    def held(self, now: datetime, *, bad: bool) -> float:
        Night.looks -= 1
        return 0.01 if Night.looks > 0 else 0.0

    @property
    def quiet_until(self) -> str:
        return "07:30"


@pytest.mark.parametrize("is_resumed", [False, True])
def test_in_quiet_hours_messages_wait_unless_another_run_took_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], is_resumed: bool
) -> None:
    Night.looks = 20
    monkeypatch.setattr(sender.choices, "read", Night)
    monkeypatch.setenv("OVERNIGHT_NOTIFY_FILE", "/none.toml")
    read, write = os.pipe()
    events = [Event(FAILED, "failed:a:1", "a: failed"), Event(ENDED, "ended:now", "it has ended", False)]
    with receiver() as server:
        monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", server.url)
        sending = Sender(About("night", str(tmp_path), ("webhook",), "now", "overnight resume", False), read)
        if is_resumed:
            ledger.write(tmp_path, ledger.Ledger("later"))
        os.write(write, b"".join(json.dumps(event.to_json()).encode() + b"\n" for event in events))
        kept = os.dup(1)
        try:
            assert sending.run() == []
        finally:
            os.dup2(kept, 1)
            for descriptor in (kept, read, write):
                os.close(descriptor)
        assert len(server.posted) == (0 if is_resumed else 1)
    assert "waits until 07:30 (quiet hours)" in capfd.readouterr().out
    if not is_resumed:
        assert server.posted[0]["failed"] == ["a: failed"] and server.posted[0]["event"] == "ended"
