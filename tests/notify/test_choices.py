"""Quiet hours and the other choices on what is reported: values, errors, and what an observer makes of them."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import pytest

from runner.cli import notices
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.result import Result
from runner.core.state import Finished, Outcome, Record
from runner.engine.events import BatchEnded, BatchStarted, Event, JobEnded, JobProgressed, JobStarted
from runner.engine.progress import Progress
from runner.notify import choices, ledger, message, settings
from runner.notify.choices import Choices
from runner.observers.notify import Notify
from runner.observers.registry import ObserverContext
from runner.planners.files import KIND
from runner.reports.status import BatchStatus
from tests.notify.servers import receiver

NIGHT = Choices(quiet=(22 * 60, 7 * 60 + 30))


def at(time: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-27T{time}:00+01:00")


@pytest.mark.parametrize(
    ("time", "hours"), [("21:59", 0), ("22:00", 9.5), ("23:30", 8), ("00:00", 7.5), ("07:00", 0.5), ("07:30", 0)]
)
def test_messages_of_the_night_wait_for_the_morning(time: str, hours: float) -> None:
    assert NIGHT.held(at(time), bad=True) == hours * 3600 and NIGHT.quiet_until == "07:30"
    assert Choices().held(at(time), bad=True) == 0


def test_urgent_ones_do_not_wait_and_an_hour_at_noon_can_be_quiet() -> None:
    urgent = Choices(quiet=(22 * 60, 7 * 60), urgent=True)
    assert urgent.held(at("23:00"), bad=True) == 0 and urgent.held(at("23:00"), bad=False) == 8 * 3600
    noon = Choices(quiet=(12 * 60, 13 * 60))
    assert [noon.held(at(time), bad=False) for time in ("11:59", "12:15", "13:00")] == [0, 45 * 60, 0]


@pytest.mark.parametrize("is_quiet", [True, False])
def test_cron_sends_nothing_in_quiet_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_quiet: bool) -> None:
    dead = message.Event(message.DEAD, "dead:now", "the runner was killed")
    monkeypatch.setattr(notices, "_events", lambda *_: [dead])
    monkeypatch.setattr(notices.choices, "read", lambda: Quiet(quiet=(0, 450), link="ask Anna", urgent=not is_quiet))
    monkeypatch.setenv("OVERNIGHT_NOTIFY_FILE", "/none.toml")
    with receiver() as server:
        monkeypatch.setenv("OVERNIGHT_WEBHOOK_URL", server.url)
        said = notices.report(tmp_path, BatchStatus("night", str(tmp_path), None, "dead", None, {}), ["webhook"])
        assert (len(server.posted), len(ledger.read(tmp_path).reported)) == ((0, 0) if is_quiet else (1, 1))
        assert is_quiet or server.posted[0]["text"].endswith("\nask Anna")
    assert said == ["nothing is sent before 07:30 (quiet hours)"] if is_quiet else said[0].startswith("webhook: sent")


class Quiet(Choices):
    """At any time of the day."""

    def held(self, now: datetime, *, bad: bool) -> float:
        return 0.0 if self.urgent and bad else 60.0


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "notify.toml"
    monkeypatch.setenv("OVERNIGHT_NOTIFY_FILE", str(path))
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def test_choices_come_from_the_file_or_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choices.read() == Choices()
    write(file, '[messages]\nquiet = "22:00 - 7:30"\nbest = true\n[ntfy]\ntopic = "mine"\n')
    monkeypatch.setenv("OVERNIGHT_MESSAGES_LINK", "ssh -L 8080:127.0.0.1:8080 gpu1")
    assert choices.read() == Choices((1320, 450), best=True, link="ssh -L 8080:127.0.0.1:8080 gpu1")
    assert settings.configured() == ["ntfy"]


def test_every_error_is_found_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, '[messages]\nquiet = "at night"\nurgent = "often"\nbests = true\n')
    monkeypatch.setenv("OVERNIGHT_MESSAGES_LINK", "http://x/?token=y")
    with pytest.raises(UserError) as found:
        choices.read()
    assert len(found.value.problems) == 4 and "did you mean 'best'" in str(found.value)
    found_all = choices.problems(["slack"])
    assert found_all[:4] == list(found.value.problems) and "url is missing" in found_all[4]


class Sent:
    """In place of the process that sends."""

    def __init__(self) -> None:
        self.events: list[message.Event] = []

    def send(self, event: message.Event) -> None:
        self.events.append(event)

    def flush(self) -> None: ...

    def finish(self) -> list[str]:
        return []


JOBS = [Job(name, (), Path("/none") / name, {}) for name in "abc"]


def observed(options: RunOptions, *events: Event) -> list[message.Event]:
    """What an observer passes on of these events."""
    observer, sent = Notify(ObserverContext(io.StringIO())), Sent()
    observer(BatchStarted(Plan("night", Path("/none"), tuple(JOBS), KIND, "2026-11-27", options=options)))
    observer._sender = sent  # type: ignore[assignment]
    for event in events:
        observer(event)
    return sent.events


def ended(job: Job, status: str, loss: float | None = None) -> JobEnded:
    metrics = {} if loss is None else {"val/loss": loss}
    result = Result({"status": status, "final_metrics": metrics, "duration_seconds": 1.0})
    return JobEnded(Record(job, Finished(None, "2026-11-27T07:00:00+00:00", 1.0, Outcome(status), result), 1))


def test_a_new_best_job_is_reported_if_that_is_chosen(file: Path) -> None:
    events = [ended(job, "completed", loss) for job, loss in zip(JOBS, (2.0, 3.0, 1.0), strict=True)]
    assert observed(RunOptions(), *events) == []
    write(file, "[messages]\nbest = true\n")
    (found,) = observed(RunOptions(), *events)
    assert (found.kind, found.bad, found.text) == (message.BEST, False, "c: lowest val/loss so far, 1.0000")


@pytest.mark.parametrize("on_nan", ["continue", "stop"])
def test_a_loss_that_is_not_finite_is_reported_once_where_the_job_continues(file: Path, on_nan: str) -> None:
    progress = JobProgressed(JOBS[0], Progress(iteration=7, loss=float("nan")))
    found = observed(RunOptions(on_nan=on_nan), JobStarted(Record(JOBS[0])), progress, progress)
    assert [one.text for one in found] == ["a: its loss is not finite at iteration 7"] * (on_nan == "continue")


@pytest.mark.parametrize(
    ("last", "stopped", "urgent"),
    [("interrupted", "interrupted", False), ("failed", "interrupted", True), ("completed", None, False),
     ("completed", "the limit of failures", True)],
)  # fmt: skip
def test_ctrl_c_is_not_urgent(file: Path, last: str, stopped: str | None, urgent: bool) -> None:
    records = [ended(JOBS[0], "completed").record, ended(JOBS[1], last).record]
    records += [Record(JOBS[2])] if stopped else []
    (end,) = observed(RunOptions(), BatchEnded(records, stopped))
    assert end.kind == message.ENDED and end.bad is urgent
