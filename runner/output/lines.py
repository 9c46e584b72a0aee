"""Blocks of output -> the lines in it that may say something, and what they say. Bounded in memory; starts nothing."""

from __future__ import annotations

import re
from importlib import import_module

from runner.output.pattern import Pattern

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.output.reading import Reading

BUILT_IN = "runner.output.formats."
LONGEST = 1 << 14  # bytes of a line; what a program says of itself is shorter
#: A line without one of these says nothing that a built-in format reads.
_WORDS = (
    b"loss", b"epoch", b"iter", b"step", b"it/s", b"s/it", b"acc", b"ppl", b"perplex", b"update", b"batch", b"score",
    b"f1", b"auc", b"map", b"bleu", b"rouge", b"wer", b"mse", b"mae", b"reward", b"val", b"test", b"error",
    b"all ", b"learn", b"%|",
)  # fmt: skip
_FREQUENT = (b"loss", b"epoch", b"iter", b"step", b"it/s", b"acc", b"val")
LARGE = 1 << 14  # bytes of a block that is searched for the frequent words only: the program writes a lot
_ESCAPES = r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)"
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f]"


class Splitter:
    """The blocks of one stream -> its lines, each state of a progress bar as a line of its own."""

    def __init__(self, *, every: bool) -> None:
        self._every = every  # also the lines without a known word
        self._held = b""
        self._seen = b""  # what was held at the last `idle`
        self._bar = False  # what is held is a state of a bar
        self._torn = False  # the beginning of the next line was not read

    def feed(self, block: bytes) -> Iterator[tuple[bytes, bool]]:
        """The lines that are complete now; True for a state of a bar that is drawn over."""
        text = self._held + block
        if self._torn:
            _, found, text = text.partition(b"\n")
            self._torn = not found
        if b"\r" in text or b"\b" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\b", b"\r")
        end = max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1)) + 1  # the last may belong to a "\r\n"
        self._held = text[end:][:LONGEST]
        self._bar = text[end - 1 : end] == b"\r" if end else self._bar
        return self._worth(text[:end])

    def idle(self) -> Iterator[tuple[bytes, bool]]:
        """The state of a bar that has not changed since the last call: it will not be drawn over soon."""
        held, before = self._held, self._seen
        self._seen = held
        if held and held == before and self._bar:
            self._held = b""
            return self._worth(held)
        return iter(())

    def skip(self) -> None:
        """Blocks before the next one were not read."""
        self._held, self._torn = b"", True

    def finish(self) -> Iterator[tuple[bytes, bool]]:
        """What is left at the end of the stream."""
        text, self._held = self._held, b""
        return self._worth(text)

    def _worth(self, text: bytes) -> Iterator[tuple[bytes, bool]]:
        low, words = text.lower(), _WORDS if len(text) < LARGE else _FREQUENT
        if not text or not (self._every or any(word in low for word in words)):
            return
        for line in text.split(b"\n"):
            if b"\r" in line:
                *states, line = line.split(b"\r")
                yield from ((state, True) for state in states if state and self._speaks(state))
            if line and self._speaks(line):
                yield line, False

    def _speaks(self, line: bytes) -> bool:
        if len(line) > LONGEST:
            return False
        low = line.lower()
        return self._every or any(word in low for word in _WORDS)


class LineReader:
    """The formats of one job. `formats` are their entries as `module:name`, `patterns` those of the user."""

    def __init__(self, formats: Sequence[str], patterns: Sequence[str] = ()) -> None:
        self._targets = list(formats)
        self._readers: list[Callable[[str], Reading | None]] | None = None
        self.errors: list[str] = []  # a sentence for each format and pattern that cannot be used
        self._patterns: list[Pattern] = []
        for pattern in patterns:
            try:
                self._patterns.append(Pattern(pattern))
            except ValueError as error:  # it was valid in another version of Python
                self.errors.append(f"--metric_pattern {pattern!r} {error}")

    def read(self, line: bytes | str) -> Reading | None:
        """What a line says; None for a line that is not about the training."""
        text = line.decode(errors="replace") if isinstance(line, bytes) else line
        if "\x1b" in text:
            text = re.sub(_ESCAPES, "", text)
        text = (text if text.isprintable() else re.sub(_CONTROLS, "", text)).rstrip()
        for pattern in self._patterns:
            if (reading := pattern(text)) is not None:
                return reading
        if self._readers is None:
            self._readers = [reader for target in self._targets if (reader := self._load(target)) is not None]
        for reader in list(self._readers):
            try:
                reading = reader(text)
            except Exception as error:  # whatever the format of another package raises
                self._failed(reader, error)
                continue
            if reading is not None:
                return reading
        return None

    def _load(self, target: str) -> Callable[[str], Reading | None] | None:
        module, _, name = target.partition(":")
        try:
            entry = getattr(import_module(module), name)
            return entry() if isinstance(entry, type) else entry  # type: ignore[no-any-return]
        except Exception as error:
            self.errors.append(f"the line format {target} cannot be used: {type(error).__name__}: {error}")
            return None

    def _failed(self, reader: Callable[[str], Reading | None], error: Exception) -> None:
        """Report a format that raises, once, and drop it."""
        assert self._readers is not None
        self._readers.remove(reader)
        name = getattr(reader, "__qualname__", type(reader).__qualname__)
        module = getattr(reader, "__module__", "")
        self.errors.append(f"the line format {module}:{name} failed and is not used any more: {error!r}")
