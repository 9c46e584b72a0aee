"""The numbers of an evaluation whose losses are known by window or by pass, under the names that all objectives use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from pipelines.diffusion.evaluation.pieces import LOG_SECONDS
from pipelines.shared.metrics import Log, at_most_every

Windows = TypeVar("Windows")
Measured = tuple[Tensor, Tensor] | None  # of each window nats per token and accuracy, (N,) float64; None when stopped


@dataclass(frozen=True, slots=True)
class WindowLoss:
    """Of the windows of an evaluation on the way."""

    losses: list[float]  # nats per token of each window
    accuracy: float
    train_loss: float
    characters_per_token: float = 1.0  # of the validation text

    @property
    def val_loss(self) -> float:
        return math.fsum(self.losses) / len(self.losses)

    @property
    def standard_error(self) -> float:
        """Of val_loss as an estimate for the full validation text."""
        return standard_error(self.losses)

    @property
    def bits_per_character(self) -> float:
        return self.val_loss / math.log(2) / self.characters_per_token

    @property
    def stage_losses(self) -> list[float]:
        return []

    def summary(self) -> str:
        return f"val {self.bits_per_character:.3f} bits per character; accuracy {self.accuracy:.3f}"

    def row(self) -> dict[str, float]:
        """The numbers under the names that metrics.jsonl and wandb show."""
        return {
            "val/loss": self.val_loss,
            "val/loss_stderr": self.standard_error,
            "val/bpc": self.bits_per_character,
            "val/accuracy": self.accuracy,
            "train/eval_loss": self.train_loss,
        }


@dataclass(frozen=True, slots=True)
class PassLoss:
    """Of every window of the validation text, by one pass that is exact, or by several with masks that are drawn."""

    passes: list[float]  # nats per token
    accuracy: float
    what: str  # was evaluated
    characters_per_token: float = 1.0

    @property
    def loss(self) -> float:
        return math.fsum(self.passes) / len(self.passes)

    @property
    def standard_error(self) -> float:
        """The effect of other masks; 0 for an exact loss."""
        return standard_error(self.passes) if len(self.passes) > 1 else 0.0

    @property
    def bits_per_character(self) -> float:
        return self.loss / math.log(2) / self.characters_per_token

    def summary(self) -> str:
        several = len(self.passes) > 1
        loss = f"{self.loss:.4f} ± {self.standard_error:.4f}" if several else f"{self.loss:.4f}"
        how = f"{self.what}, {len(self.passes)} mask ratios each" if several else f"exact; {self.what}"
        return f"val loss {loss}, {self.bits_per_character:.3f} bits per character ({how})"

    def row(self) -> dict[str, float]:
        return {
            "final/loss": self.loss,
            "final/loss_stderr": self.standard_error,
            "final/bpc": self.bits_per_character,
            "final/accuracy": self.accuracy,
        }


def of_windows(
    measure: Callable[[Windows], Measured], val: Windows, train: Windows, characters_per_token: float
) -> WindowLoss | None:
    """None when `measure` was stopped."""
    of_val = measure(val)
    of_train = of_val and measure(train)
    if of_val is None or of_train is None:
        return None
    losses, right = of_val
    return WindowLoss(losses.tolist(), right.mean().item(), of_train[0].mean().item(), characters_per_token)


def of_passes(
    measure: Callable[[int], tuple[float, float] | None], passes: int, what: str, characters_per_token: float, log: Log
) -> PassLoss | None:
    """`measure` returns the loss and the accuracy of one pass; None when it was stopped."""
    found, progress = [], at_most_every(LOG_SECONDS, log)
    for number in range(passes):
        one = measure(number)
        if one is None:
            return None
        found.append(one)
        progress(f"full validation text: {number + 1} of {passes} passes")
    losses, accuracies = zip(*found, strict=True)
    return PassLoss(list(losses), float(np.mean(accuracies)), what, characters_per_token)


def per_token(
    measure: Callable[[Tensor], Measured], pieces: Iterable[tuple[Tensor, int]], tokens: int
) -> tuple[float, float] | None:
    """Loss and accuracy over `tokens` tokens. A piece: windows (N, T), and the tokens that each of them counts for."""
    loss = right = 0.0
    for ids, tokens_each in pieces:
        found = measure(ids)
        if found is None:
            return None
        loss += found[0].sum().item() * tokens_each
        right += found[1].sum().item() * tokens_each
    return loss / tokens, right / tokens


def standard_error(values: list[float]) -> float:
    """Of their mean; NaN for a single one."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def windows_and_rest(windows: int, rest: int) -> str:
    return f"all {windows} windows of the validation text" + (f" and its last {rest} tokens" if rest else "")
