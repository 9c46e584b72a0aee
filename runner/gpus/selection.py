"""`--gpus 0,2-3,GPU-8f2e` and the caller's CUDA_VISIBLE_DEVICES -> the GPUs that a batch may use. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.core.errors import UserError
from runner.gpus.devices import Gpu, Snapshot

AUTO, ALL, NONE = "auto", "all", "none"
VISIBLE = "CUDA_VISIBLE_DEVICES"


def chosen(words: str, snapshot: Snapshot, visible: str | None) -> list[Gpu]:
    """The GPUs that `words` name, in their order, which is that of preference. Raises UserError.

    `visible` is the value of CUDA_VISIBLE_DEVICES, None where it is not set: no other GPU is used.
    """
    if words == NONE:
        return []
    if snapshot.error:
        raise UserError(f"--gpus {words}: {snapshot.error}; leave --gpus out to run without a choice of GPUs")
    visible_ones = allowed(snapshot.gpus, visible)
    if words in (AUTO, ALL):
        usable = [gpu for gpu in visible_ones if gpu.error is None]
        if words == ALL and len(usable) < len(visible_ones):
            raise UserError(*(f"--gpus all: {problem}" for problem in map(_unusable, visible_ones) if problem))
        if not usable:
            raise UserError(f"--gpus {words}: {_none(visible_ones, visible)}")
        return usable
    found = [gpu for word in words.split(",") for gpu in _named(word.strip(), snapshot.gpus)]
    errors = [f"--gpus: {problem}" for gpu in found if (problem := _refused(gpu, found, visible_ones, visible))]
    if errors:
        raise UserError(*dict.fromkeys(errors))
    return found


def allowed(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """The GPUs that CUDA lets programs see: its list ends at the first entry that is none of them."""
    if visible is None:
        return list(gpus)
    found: list[Gpu] = []
    for word in visible.split(","):
        matches = _matches(word.strip(), gpus)
        if len(matches) != 1 or matches[0] in found:
            break
        found += matches
    return found


def _matches(word: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    if word.isdecimal():
        return [gpu for gpu in gpus if gpu.index == int(word)]
    return [gpu for gpu in gpus if word and gpu.uuid.lower().startswith(word.lower())]


def _named(word: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs of one word: `3`, `0-2`, or the beginning of a UUID. Raises UserError."""
    there = ", ".join(f"{gpu.index} ({gpu.uuid[:12]})" for gpu in gpus) or "none"
    if found := re.fullmatch(r"(\d+)-(\d+)", word):
        first, last = map(int, found.groups())
        if first > last:
            raise UserError(f"--gpus {word}: the range ends before it begins; write {last}-{first}")
        return [gpu for number in range(first, last + 1) for gpu in _named(str(number), gpus)]
    matches = _matches(word, gpus)
    if len(matches) > 1:
        raise UserError(f"--gpus {word}: is the beginning of {len(matches)} UUIDs; give more of one")
    if not matches:
        raise UserError(f"--gpus {word}: no such GPU; there are {there}; also auto, all, none, and ranges such as 0-3")
    return matches


def _refused(gpu: Gpu, found: Sequence[Gpu], visible_ones: Sequence[Gpu], visible: str | None) -> str | None:
    if found.count(gpu) > 1:
        return f"GPU {gpu.index} is named {found.count(gpu)} times; name it once"
    if gpu not in visible_ones:
        return f"GPU {gpu.index} is hidden by {VISIBLE}={visible}, which allows {_listed(visible_ones)}"
    return _unusable(gpu)


def _unusable(gpu: Gpu) -> str | None:
    return f"GPU {gpu.index}: {gpu.error}" if gpu.error else None


def _none(visible_ones: Sequence[Gpu], visible: str | None) -> str:
    if visible_ones:
        return "; ".join(filter(None, map(_unusable, visible_ones)))
    return "this machine has no NVIDIA GPU" if visible is None else f"{VISIBLE}={visible} hides every GPU"


def _listed(gpus: Sequence[Gpu]) -> str:
    return ", ".join(str(gpu.index) for gpu in gpus) or "none"
