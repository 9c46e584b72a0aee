"""The last and the best value of each metric, and since when a loss is not finite. Pure."""

from __future__ import annotations

import math

from runner.output import names

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MOST = 500  # names; a program that invents more has its later ones left out


class Measurements:
    """Rows, one after another. `copy` is independent of the original."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self._at: dict[str, int] = {}  # the iteration of each last value
        self._best: dict[str, dict[str, Any]] = {}
        self._not_finite: dict[str, NotFinite] = {}

    def __bool__(self) -> bool:
        return bool(self.last)

    def copy(self) -> Measurements:
        made = Measurements()
        made.last, made._at = dict(self.last), dict(self._at)
        made._best = {name: dict(entry) for name, entry in self._best.items()}
        made._not_finite = {name: found.copy() for name, found in self._not_finite.items()}
        return made

    def add(self, values: Mapping[str, float], iteration: int | None, epoch: float | None) -> None:
        """Take over the values of one position. An earlier position than that of the last value replaces only bests."""
        for name, value in values.items():
            if name not in self.last and len(self.last) >= MOST:
                continue
            if iteration is None or iteration >= self._at.get(name, iteration):
                self.last[name] = value
                if iteration is not None:
                    self._at[name] = iteration
            if math.isfinite(value):
                self._compare(name, value, iteration, epoch)
                if name in self._not_finite:
                    self._not_finite[name].recovered = True
            elif names.is_loss(name):
                self._not_finite.setdefault(name, NotFinite(value)).again(iteration, epoch)

    def best(self) -> dict[str, dict[str, Any]]:
        """Name -> `value`, `iter` (or `epoch` where no iteration is known), `better`."""
        return {name: dict(entry) for name, entry in self._best.items()}

    def warnings(self) -> dict[str, str]:
        """Name of a loss -> a sentence on when it was not finite."""
        return {name: found.sentence(names.shown(name)) for name, found in self._not_finite.items()}

    def _compare(self, name: str, value: float, iteration: int | None, epoch: float | None) -> None:
        direction = names.better(name)
        if direction is None:
            return
        known = self._best.get(name)
        if known is None or (value < known["value"] if direction == "min" else value > known["value"]):
            entry: dict[str, Any] = {"value": value, "iter": iteration, "better": direction}
            self._best[name] = entry if iteration is not None or epoch is None else {**entry, "epoch": epoch}


class NotFinite:
    """When one loss was not finite: the first run of such values, and how many runs there were."""

    def __init__(self, value: float) -> None:
        self._word = "NaN" if math.isnan(value) else "infinite"
        self._first: str | None = None
        self._last: str | None = None
        self._latest: str | None = None
        self._runs = 0
        self.recovered = True  # a finite value came after the latest

    def copy(self) -> NotFinite:
        made = NotFinite(float("nan"))
        made.__dict__.update(self.__dict__)
        return made

    def again(self, iteration: int | None, epoch: float | None) -> None:
        """Another value that is not finite."""
        place = f"iteration {iteration}" if iteration is not None else f"epoch {epoch:g}" if epoch is not None else None
        if self.recovered:
            self._runs += 1
            self.recovered = False
            self._latest = place
        if self._runs == 1:
            self._first = self._first or place
            self._last = place

    def sentence(self, name: str) -> str:
        """`loss is NaN since iteration 40`, or `loss was NaN at iteration 40 to 60` if it recovered."""
        if not self.recovered:
            return f"{name} is {self._word}" + (f" since {self._latest}" if self._latest else "")
        text = f"{name} was {self._word}" + (f" at {self._first}" if self._first else "")
        if self._last and self._last != self._first:
            text += f" to {self._last.rpartition(' ')[2]}"
        return text + (f", and {self._runs - 1} more times until {self._latest}" if self._runs > 1 else "")
