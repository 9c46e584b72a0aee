"""What is reported of a batch, and the text of one message about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from runner.core.text import count, plain

TITLE, SENTENCE, LINE = 60, 300, 200  # letters, at most
LINES = 10  # jobs that a message names
FAILED, ENDED, DEAD, LOW_DISK, TEST = "failed", "ended", "dead", "low_disk", "test"
NONFINITE, BEST = "nonfinite", "best"
GATHERED = (FAILED, NONFINITE, BEST)  # events on single jobs, which wait for others
_WORDS = {
    ENDED: "the batch has ended",
    DEAD: "the runner was killed",
    LOW_DISK: "the disk is nearly full",
    TEST: "a test of notifications",
    NONFINITE: "a loss is not finite",
    BEST: "a new best job",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once: `key` tells it from all others of its batch. `text` is a line for people.

    `bad`: it needs the user. `title`: a few words for the head of the message, instead of the usual ones.
    """

    kind: str
    key: str
    text: str
    bad: bool = True
    title: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        kind, key, text, title = (str(record[name]) for name in ("kind", "key", "text", "title"))
        return cls(kind, key, text, bool(record["bad"]), title)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `text` has a sentence, then a line for each job that failed; `keys` are those of its events.

    `report`: the report on the batch, for channels that can send a file.
    """

    kind: str
    title: str
    text: str
    urgent: bool
    batch: str
    folder: str
    failed: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    report: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """What a webhook gets."""
        named = {"event": self.kind, "title": self.title, "text": self.text, "urgent": self.urgent}
        return {**named, "batch": self.batch, "folder": self.folder, "failed": list(self.failed)}


def compose(batch: str, folder: str, events: Sequence[Event], link: str = "") -> Message:
    """One message on all these events; what ends the batch counts most. `link`: where to look at it."""
    failed = [event for event in events if event.kind == FAILED]
    noted = [event for event in events if event.kind in GATHERED and event.kind != FAILED]
    others = [event for event in events if event.kind not in GATHERED]
    kind = others[-1].kind if others else FAILED if failed else noted[-1].kind
    bad = any(event.bad for event in events)
    lines = [plain(event.text, SENTENCE) for event in others]
    for of_jobs in (failed, noted):
        lines += [f"- {plain(event.text, LINE)}" for event in of_jobs[:LINES]]
        if len(of_jobs) > LINES:
            lines.append(f"- and {len(of_jobs) - LINES} more")
    lines.append(f"in {plain(folder, SENTENCE)}")
    if link:
        lines.append(plain(link, SENTENCE))
    what = (others[-1].title if others else "") or _WORDS.get(kind) or f"{count(len(failed), 'job')} did not complete"
    title = f"{'✗' if bad else '✓'} {plain(batch, 30)}: {what}"
    keys = tuple(event.key for event in events)
    texts = tuple(plain(event.text, LINE) for event in failed)
    return Message(kind, plain(title, TITLE), "\n".join(lines), bad, plain(batch), folder, texts, keys)
