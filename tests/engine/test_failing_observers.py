"""An observer that raises is reported and dropped; a fault of the engine itself loses no record."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.engine.events import (
    BatchEnded,
    BatchStarted,
    Dispatcher,
    Event,
    JobAdded,
    JobEnded,
    JobProgressed,
    JobSkipped,
    JobStarted,
    JobWaiting,
    Notice,
    Tick,
)
from tests.engine.fakes import Failing, Recorder
from tests.engine.test_stories import STORIES, Batch, Story, retries

EVENTFUL = Story(
    "", "a=failed/completed b", "", retries(1), reasons={"a": [(0, 1, "busy")]}, steps="a b c", reason="nothing yet",
    requests=[(0.5, "skip b")],
)  # fmt: skip
EVENTS = (BatchStarted, JobAdded, JobWaiting, JobSkipped, JobStarted, JobProgressed, JobEnded, Notice, Tick, BatchEnded)


@pytest.mark.parametrize("kind", EVENTS)
def test_an_observer_that_raises_is_reported_once_and_dropped(kind: type[Event], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "parsed_metrics.jsonl").write_text('{"iter": 3, "train/loss": 2.5}\n')
    undisturbed = Batch(EVENTFUL, root=tmp_path).run()
    failing, other = Failing(kind), Recorder()
    batch = Batch(EVENTFUL, failing, other, root=tmp_path).run()
    assert failing.failed and failing.calls_after == 0
    assert batch.recorder.lines == other.lines == undisturbed.recorder.lines
    report = "The observer Failing failed and is not used any more: RuntimeError: no space left"
    assert batch.recorder.notices.count(report) == other.notices.count(report) == 1
    assert batch.records == undisturbed.records


def test_observers_that_raise_are_all_reported() -> None:
    batch = Batch(EVENTFUL, Failing(JobStarted), Failing(JobStarted), Failing(Notice)).run()
    assert sum("Failing failed" in text for text in batch.recorder.notices) == 3  # the third at the first notice


def test_the_last_observer_that_raises_is_reported_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Dispatcher([Failing(Tick)]).send(Tick())
    assert capsys.readouterr().err.count("RuntimeError: no space left") == 1


def test_an_observer_that_is_a_function_has_its_name_in_the_report() -> None:
    def page_me(event: Event) -> None:
        raise OSError("no route to host")

    assert any("observer page_me failed" in text for text in Batch(STORIES[1], page_me).run().recorder.notices)


@pytest.mark.parametrize(
    ("story", "error"),
    [
        (Story("", "a b=broken c", "a starts|a completed|b is left|c is left"), ZeroDivisionError),
        (Story("", "a", "a is left", steps="a a"), ValueError),
        (Story("", "a=completed:5 b=broken", "a is left|b is left", slots=2), ZeroDivisionError),
    ],
    ids=["the executor", "a source that repeats itself", "while a job is running"],
)
def test_a_fault_of_our_own_ends_the_batch_with_all_records(story: Story, error: type[Exception]) -> None:
    batch = Batch(story)
    with pytest.raises(error):
        batch.run()
    assert batch.lines(times=False) == story.expected.split("|")
    assert (batch.recorder.stopped or "").startswith(f"the runner itself failed ({error.__name__}: ")
