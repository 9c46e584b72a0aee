"""Readings, one after another -> the iteration of the whole training, and how many there will be."""

from __future__ import annotations

from runner.output.grammar import LARGEST

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any

    from runner.output.reading import Reading


class Position:
    """Where the training is. Steps that are counted from 1 again in each epoch are added up; a program without steps is
    followed by its epochs."""

    def __init__(self) -> None:
        self.iteration: int | None = None
        self.total: int | None = None
        self.epoch: float | None = None
        self._epochs: int | None = None
        self._first: int | None = None  # the number of the first epoch: 0 or 1
        self._counted = True  # the epochs are whole, and stand for iterations until a step is known
        self._step: int | None = None  # as it was said last
        self._step_epoch: float | None = None  # the epoch of that step
        self._restarts: bool | None = None  # whether steps are counted from 1 again in each epoch, once that was seen
        self._before = 0  # steps of earlier epochs whose totals are not known
        self._bare: tuple[int, int] | None = None  # step and total of the bar without a name that is followed
        self._measured = False  # metrics came: the bar that is followed is that of the training

    def take(self, reading: Reading) -> None:
        """Move on to where this reading is."""
        if reading.epoch is not None and abs(reading.epoch) < LARGEST:
            self._take_epoch(reading.epoch, reading.epochs)
        if reading.step is not None and 0 <= reading.step < LARGEST and not (reading.bare and self._foreign(reading)):
            said_together = reading.epoch is not None and reading.total is not None and self._restarts is not False
            self._take_step(reading.step, reading.total, in_epoch=reading.in_epoch or said_together)
        self._measured = self._measured or bool(reading.values)

    def entries(self) -> dict[str, Any]:
        """`iter`, `max_iters` and `epoch`, as far as they are known."""
        epoch = int(self.epoch) if self.epoch is not None and self.epoch == int(self.epoch) else self.epoch
        known = {"iter": self.iteration, "max_iters": self.total, "epoch": epoch}
        return {name: value for name, value in known.items() if value is not None}

    def _take_epoch(self, epoch: float, epochs: int | None) -> None:
        self.epoch = epoch
        self._epochs = epochs or self._epochs
        if self._first is None:
            self._first = 0 if epoch < 1 else 1
        if self._step is not None:
            return
        if epoch != int(epoch):  # a fraction: the program counts steps, and does not print them
            self._counted = False
        self.iteration = int(epoch) if self._counted else None
        self.total = self._epochs if self._counted and self._epochs else self.total

    def _take_step(self, step: int, total: int | None, *, in_epoch: bool) -> None:
        if self._step is not None and self.epoch != self._step_epoch:
            if step <= self._step:
                self._restarts = True
                self._before += self._step
            elif self._restarts is None:
                self._restarts = False
        if self._step is None:
            self.total = None  # of epochs
        restarts = (in_epoch or self._restarts) and self.epoch is not None
        if restarts and total:
            self.iteration = max(int(self.epoch or 0) - (self._first or 0), 0) * total + step
            self.total = self._epochs * total if self._epochs else None
        else:
            self.iteration = step + (self._before if restarts else 0)
            self.total = total or self.total
        self._step, self._step_epoch = step, self.epoch

    def _foreign(self, reading: Reading) -> bool:
        """Whether a bar without a name is that of another loop than the training's, such as an evaluation."""
        assert reading.step is not None
        if self._bare is None:
            foreign = self._measured and self._step is not None
        else:
            step, total = self._bare
            foreign = reading.total != total and (self._measured or step < total)
        if not foreign:
            self._bare = (reading.step, reading.total or 0)
        return foreign
