"""How a recorded GPU is called in tables and sentences: `2`; a MIG instance `2:0`, as NVIDIA's tools write it. Pure.

Standard library only, for every supervisor.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def label(record: Mapping[str, Any]) -> str:
    """Of an entry of `gpus` in the result of an attempt."""
    part = record.get("part")
    return str(record.get("index", "")) + ("" if part is None else f":{part}")


def labels(records: object) -> tuple[str, ...]:
    """Of `gpus` in a record; empty for what is no list of GPUs."""
    return tuple(label(one) for one in records if isinstance(one, dict)) if isinstance(records, list) else ()
