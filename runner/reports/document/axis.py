"""The axes of a chart: which range, whether logarithmic, which ticks. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOGARITHMIC = 100.0  # from this ratio of the highest to the lowest value on
TICKS = 5
LARGEST = 1e300  # up to which values are drawn in their place, so that their differences are numbers


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, drawn from `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where a value is drawn."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        value = min(max(value, self.low), self.high)
        return self.begin + (self._scaled(value) - low) / ((high - low) or 1.0) * (self.end - self.begin)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.is_log else value

    def ticks(self) -> list[float]:
        """Round values, at most about TICKS of them."""
        if not self.is_log:
            return _linear(self.low, self.high)
        begin, end = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = max(math.ceil((end - begin) / TICKS), 1)
        found = [10.0**power for power in range(begin, end + 1, every)]
        return [value for value in found if self.low <= value <= self.high] or [self.low, self.high]


def of_values(values: Sequence[float], begin: float, end: float) -> Axis:
    """The axis of measured values; a logarithmic one if they differ by orders of magnitude."""
    low, high = max(min(values), -LARGEST), min(max(values), LARGEST)
    if low > 0 and high / low >= LOGARITHMIC:
        return Axis(low, high, begin, end, is_log=True)
    if low == high:
        around = abs(low) / 2 or 1.0
        return Axis(low - around, high + around, begin, end)
    room = (high - low) * 0.04
    return Axis(low - room, high + room, begin, end)


def of_positions(values: Sequence[float], begin: float, end: float) -> Axis:
    """The axis of steps."""
    low, high = max(min(values), -LARGEST), min(max(values), LARGEST)
    return Axis(low, high if high > low else low + 1, begin, end)


def _linear(low: float, high: float) -> list[float]:
    rough = (high - low) / TICKS
    if not math.isfinite(rough) or rough <= 0:
        return [low, high]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step + 0.0 for number in range(first, first + 3 * TICKS) if number * step <= high + step * 1e-9]


def label(value: float) -> str:
    """A tick as text: `0.5`, `2,000`, `20k`, `1e-05`."""
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if size >= 10_000 and value % 1000 == 0:
        return f"{value / 1000:.0f}k"
    return f"{value:,.6g}" if size >= 1000 else f"{value:.6g}"
