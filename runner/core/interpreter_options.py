"""The options of Python itself with which a program was started: `-O`, `-W error`, `-X dev`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_ALONE = "OEIPsS"  # those that change what a program does; -u, -B, -i and their like are left out
_WITH_VALUE = "WX"
_ENDS = "mc"  # what follows is the program


def interpreter_options(started: Sequence[str]) -> tuple[str, ...]:
    """Those in the words with which a process was started, such as sys.orig_argv, to start another one like it."""
    found: list[str] = []
    words = iter(started[1:])
    for word in words:
        if not word.startswith("-") or word in ("-", "--"):
            break
        if word.startswith("--"):
            if "=" not in word:  # --check-hash-based-pycs
                next(words, None)
            continue
        for at, letter in enumerate(word[1:], 1):
            if letter in _ENDS:
                return tuple(found)
            if letter in _WITH_VALUE:
                found += [f"-{letter}", word[at + 1 :] or next(words, "")]
                break
            if letter in _ALONE:
                found.append(f"-{letter}")
    return tuple(found)
