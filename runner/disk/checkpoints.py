"""Find the checkpoints in a job's folder, of any program. Writes nothing; standard library only.

A checkpoint is a file, or a folder that a trainer saves as a whole. It counts when it is complete: not empty, not a
temporary one. The search is bounded, follows no link to a folder, and no link that leads out of the job's folder.
Every supervisor does it, so regular expressions are compiled only once there is something to look at closely.
"""

from __future__ import annotations

import os
import re
from collections import deque
from functools import cache

from runner.disk import layout

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What our own trainer and nanoGPT write, and read with --init_from=resume. If there is one, no other file counts.
OURS = ("ckpt*.pt",)
#: .bin is left out: data has this name as well as weights.
USUAL = (
    *(f"{place}*.{suffix}" for place in ("", "**/checkpoints/", "**/checkpoint/", "**/ckpts/", "**/weights/")
      for suffix in ("pt", "pth", "ckpt", "safetensors")),
    "**/checkpoint-[0-9]*/",  # of Hugging Face's Trainer
    "**/checkpoint_[0-9]*/",  # of accelerate
)  # fmt: skip
COMPLETE = r"trainer_state\.json|random_states_\d+\.pkl"  # written last by the two
WEIGHTS = r".*\.safetensors|pytorch_model.*\.bin|(?:optimizer|scheduler)\.(?:pt|bin)|training_args\.bin"
TEMPORARY = r"(?i)^\.|(?:^|[._-])(?:tmp|temp|part|partial|incomplete)(?:$|[._-])"
PASSED_OVER = ("wandb", "__pycache__", "node_modules")
DEEPEST = 6  # folders below the job's
MOST_ENTRIES = 200_000  # after so many no further folder is opened


def latest_checkpoint(folder: str, patterns: Sequence[str] = ()) -> str | None:
    """The latest complete checkpoint, as an absolute path; None if there is none.

    `patterns` replace the usual ones; they are relative to `folder`, `**` stands for any folders.
    """
    folder = os.path.abspath(folder)
    for some in (patterns,) if patterns else (OURS, USUAL):
        found = []
        for entry in _matching(folder, some):
            age = _age(folder, entry, strict=not patterns)
            if age is not None:
                found.append((age, _numbers(entry.path), entry.path))
        if found:
            return max(found)[2]
    return None


def every_checkpoint(folder: str, patterns: Sequence[str] = ()) -> list[str]:
    """The paths of all checkpoints in a job's folder, incomplete ones too; those of earlier attempts come last."""
    folder = os.path.abspath(folder)
    attempts = [it.path for it in _entries(folder) if it.name.startswith(layout.ATTEMPT)]
    found = []
    for place in (folder, *(path for path in attempts if os.path.isdir(path) and not os.path.islink(path))):
        for some in (patterns,) if patterns else (OURS, USUAL):
            if matches := sorted(entry.path for entry in _matching(place, some)):
                found += matches
                break
    return found


def saved_with(latest: str, paths: Sequence[str]) -> list[str]:
    """Those of the paths that may be parts of the latest checkpoint: its optimizer's state, or what it is a link to.

    They have the same numbers in their names, or none. If it has none itself, the newest numbered ones count.
    """
    step = _step(latest) or next((_step(path) for path in sorted(paths, key=_changed, reverse=True) if _step(path)), [])
    real = os.path.realpath(latest)
    return [path for path in paths if _step(path) in ([], step) or os.path.realpath(path) == real]


def _changed(path: str) -> int:
    return os.lstat(path).st_mtime_ns


def _step(path: str) -> list[int]:
    """The numbers in a name without those of its parts, as in model-00001-of-00003."""
    return _numbers(re.sub(r"\d+-of-\d+|rank_?\d+", "", os.path.basename(path)))


def is_pattern(text: str) -> bool:
    """True for a pattern of names below a folder, in which no part leads out of it."""
    if not text.strip("/") or text.startswith("/") or ".." in text.split("/"):
        return False
    try:
        return re.compile(_expression(text.rstrip("/"))) is not None
    except re.error:  # such as [z-a]
        return False


