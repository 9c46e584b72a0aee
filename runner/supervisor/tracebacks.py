"""Find Python's tracebacks among lines of output: where each begins and ends, and what it says. Pure functions."""

from __future__ import annotations

import re

from runner.supervisor import line_kinds

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Final

BEGIN = r"(?:Original |Exception Group )?Traceback \(most recent call last\)"
GROUP = r"^ *[+|] +Exception Group Traceback"
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
#: Words before a traceback that Python or a logger prints while the program goes on, or leaves anyway.
HARMLESS = r"^Exception ignored |^Error in (?:atexit|sys\.)|^--- Logging error ---|was never retrieved|^future: <Task"
#: Exceptions of a launcher: they say that a process failed, which has its own traceback above.
OF_LAUNCHERS = r"ChildFailedError|CalledProcessError: Command|SignalException|ProcessRaisedException|RayTaskError"
#: Unindented lines that belong to the message before them; after OPEN, any line does.
CONTINUED = (
    r"^(?:CUDA kernel errors might be|For debugging consider passing|Compile with `TORCH_USE_CUDA_DSA|Device-side as|"
    r"Search for `cudaError|If reserved but unallocated|See (?:documentation|https?:)|You can suppress this|Set TORCH|"
    r"BufferAssignment |Peak buffers:|- (?:Free|Requested) memory:|Memory on the node|"  # JAX, XGBoost, ray
    r"from user code|Please (?:note|see|refer)|This (?:error|could|can|may)|Exception raised from|"
    r"frame #\d+|C\+\+ Capture|For further information visit|The (?:above|following))"
)
OPEN = r"(?::|validation errors? for .*|errors? found.*)$"
LONGEST = 40  # unindented lines of one message


class Traceback:
    """One traceback. `begin` is its first line, with those of the exceptions that led to it; `end` is behind it.

    `said` is the first line of its message. `harmless`: the program goes on after it, or leaves anyway.
    """

    __slots__ = ("begin", "end", "harmless", "message", "said")

    def __init__(self, begin: int, said: int, end: int, message: str, *, harmless: bool = False) -> None:
        self.begin: Final = begin
        self.said: Final = said
        self.end: Final = end
        self.message: Final = message
        self.harmless: Final = harmless

    @property
    def of_launcher(self) -> bool:
        """It only says that another process failed."""
        return re.match(rf"(?:[\w.]+\.)?(?:{OF_LAUNCHERS})", self.message) is not None


def found(lines: list[str]) -> list[Traceback]:
    """The tracebacks among these lines, in their order; a chain of exceptions is one."""
    chains: list[Traceback] = []
    at = 0
    while at < len(lines):
        if "Traceback (" not in lines[at] or re.match(r"[ +|]*" + BEGIN, lines[at]) is None:
            at += 1
            continue
        begin = at
        message, said, at = _group(lines, at) if re.match(GROUP, lines[at]) else _single(lines, at)
        harmless = any(re.search(HARMLESS, line) for line in lines[max(begin - 2, 0) : begin])
        if chains and any(line.startswith(CHAINED) for line in lines[chains[-1].end - 1 : begin]):
            before = chains.pop()
            begin, harmless = before.begin, before.harmless
        chains.append(Traceback(begin, said, at, message, harmless=harmless))
    return chains


def the_cause(chains: list[Traceback]) -> Traceback | None:
    """The last one that a program can have died of, rather one of its own than one of its launcher."""
    serious = [one for one in chains if not one.harmless]
    own = [one for one in serious if not one.of_launcher]
    best = own or serious
    return best[-1] if best else None


def _single(lines: list[str], begin: int) -> tuple[str, int, int]:
    """The message, its place and the end of the traceback that begins here: indented lines, then the message.

    Later lines of a message may be indented too.
    """
    message = begin + 1
    while message < len(lines) and _belongs(lines[message]):
        message += 1
    end = min(message + 1, len(lines))
    open_ended = message < len(lines) and re.search(OPEN, lines[message]) is not None
    left = LONGEST
    while end < len(lines) and left and _continues(lines, end, open_ended=open_ended):
        left -= not _belongs(lines[end])
        end += 1
    while end > message + 1 and not lines[end - 1].strip():
        end -= 1
    return _joined(lines[message:end]), min(message, len(lines) - 1), end


def _continues(lines: list[str], at: int, *, open_ended: bool) -> bool:
    line = lines[at]
    if re.match(r"[ +|]*" + BEGIN, line) or line.startswith(CHAINED):
        return False
    if _belongs(line):
        return not line_kinds.is_bar(line)
    if re.match(CONTINUED, line):
        return True
    return open_ended and not (line_kinds.is_footer(line) or line_kinds.is_log(line) or line_kinds.is_progress(line))


def _belongs(line: str) -> bool:
    return not line or line[0] in " \t" or line.startswith("> File ")


def _group(lines: list[str], begin: int) -> tuple[str, int, int]:
    """The same for a group of exceptions, of which every line is indented; the message names its members too."""
    end = begin + 1
    while end < len(lines) and re.match(r" +[|+]", lines[end]):
        end += 1
    texts = [line.lstrip(" |+") for line in lines[begin:end]]
    head = next((text for text in texts if re.search(r"\(\d+ sub-exceptions?\)$", text)), "")
    name = r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b"
    messages = [text for text in texts if re.match(name, text)]
    parts = [text for text in messages if text != head]
    said = next((at for at, text in enumerate(texts, begin) if text in (head, *parts)), begin)
    return ": ".join(filter(None, (head, "; ".join(parts)))), said, end


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())
