"""Values as text for people: one safe line, a duration, a command. Pure functions."""

import re
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path

ESCAPES = re.compile(  # CSI and OSC of C0 and C1, the other strings of control, and two characters
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)|\x1b[^\n]"
)
# Control characters of C0 and C1, and the bidirectional marks that can make a terminal show another text.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def plain(text: str, width: int | None = None) -> str:
    """`text` as one line without escape sequences and control characters, at most `width` characters long."""
    text = CONTROLS.sub(" ", ESCAPES.sub("", text)).encode(errors="replace").decode()
    if width is not None and len(text) > width:
        return text[: max(width - 1, 0)] + "…"
    return text


def width_of(text: str) -> int:
    """The columns that a line takes on a terminal: signs of East Asia take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


#: What stands for our own signs where only ASCII can be shown.
_ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "★": "*", "…": "~", "±": "+-", "━": "#", "╸": "#", "─": "-", "–": "-", "→": "->"}
)


def ascii_signs(text: str) -> str:
    """A text of ours with signs of ASCII alone; other letters are left."""
    return text.translate(_ASCII)


def plain_lines(text: str) -> str:
    """`plain` for each line of a text."""
    return "\n".join(map(plain, text.split("\n")))


def duration(seconds: float) -> str:
    """`850 ms`, `12.3 s`, `4 min 05 s`, `3 h 20 min`, `2 d 04 h`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"


def ago(seconds: float) -> str:
    """`12 s ago`, `5 min ago`, `2 h ago`, `3 d ago`: how long it was, in whole units."""
    for unit, length, most in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{max(seconds, 0) // length:.0f} {unit} ago"
    return f"{seconds // 86400:.0f} d ago"


_UNITS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?(d|h|min|m|s)(?![a-z]) ?", re.IGNORECASE)


def seconds(text: str) -> float | None:
    """`90`, `90s`, `30m`, `2h`, `1h30m`, `1.5 d` as seconds; None for what is not a duration."""
    try:
        return float(text)
    except ValueError:
        pass
    amounts = [(match[1], match[2].lower()) for match in _AMOUNT.finditer(text)]
    units = [list(_UNITS).index(unit) for _, unit in amounts]
    if not amounts or _AMOUNT.sub("", text).strip() or units != sorted(set(units)):
        return None
    return sum(float(amount) * _UNITS[unit] for amount, unit in amounts)


def command(argv: Sequence[str]) -> str:
    """A command line that can be pasted into a shell, and that no control character in it can falsify."""
    return " ".join(map(_quoted, argv))


def _quoted(word: str) -> str:
    if not CONTROLS.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + CONTROLS.sub(lambda match: _escape(match[0]), escaped) + "'"


def _escape(sign: str) -> str:
    return f"\\x{ord(sign):02x}" if ord(sign) < 128 else f"\\u{ord(sign):04x}"


def shown(path: str | Path, cwd: Path | None = None) -> str:
    """The path relative to `cwd` (default: the current directory) if it is below it, else absolute."""
    path, cwd = Path(path), cwd or Path.cwd()
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def count(number: int, noun: str) -> str:
    """`1 job`, `3 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Sequence[str], most: int) -> str:
    """`a, b and 3 more`: at most so many of the names."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def size(number: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
