"""What a job used of the machine: totals over the rows of resources.jsonl. Pure."""

from __future__ import annotations

from itertools import pairwise

from runner.core.fields import is_number

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    Rows = Sequence[Mapping[str, Any]]

EXACT = 3  # looks at the memory without counting shared pages twice
COUNTER, POWER, SHARED = "counter", "power", "shared"  # where joules come from


def seen(rows: Rows) -> dict[str, float | int | str]:
    """The totals that follow from the rows."""
    found: dict[str, float | int | str] = {}
    exact, known = ([row[how] for row in rows if how in row] for how in ("pss", "rss"))
    if exact and (len(exact) >= EXACT or not known):  # of a short job only its beginning was looked at exactly
        found |= {"max_memory": max(exact), "memory_how": "pss"}
    elif known:
        found |= {"max_memory": max(known), "memory_how": "rss"}
    for key in ("swap", "read_bytes", "write_bytes", "processes"):
        if known := [row[key] for row in rows if key in row]:
            found[f"max_{key}" if key in ("swap", "processes") else key] = max(known)
    gpus = by_gpu(rows)
    looks = [entry for entries in gpus.values() for entry in entries]
    busy = [entry["utilization"] for entry in looks if is_number(entry.get("utilization"))]
    memory = [entry["memory"] for entry in looks if is_number(entry.get("memory"))]
    used = [one for entries in gpus.values() if (one := energy(entries)) is not None]
    if busy:
        found["gpu_utilization_percent"] = round(sum(busy) / len(busy), 1)
    if memory:
        found["max_gpu_memory_bytes"] = max(memory)
    if used:
        shared = any("others" in entry for entry in looks)
        how = SHARED if shared else POWER if any(one.how == POWER for one in used) else COUNTER
        found |= {"energy_joules": round(sum(one.joules for one in used)), "energy_how": how}
    counts = [row["cpu_energy_j"] for row in rows if "cpu_energy_j" in row]
    if len(counts) > 1:
        found["cpu_energy_joules"] = round(sum(max(after - before, 0) for before, after in pairwise(counts)))
    return found


def by_gpu(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """UUID -> its entries, in order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        gpus = row.get("gpus")
        for entry in gpus if isinstance(gpus, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("uuid"), str):
                found.setdefault(entry["uuid"], []).append({**entry, "elapsed": row.get("elapsed")})
    return found


class Energy:
    """`how` says where the joules come from."""

    __slots__ = ("how", "joules")

    def __init__(self, joules: float, how: str) -> None:
        self.joules: Final = joules
        self.how: Final = how


def energy(entries: Sequence[Mapping[str, Any]]) -> Energy | None:
    """Joules between the first and the last look, by the counter of the GPU; one that fell was set to zero.

    Of a GPU without a counter (before Volta) it is the sum of its power over the time, which is an estimate.
    """
    counts = [entry["energy_mj"] for entry in entries if is_number(entry.get("energy_mj"))]
    if len(counts) > 1:
        return Energy(sum(max(after - before, 0) for before, after in pairwise(counts)) / 1000, COUNTER)
    known: list[tuple[Any, Any]] = [(entry["elapsed"], entry.get("power_mw")) for entry in entries]
    points = [(at, power) for at, power in known if is_number(at) and is_number(power)]
    if counts or len(points) < 2:
        return None
    areas = ((later - at) * (power + power_later) / 2 for (at, power), (later, power_later) in pairwise(points))
    return Energy(sum(areas) / 1000, POWER)
