"""The stream of events: what is new, what was missed, who may listen, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.core.errors import UserError
from runner.page import hub as hubs
from runner.page.hub import Hub
from runner.page.reads import Reads
from tests.page.pages import batch, source


class Counter:
    """Finds a new number at each look."""

    every = 0.0

    def __init__(self, size: int = 1) -> None:
        self.seen = 0
        self.size = size

    def look(self) -> Mapping[str, Any] | None:
        self.seen += 1
        return {"seen": self.seen, "text": "x" * self.size}


async def events(stream: AsyncIterator[bytes], count: int) -> list[tuple[str, str, Any]]:
    """The next ones, as id, name and data, without the pings."""
    found: list[tuple[str, str, Any]] = []
    async for block in stream:
        for text in block.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            if "data" in lines:
                found.append((lines["id"], lines["event"], json.loads(lines["data"])))
        if len(found) >= count:
            return found
    return found


def run(story: Any) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def test_listeners_of_one_topic_get_the_same_events_and_share_one_look() -> None:
    async def story() -> None:
        watch = Counter()
        hub = Hub(lambda topic: watch)
        one, other = (hub.stream({"a:b": watch}, "") for _ in range(2))
        first, second = await asyncio.gather(events(one, 3), events(other, 3))
        assert first[:3] == second[:3] or first[0] in second or second[0] in first
        begin = first[0][2]["seen"]
        assert [data["seen"] for _, _, data in first] == list(range(begin, begin + len(first)))
        assert {name for _, name, _ in first} == {"a"}

    run(story())


def test_a_browser_that_comes_back_gets_what_it_missed() -> None:
    async def story() -> None:
        watch = Counter()
        hub = Hub(lambda topic: watch)
        kept = hub.stream({"a": watch}, "")  # somebody else listens on
        first = await events(hub.stream({"a": watch}, ""), 2)
        await events(kept, 5)
        again = await events(hub.stream({"a": watch}, first[0][0]), 2)
        assert again[0][2]["seen"] == first[0][2]["seen"] + 1

    run(story())


@pytest.mark.parametrize("last", ["", "0:1", "nothing", "x:y", ":"])
def test_one_that_cannot_know_is_told_to_ask_again(last: str) -> None:
    async def story() -> None:
        hub = Hub(lambda topic: Counter())
        name = (await events(hub.stream({"a": Counter()}, last), 1))[0][1]
        assert name == ("resync" if last else "a")

    run(story())


def test_what_is_kept_is_bounded_and_a_slow_browser_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_BYTES", 5000)

    async def story() -> None:
        watch = Counter(size=1000)
        hub = Hub(lambda topic: watch)
        slow, quick = hub.stream({"a": watch}, ""), hub.stream({"a": watch}, "")
        assert (await events(slow, 1))[0][1] == "a"
        await events(quick, 40)
        assert sum(len(one.text) for one in hub._ring) <= 5000
        assert "resync" in [name for _, name, _ in await events(slow, 3)]

    run(story())


def test_nothing_is_looked_at_when_nobody_listens() -> None:
    async def story() -> None:
        watch = Counter()
        hub = Hub(lambda topic: watch)
        stream = hub.stream({"a": watch}, "")
        await events(stream, 1)
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        assert hub._topics == {} and not hub.is_full

    run(story())


def test_a_topic_that_breaks_says_so_and_the_others_go_on() -> None:
    class Broken(Counter):
        def look(self) -> Mapping[str, Any] | None:
            raise UserError("it is gone")

    async def story() -> None:
        hub = Hub(lambda topic: Counter())
        stream, found = hub.stream({"a": Broken(), "b": Counter()}, ""), []
        while all(name != "a" for _, name, _ in found):  # each topic is looked at by a thread of its own
            found += await events(stream, 1)
        found += await events(stream, 20)
        assert [data["error"] for _, name, data in found if name == "a"] == ["it is gone"]
        assert sum(name == "b" for _, name, _ in found) >= 20

    run(story())


def test_a_topic_that_works_again_goes_on_and_is_not_silent_for_those_who_come_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "AGAIN", 0.01)

    class Fails(Counter):
        fails = True

        def look(self) -> Mapping[str, Any] | None:
            if self.fails:
                raise OSError("Input/output error")
            return super().look()

    async def story() -> None:
        watch = Fails()
        hub = Hub(lambda topic: watch)
        first = hub.stream({"a": watch}, "")
        assert [data for _, _, data in await events(first, 1)] == [{"topic": "a", "error": "Input/output error"}]
        watch.fails = False
        assert (await events(hub.stream({"a": watch}, ""), 1))[0][2]["seen"] >= 1

    run(story())


def test_a_batch_that_was_removed_keeps_nothing_of_the_others_back(tmp_path: Path) -> None:
    batch(tmp_path)

    async def story() -> None:
        hub = Reads(source(tmp_path)).hub
        watches = await asyncio.to_thread(hub.prepared, ["batch:gone", "batch:night"])
        found = await events(hub.stream(watches, ""), 1)
        assert [(data["topic"], "gone" in data["error"]) for _, _, data in found] == [("batch:gone", True)]
        assert watches["batch:night"].look() is None

    run(story())


def test_streams_end_when_the_server_does() -> None:
    async def story() -> None:
        hub = Hub(lambda topic: Counter())
        stream = hub.stream({"a": Counter()}, "")
        await events(stream, 1)
        hub.close()
        assert [block async for block in stream] == []

    run(story())


def test_a_batch_and_a_log_tell_what_is_new(tmp_path: Path) -> None:
    root = batch(tmp_path)
    reads = Reads(source(tmp_path))
    log = reads.hub.prepared(["log:night:0:combined.log"])["log:night:0:combined.log"]
    jobs = reads.hub.prepared(["batch:night"])["batch:night"]
    assert log.look() is None
    size = (root / "a/combined.log").stat().st_size
    with (root / "a/combined.log").open("a") as file:
        file.write("one more\n")
    assert log.look() == {"from": size, "to": size + 9, "size": size + 9, "text": "one more\n"}
    with (root / "a/combined.log").open("a") as file:
        file.write("a flood of lines\n" * 100_000)
    flood = log.look()
    assert flood is not None and flood["skipped"] > 10**6 and len(flood["text"]) <= 1 << 16
    (root / "a/combined.log").write_text("another file\n")
    other = log.look()
    assert other is not None and other["reset"] and other["text"] == "another file\n"
    assert jobs.look() is None


@pytest.mark.parametrize("topic", [
    "", "lists", "list:x", "batch", "batch:none", "batch:..", "log:night", "log:night:0", "log:night:9:combined.log",
    "log:night:-1:combined.log", "log:night:0:plan.json", "log:night:0:../plan.json", "log:night:x:combined.log",
    "log:../night:0:combined.log", "gpu", "batch:night:x",
])  # fmt: skip
def test_other_topics_are_refused(tmp_path: Path, topic: str) -> None:
    batch(tmp_path)
    with pytest.raises(UserError):
        Reads(source(tmp_path)).hub.prepared([topic])
