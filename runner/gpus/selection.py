"""`--gpus 0,2-3,GPU-8f2e` and the caller's CUDA_VISIBLE_DEVICES -> the GPUs that a batch may use. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from runner.core.errors import UserError
from runner.gpus import visible
from runner.gpus.devices import Gpu, Snapshot

AUTO, ALL, NONE = "auto", "all", "none"


def chosen(words: str, snapshot: Snapshot, environ: Mapping[str, str]) -> list[Gpu]:
    """The GPUs that `words` name, in their order, which is that of preference. Raises UserError.

    The caller's environment is the outer limit: no other GPU is used.
    """
    if words == NONE:
        return []
    if snapshot.error:
        raise UserError(f"--gpus {words}: {snapshot.error}; leave --gpus out to run without a choice of GPUs")
    allowed, said = visible.limit(snapshot, environ)
    if words in (AUTO, ALL):
        return _all(words, allowed, said)
    found = [gpu for word in words.split(",") for gpu in _named(word.strip(), snapshot.gpus)]
    errors = [f"--gpus: {problem}" for gpu in found if (problem := _refused(gpu, found, allowed, said))]
    if errors:
        raise UserError(*dict.fromkeys(errors))
    return found


def usable(snapshot: Snapshot, environ: Mapping[str, str]) -> list[Gpu]:
    """The GPUs that the caller may use, and that work."""
    return [gpu for gpu in visible.limit(snapshot, environ)[0] if gpu.error is None]


def _all(words: str, allowed: Sequence[Gpu], said: str | None) -> list[Gpu]:
    """All GPUs that work; instances of a divided one stand for it."""
    divided = {gpu.index for gpu in allowed if gpu.part is not None}
    whole = [gpu for gpu in allowed if not (gpu.is_divided and gpu.index in divided)]
    working = [gpu for gpu in whole if gpu.error is None]
    if words == ALL and len(working) < len(whole):
        raise UserError(*(f"--gpus all: {problem}" for gpu in whole if (problem := _unusable(gpu, allowed))))
    if not working:
        raise UserError(f"--gpus {words}: {_none(whole, said)}")
    return working


def _named(word: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs of one word: `3`, `0-2`, `2:0`, or the beginning of a UUID. Raises UserError."""
    there = ", ".join(f"{gpu.label} ({gpu.uuid[:12]})" for gpu in gpus) or "none"
    if found := re.fullmatch(r"(\d+)-(\d+)", word):
        first, last = map(int, found.groups())
        if first > last:
            raise UserError(f"--gpus {word}: the range ends before it begins; write {last}-{first}")
        return [gpu for number in range(first, last + 1) for gpu in _named(str(number), gpus)]
    matches = visible.named(word, gpus)
    if len(matches) > 1:
        raise UserError(f"--gpus {word}: is the beginning of {len(matches)} UUIDs; give more of one")
    if not matches:
        raise UserError(f"--gpus {word}: no such GPU; there are {there}; also auto, all, none, and ranges such as 0-3")
    return matches


def _refused(gpu: Gpu, found: Sequence[Gpu], allowed: Sequence[Gpu], said: str | None) -> str | None:
    if found.count(gpu) > 1:
        return f"GPU {gpu.label} is named {found.count(gpu)} times; name it once"
    if gpu not in allowed:
        return f"GPU {gpu.label} is hidden by {said}, which allows {_listed(allowed)}"
    return _unusable(gpu, allowed)


def _unusable(gpu: Gpu, allowed: Sequence[Gpu]) -> str | None:
    if not gpu.is_divided:
        return f"GPU {gpu.label}: {gpu.error}" if gpu.error else None
    parts = [one.uuid for one in allowed if one.part is not None and one.index == gpu.index]
    fix = f"name them: {','.join(parts)}" if parts else "create one with nvidia-smi mig -cgi, or turn MIG off"
    return f"GPU {gpu.label} {gpu.error}; {fix}"


def _none(whole: Sequence[Gpu], said: str | None) -> str:
    if whole:
        return "; ".join(filter(None, (_unusable(gpu, whole) for gpu in whole)))
    return f"{said} hides every GPU" if said else "this machine has no GPU that the runner knows"


def _listed(gpus: Sequence[Gpu]) -> str:
    return ", ".join(gpu.label for gpu in gpus) or "none"
