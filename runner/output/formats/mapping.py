"""Lines with a JSON object, or a dict as Python prints it: JSON lines, Hugging Face's Trainer, accelerate, fairseq."""

from __future__ import annotations

import json
import re

from runner.output import names
from runner.output.grammar import NUMBER, Line, number, placed, stage_of
from runner.output.reading import Reading

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LARGEST = 1 << 14  # characters of an object in a line
_STEPS = ("iter", "iteration", "step", "global_step", "_step", "num_updates", "update", "train_num_updates", "steps")
_TOTALS = ("max_iters", "max_steps", "total_steps", "num_steps", "total")
_ENTRY = (  # as text: compiled when it is needed
    rf"['\"](?P<name>[^'\"{{}}:]{{1,80}})['\"]\s*:\s*['\"]?(?:(?:tensor|np\.float\d*|array)\()?"
    rf"(?P<value>{NUMBER}|-?(?:nan|inf(?:inity)?)|null|none)(?=[\s,}})'\"%])"
)


def read(line: str) -> Reading | None:
    """`{"step": 100, "loss": 2.3}`, `{'loss': 2.3, 'epoch': 0.12}`, `epoch 0: {'accuracy': 0.8}`."""
    begin, end = line.find("{"), line.rfind("}")
    if begin < 0 or end < begin or end - begin > _LARGEST:
        return None
    entries = _entries(line[begin : end + 1])
    if not entries:
        return None
    before = Line(line[:begin])
    stage = next((stage for word in re.findall(r"[A-Za-z]+", line[:begin])[-3:] if (stage := stage_of(word))), "")
    reading = of_entries(entries, stage)
    if reading is None or not before.placed or reading.step is not None or reading.epoch is not None:
        return reading
    return Reading(before.step, before.total, before.epoch, before.epochs, reading.values)


def of_entries(entries: Mapping[str, Any], stage: str = "") -> Reading | None:
    """A record with a position and metrics, by names; None if it has no metric, or is a list of settings."""
    step = next((_whole(entries[name]) for name in _STEPS if name in entries), None)
    if step is None:
        step = next((_whole(value) for name, value in entries.items() if name.endswith("_num_updates")), None)
    total = next((_whole(entries[name]) for name in _TOTALS if name in entries), None)
    epoch = _float(entries.get("epoch"))
    final = "train_runtime" in entries
    values = {
        placed(name, stage) if not (final and name == "train_loss") else name: value
        for name, given in entries.items()
        if (value := _float(given)) is not None and name.lower() not in (*names.IGNORED, "_runtime", "_timestamp")
    }
    values = {name: value for name, value in values.items() if not name.endswith(("_num_updates", "_wall"))}
    if not any(map(names.is_measured, values)) or (step is None and epoch is None and _settings(entries, values)):
        return None
    return Reading(step, total, epoch, None, values, final=final)


def _entries(text: str) -> dict[str, Any]:
    """The entries of an object; those with a number where it is written as Python does."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {match["name"]: match["value"] for match in re.finditer(_ENTRY, text, re.IGNORECASE)}
    return _flat(found) if isinstance(found, dict) else {}


def _flat(entries: Mapping[str, Any]) -> dict[str, Any]:
    """With the entries of objects one level below: `{"step": 5, "metrics": {"loss": 2}}`, `{"train": {"loss": 2}}`."""
    flat: dict[str, Any] = {}
    for name, value in entries.items():
        if isinstance(value, dict):
            before = f"{stage}/" if (stage := stage_of(name)) else ""
            flat |= {f"{before}{inner}": it for inner, it in value.items() if not isinstance(it, dict | list)}
        else:
            flat[name] = value
    return flat


def _settings(entries: Mapping[str, Any], values: Mapping[str, float]) -> bool:
    """Whether a record without a position looks like settings: most of it are no metrics."""
    return 2 * sum(map(names.is_measured, values)) < len(entries) and not any(
        name in values for name in (names.TRAIN, names.VAL)
    )


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return number(value) if isinstance(value, str) and value[:1] in "+-.0123456789nNiI" else None


def _whole(value: Any) -> int | None:
    found = _float(value)
    return int(found) if found is not None and found == found and abs(found) < 1e15 else None
