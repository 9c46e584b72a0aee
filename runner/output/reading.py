"""What one line of output says: a position in the training, and measured values. Imported by every supervisor."""

from __future__ import annotations

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final


class Reading:
    """`step` of `total`, `epoch` of `epochs`; None where the line does not say it. `values`: name -> number.

    `in_epoch`: the step and the total are counted from the beginning of the epoch. `bare`: the position is that of a
    progress bar without a name or a metric, which can be the bar of something else than the training. `final`: names
    are kept as they are, since the line sums up the whole training.
    """

    __slots__ = ("bare", "epoch", "epochs", "final", "in_epoch", "step", "total", "values")

    def __init__(
        self,
        step: int | None = None,
        total: int | None = None,
        epoch: float | None = None,
        epochs: int | None = None,
        values: Mapping[str, float] | None = None,
        *,
        in_epoch: bool = False,
        bare: bool = False,
        final: bool = False,
    ) -> None:
        self.step: Final = step
        self.total: Final = total
        self.epoch: Final = epoch
        self.epochs: Final = epochs
        self.values: Final = values or {}
        self.in_epoch: Final = in_epoch
        self.bare: Final = bare
        self.final: Final = final

    def __repr__(self) -> str:
        given = [f"{name}={getattr(self, name)!r}" for name in self.__slots__ if getattr(self, name)]
        return f"Reading({', '.join(given)})"
