"""When a message is sent, and what it says. No clock but the one that is handed in."""

from __future__ import annotations

from runner.notify.gathering import ATTENDED, HOUR, MOST, Gathering
from runner.notify.message import DEAD, ENDED, FAILED, LINES, Event, compose


def failure(name: str) -> Event:
    return Event(FAILED, f"failed:{name}:1", f"{name}: failed in 3 s: exit code 1")


END = Event(ENDED, "ended:now", "3 jobs in 4 min: 3 completed.", False, "all completed")


def test_the_first_failure_is_sent_at_once_and_the_next_ones_together() -> None:
    gathering = Gathering()
    gathering.add(failure("a"))
    assert [event.key for event in gathering.take(100.0)] == ["failed:a:1"]
    for name in "bcd":
        gathering.add(failure(name))
    assert gathering.take(159.0) == [] and gathering.next_at() == 160.0
    assert len(gathering.take(160.0)) == 3
    gathering.add(failure("e"))
    assert gathering.next_at() == 760.0


def test_five_hundred_failures_in_a_second_are_two_messages() -> None:
    gathering = Gathering()
    taken = []
    for number in range(500):
        gathering.add(failure(str(number)))
        taken.append(gathering.take(number / 500))
    taken.append(gathering.rest())
    messages = [events for events in taken if events]
    assert len(messages) == 2 and sum(map(len, messages)) == 500


def test_there_are_six_messages_an_hour_at_most() -> None:
    gathering, times = Gathering(), []
    for second in range(0, 3 * int(HOUR), 10):
        gathering.add(Event("low_disk", str(second), "nearly full"))  # it does not wait for others
        if gathering.take(second):
            times.append(second)
    assert all(later - earlier >= HOUR for earlier, later in zip(times, times[MOST:], strict=False))
    assert len(times) == 3 * MOST


def test_what_was_reported_is_not_repeated() -> None:
    gathering = Gathering(["failed:a:1"])
    gathering.add(failure("a"))
    gathering.add(failure("b"))
    gathering.add(failure("b"))
    assert [event.key for event in gathering.rest()] == ["failed:b:1"]


def test_nothing_is_sent_while_the_user_looks_on() -> None:
    gathering = Gathering(silent_until=ATTENDED)
    gathering.add(failure("a"))
    assert gathering.take(ATTENDED - 1) == []
    assert len(gathering.take(ATTENDED)) == 1


def test_a_message_names_the_jobs_and_is_urgent_where_one_failed() -> None:
    message = compose("night", "/data/night", [*map(failure, "abc"), END])
    assert message.title == "✗ night: all completed" and message.urgent and message.kind == ENDED
    first, *jobs, last = message.text.split("\n")
    assert first == END.text and len(jobs) == 3 and last == "in /data/night"
    calm = compose("night", "/data/night", [END])
    assert calm.title == "✓ night: all completed" and not calm.urgent


def test_a_message_stays_short_and_cannot_be_forged_by_a_name() -> None:
    many = [failure(f"{number}\r\nBcc: x@y.z\x1b]0;x\x07") for number in range(200)]
    message = compose("n" * 300 + "\n", "/data", [*many, Event(DEAD, "dead", "x" * 1000)])
    assert len(message.title) <= 60 and "\n" not in message.title
    lines = message.text.split("\n")
    assert len(lines) == LINES + 3 and max(map(len, lines)) <= 300
    assert f"and {200 - LINES} more" in message.text
    assert not set(message.text) & {"\r", "\x1b", "\x07"} and "\nBcc" not in message.text
