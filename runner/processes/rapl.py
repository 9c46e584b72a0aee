"""The energy of the processors, which Intel's and AMD's count themselves (RAPL). Mostly only root may read it."""

from __future__ import annotations

import re
from pathlib import Path

ZONES = Path("/sys/class/powercap")
_PACKAGE = re.compile(r"intel-rapl:\d+")  # a whole processor; its parts, as intel-rapl:0:1, are counted in it


class Meter:
    """Joules of all processors of the machine since this was made. Ask it at least every ten minutes: counters are
    set to zero when they are full."""

    def __init__(self, zones: Path = ZONES) -> None:
        self._joules = 0.0
        self._before: dict[Path, tuple[int, int]] = {}  # zone -> its counter, and where that begins again
        for zone in sorted(zones.glob("intel-rapl:*")):
            try:
                if _PACKAGE.fullmatch(zone.name):
                    self._before[zone] = _read(zone / "energy_uj"), _read(zone / "max_energy_range_uj")
            except (OSError, ValueError):  # not for us to read
                continue

    def joules(self) -> float | None:
        """None where it cannot be read."""
        for zone, (before, end) in list(self._before.items()):
            try:
                now = _read(zone / "energy_uj")
            except (OSError, ValueError):
                del self._before[zone]
                continue
            self._joules += (now - before if now >= before else now + end - before) / 1e6
            self._before[zone] = now, end
        return self._joules if self._before else None


def _read(path: Path) -> int:
    return int(path.read_text())
