"""Send messages from a command: a test, or what nobody has reported of a batch whose runner is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from runner.core import clock, program
from runner.core.errors import UserError
from runner.core.state import INTERRUPTED, LOST, RUNNING, SUCCESSES
from runner.core.text import count, shown
from runner.notify import choices, ledger, settings
from runner.notify.delivery import Outbox
from runner.notify.message import DEAD, ENDED, FAILED, Event, Message, compose
from runner.notify.settings import Named
from runner.planners import recorded
from runner.reports.status import WITHOUT_RUNNER, BatchStatus


def delivered(channels: Sequence[Named], message: Message) -> list[tuple[str, str | None]]:
    """Send a message on every channel and wait for it: name and error, None if it was sent."""
    found: dict[str, str | None] = {one.name: "there was no time left" for one in channels}

    def report(channel: Named, _message: Message, error: str | None) -> None:
        found[channel.name] = error

    outbox = Outbox(channels, report)
    outbox.put(message)
    outbox.close()
    return list(found.items())


def report(root: Path, status: BatchStatus, names: Sequence[str]) -> list[str]:
    """Send what was not reported of a batch that no runner has; lines on what was done. Raises UserError."""
    names = names or recorded.plan(root, contents=False).options.notify
    if not names:
        raise UserError(f"{shown(root)}: was started without --notify; name the channels, as in --notify ntfy")
    channels = settings.channels(names)
    before = ledger.read(root)
    run = before.run or status.created_at or ""
    events = [event for event in _events(root, status, run) if event.key not in before.reported]
    if not events:
        return []
    chosen = choices.read()
    message = compose(status.name, str(root), events, chosen.link)
    if chosen.held(datetime.fromtimestamp(clock.seconds()).astimezone(), bad=message.urgent):
        return [f"nothing is sent before {chosen.quiet_until} (quiet hours)"]
    lines, after = [], before
    for channel, (name, error) in zip(channels, delivered(channels, message), strict=True):
        after = after.with_notice(channel.name, message, error)
        lines.append(f"{name}: " + (f"not sent: {error}" if error else f'sent "{message.title}"'))
    ledger.write(root, replace(after, run=run))
    return lines


def _events(root: Path, status: BatchStatus, run: str) -> Iterator[Event]:
    """What there is to report of a batch; nothing while a runner has it, which reports it itself."""
    if status.state == RUNNING or status.error is not None:
        return
    for name, job in status.jobs.items():
        if (job.ended and job.status not in (*SUCCESSES, INTERRUPTED)) or job.status == LOST:
            yield Event(FAILED, f"{FAILED}:{name}:{job.attempt or 1}", f"{name}: {job.line('').strip()}")
    if status.state in ("dead", WITHOUT_RUNNER):
        what = f"The runner of {status.name} was killed: {status.counts()}."
        yield Event(DEAD, f"{DEAD}:{run}", f"{what} Continue with: {program.resume_command(root)}")
        return
    bad = status.state != "done"
    text = f"{count(len(status.jobs), 'job')}: {status.counts()}."
    yield Event(ENDED, f"{ENDED}:{run}", text, bad, "not all completed" if bad else "all completed")