def _matching(folder: str, patterns: Sequence[str]) -> Iterator[os.DirEntry[str]]:
    """The files and folders that match. A folder that matches is one checkpoint: it is not opened."""
    near = {_ends(pattern.rstrip("/").rpartition("/")[2]) for pattern in patterns}
    deepest = DEEPEST if any("**" in it for it in patterns) else max(it.rstrip("/").count("/") for it in patterns)
    waiting: deque[tuple[str, int]] = deque([(folder, 0)])
    seen = 0
    while waiting and seen < MOST_ENTRIES:
        path, depth = waiting.popleft()
        for entry in _entries(path):
            seen += 1
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and _is_passed_over(entry.name, depth):
                continue
            close = any(entry.name.startswith(begin) and entry.name.endswith(end) for begin, end in near)
            if close and _matches(entry.path[len(folder) + 1 :], patterns, is_folder=is_folder):
                yield entry
                continue
            if is_folder and depth < deepest:
                waiting.append((entry.path, depth + 1))


def _ends(pattern: str) -> tuple[str, str]:
    """What a name that matches begins and ends with: ckpt*.pt is ("ckpt", ".pt")."""
    special = [place for place, sign in enumerate(pattern) if sign in "*?[]"]
    return (pattern[: special[0]], pattern[special[-1] + 1 :]) if special else (pattern, pattern)


def _matches(path: str, patterns: Sequence[str], *, is_folder: bool) -> bool:
    fitting = tuple(pattern.rstrip("/") for pattern in patterns if is_folder or not pattern.endswith("/"))
    return bool(fitting) and _compiled(fitting).fullmatch(path) is not None


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_expression, patterns)))


def _is_passed_over(name: str, depth: int) -> bool:
    earlier_attempt = depth == 0 and name.startswith(layout.ATTEMPT)
    return earlier_attempt or name in PASSED_OVER or re.search(TEMPORARY, name) is not None


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:  # it is gone, or not for us to read
        return []


def _age(folder: str, entry: os.DirEntry[str], *, strict: bool) -> int | None:
    """When a checkpoint was written, in nanoseconds; None for what is not complete, or leads out of the folder."""
    if re.search(TEMPORARY, entry.name):
        return None
    try:
        if entry.is_dir(follow_symlinks=False):
            return _age_of_folder(entry.path, strict=strict)
        if entry.is_symlink() and not os.path.realpath(entry.path).startswith(os.path.realpath(folder) + os.sep):
            return None
        about = entry.stat()
    except OSError:  # a link that leads nowhere
        return None
    return about.st_mtime_ns if entry.is_file() and about.st_size else None


def _age_of_folder(path: str, *, strict: bool) -> int | None:
    files = [entry for entry in _entries(path) if entry.is_file(follow_symlinks=False)]
    complete = any(re.fullmatch(COMPLETE, entry.name) for entry in files)
    of_a_trainer = re.search(r"[/\\]checkpoint[-_]\d+$", path) is not None
    if not complete and of_a_trainer and (strict or any(re.fullmatch(WEIGHTS, entry.name) for entry in files)):
        return None
    return max((entry.stat().st_mtime_ns for entry in files if entry.stat().st_size), default=None)


def _numbers(path: str) -> list[int]:
    """The numbers in a name, which decide between files of one moment: step 100 is later than step 20."""
    return [int(number[:18]) for number in re.findall(r"\d+", os.path.basename(path))]


def _expression(pattern: str) -> str:
    """A pattern of file names as a regular expression for relative paths."""
    *folders, name = pattern.split("/")
    parts = [r"(?:[^/]+/)*" if folder == "**" else _part(folder) + "/" for folder in folders]
    return "".join(parts) + (r".+" if name == "**" else _part(name))


def _part(pattern: str) -> str:
    pieces = re.findall(r"\[!?\]?[^\]]*\]|.", pattern)
    return "".join(_PIECES.get(piece) or _piece(piece) for piece in pieces)


_PIECES = {"*": r"[^/]*", "?": r"[^/]"}


def _piece(piece: str) -> str:
    if not piece.startswith("[") or len(piece) < 3:
        return re.escape(piece)
    inside = piece[1:-1]
    negated = inside.startswith("!")
    letters = inside.removeprefix("!").replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^").replace("]", r"\]")
    return f"[{'^/' if negated else ''}{letters}]"
