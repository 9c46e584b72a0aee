"""experiment_result.json as a value: how one attempt of a job ended. Standard library only, for every supervisor.

A Result keeps every entry that it was read with, so that what a newer version wrote survives.
"""

from __future__ import annotations

from runner.core.causes import GPU_OOM
from runner.core.fields import LARGEST_WHOLE, Fields, Malformed
from runner.core.gpu_labels import labels
from runner.core.packed import squeezed, unsqueezed

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: Entries of an attempt that failed because of its GPU: whether it runs again on another one, and the GPUs that no job
#: of the batch gets any more.
MOVES, QUARANTINE = "moves", "gpu_quarantine"
GPU_JOBS_AT_ONCE = "gpu_jobs_at_once"  # the entry for how many jobs shared a GPU
ADJUSTED = "adjusted"  # the entry for settings that were other than planned
NONCE = "nonce"  # the entry that shows that a supervisor wrote the result: see disk/nonce.py
#: Entries that are a text where they are known.
_TEXTS = (
    "signal", "error", "cause", "command_signal", "start_time", "end_time", "fingerprint", "run_dir",
    "final_checkpoint", "failure_signature",
)  # fmt: skip
_TEXT_OR_NOTHING = frozenset((str, type(None)))


class Result:
    """Frozen. Before a job has ended its result has only the entries that are known before its start."""

    __slots__ = ("_kept",)

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._kept: object = dict(entries)

    @property
    def _entries(self) -> dict[str, Any]:
        found: dict[str, Any] = unsqueezed(self._kept)
        return found

    def kept(self) -> Result:
        """The same for a batch of thousands, which keeps it to its end: small, and made again at each look."""
        one = Result({})
        one._kept = squeezed(self._entries)
        return one

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Result:
        """Raises ValueError for what is not the result of a job that has ended; the message says what is odd."""
        fields = Fields(record)
        fields.text("status")
        if not _TEXT_OR_NOTHING.issuperset(map(type, map(record.get, _TEXTS))):  # quicker than each by itself
            for key in _TEXTS:
                fields.text(key, None)
        fields.flag("cause_sure", None)
        fields.mapping("cause_evidence", None)
        for key in ("command", "warnings"):
            fields.words(key, ())
        fields.whole("return_code", None)
        fields.number("duration_seconds", None)
        fields.whole("attempt", 1, least=1)
        for key in ("final_metrics", "best_metrics"):
            for name, entry in fields.mapping(key, {}).items():
                for value in entry.values() if isinstance(entry, dict) else (entry,):
                    if isinstance(value, int) and abs(value) >= LARGEST_WHOLE:
                        raise Malformed(f"{key}: {name:.40} is a number that is too large")
        return cls(record)

    def to_json(self) -> dict[str, Any]:
        return dict(self._entries)

    def updated(self, **entries: Any) -> Result:
        """The same result with other or more entries."""
        return Result({**self._entries, **entries})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and other._entries == self._entries

    def __reduce__(self) -> tuple[type[Result], tuple[dict[str, Any]]]:
        return Result, (self._entries,)  # what is kept can be read in this process alone

    __hash__ = None  # type: ignore[assignment]  # its entries can be lists

    def __repr__(self) -> str:
        return f"Result({self._entries!r})"

    @property
    def status(self) -> str:
        """How it ended, as docs/file-formats.md lists it; empty before its end."""
        return self._text("status") or ""

    @property
    def return_code(self) -> int | None:
        code: int | None = self._entries.get("return_code")
        return code

    @property
    def signal(self) -> str | None:
        return self._text("signal")

    @property
    def error(self) -> str | None:
        return self._text("error")

    @property
    def cause(self) -> str | None:
        """A word for why it failed, one of core/causes.py; None for other ends, and for most of version 0.1.0."""
        return self._text("cause")

    @property
    def cause_sure(self) -> bool:
        """Whether the cause is certain. Earlier versions recorded only certain ones."""
        return self.cause is not None and self._entries.get("cause_sure") is not False

    @property
    def cause_evidence(self) -> Mapping[str, Any]:
        """`line`, `file` and `offset` of what shows the cause; empty if nothing does."""
        found = self._entries.get("cause_evidence")
        return found if isinstance(found, dict) else {}

    @property
    def ran_out_beside_others(self) -> bool:
        """Whether the job ran out of the memory of a GPU that it shared: alone it may have enough."""
        at_once = self._entries.get(GPU_JOBS_AT_ONCE)
        return self.cause == GPU_OOM and isinstance(at_once, int) and at_once > 1

    @property
    def moves(self) -> bool:
        """Whether the job runs again on another GPU, because of this one; that counts as no try."""
        return self._entries.get(MOVES) is True

    @property
    def gpus(self) -> tuple[str, ...]:
        """The GPUs of the attempt as tables name them: `2`, or `2:0` for a MIG instance."""
        return labels(self._entries.get("gpus"))

    @property
    def quarantine(self) -> list[dict[str, Any]]:
        """The GPUs that were not leased again when the attempt ended, each with a `reason`."""
        found = self._entries.get(QUARANTINE)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    @property
    def failure_signature(self) -> str | None:
        """Equal for failures that are alike; None where nothing was said of one."""
        return self._text("failure_signature")

    @property
    def adjusted(self) -> dict[str, tuple[int, int]]:
        """Settings that were other than planned, after memory ran out: key -> planned, used."""
        return adjusted_of(self._entries.get(ADJUSTED))

    @property
    def command_signal(self) -> str | None:
        """The signal that killed the command of its shell or container, as the exit code says."""
        return self._text("command_signal")

    @property
    def start_time(self) -> str | None:
        return self._text("start_time")

    @property
    def end_time(self) -> str | None:
        return self._text("end_time")

    @property
    def seconds(self) -> float:
        """`duration_seconds`; 0 if it is not known."""
        return float(self._entries.get("duration_seconds") or 0.0)

    @property
    def attempt(self) -> int:
        return int(self._entries.get("attempt") or 1)

    @property
    def fingerprint(self) -> str | None:
        return self._text("fingerprint")

    @property
    def command(self) -> tuple[str, ...]:
        """The command that ran, with secrets replaced."""
        return tuple(self._entries.get("command") or ())

    @property
    def nonce(self) -> str | None:
        """What shows that a supervisor wrote it; None in a result of an earlier version."""
        return self._text(NONCE)

    @property
    def run_dir(self) -> str | None:
        return self._text("run_dir")

    @property
    def final_metrics(self) -> Mapping[str, Any]:
        found = self._entries.get("final_metrics")
        return found if isinstance(found, dict) else {}

    @property
    def best_metrics(self) -> Mapping[str, Any]:
        """Name -> `value`, `iter`, `better`; empty for a result of version 0.1.0."""
        found = self._entries.get("best_metrics")
        return found if isinstance(found, dict) else {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what went wrong without ending the job: a loss that is NaN, a log that was cut."""
        found = self._entries.get("warnings")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def _text(self, key: str) -> str | None:
        value = self._entries.get(key)
        return value if value is None else str(value)


def adjusted_of(found: object) -> dict[str, tuple[int, int]]:
    """The entry ADJUSTED of a record; what is no pair of whole numbers above 0 is left out."""
    pairs = found.items() if isinstance(found, dict) else ()
    return {
        key: (pair[0], pair[1])
        for key, pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and all(type(value) is int and value > 0 for value in pair)
    }
