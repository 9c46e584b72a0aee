"""Measure the steps of a training: losses, skipped steps, speed. Sums stay on the device until they are read."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipelines.shared import devices
from pipelines.shared.distributed import World
from pipelines.shared.metrics import Log
from pipelines.shared.timing import StepTimer


class Meter:
    """Owns the sums since the last row. `skipped`: the steps that a resumed training skipped before."""

    def __init__(
        self, device: torch.device, dtype: torch.dtype, world: World, log: Log, *,
        tokens_per_iter: int, flops_per_token: float, skipped: int,
    ) -> None:  # fmt: skip
        self._device, self._dtype, self._world, self._log = device, dtype, world, log
        self._tokens, self._flops = tokens_per_iter, flops_per_token * tokens_per_iter
        self._loss, self._skipped, self._consecutive = torch.zeros(3, device=device)
        self._skipped += skipped
        self._steps, self._skipped_before = 0, skipped  # since the last row; skipped steps at the last row
        self._timer = StepTimer(device)
        self._peak: devices.Peak | None = None

    def restart(self) -> None:
        """Forget the time so far: something other than steps took it."""
        self._timer.restart()

    def count(self, loss: Tensor, skipped: Tensor) -> None:  # (), () 1.0 where the gradient was not finite
        self._loss += torch.where(skipped > 0, 0.0, loss)
        self._skipped += skipped
        self._consecutive = (self._consecutive + 1) * skipped
        self._steps += 1
        self._timer.mark()

    @property
    def consecutive_skips(self) -> int:
        """Steps skipped one after another up to now. Waits for the device, as `skipped` does."""
        return int(self._consecutive.item())

    @property
    def skipped(self) -> int:
        return int(self._skipped.item())

    def row(self, *, warm: bool) -> tuple[dict[str, float], str]:
        """The numbers since the last row, and a line with them. `warm`: without the first step, which is slow."""
        times, skipped = self._timer.read(), self.skipped
        counted = self._steps - (skipped - self._skipped_before)
        mean_loss = self._world.mean(self._loss) / counted if counted else math.nan
        row = {
            "train/loss": mean_loss, "ms_per_iter": times.mean * 1e3, "ms_per_iter_p50": times.median * 1e3,
            "ms_per_iter_p95": times.p95 * 1e3, "tokens_per_second": self._tokens / times.mean,
            "skipped_steps": skipped, "memory_gib": devices.memory_bytes(self._device) / 2**30,
        }  # fmt: skip
        line = f"loss {mean_loss:.4f}, time {times.mean * 1e3:.2f}ms"
        if warm:
            row["mfu"] = self._flops / times.mean / self._peak_flops() / self._world.size
            line += f", mfu {row['mfu'] * 100:.2f}%"
        self._loss.zero_()
        self._steps, self._skipped_before = 0, skipped
        self._timer.restart()
        return row, line + (f", {skipped} steps skipped" if skipped else "")

    def _peak_flops(self) -> float:
        """Measured when it is first needed, not before the first step."""
        if self._peak is None:
            self._peak = devices.peak_flops(self._device, self._dtype)
            self._log(f"peak for mfu: {self._peak.flops / 1e12:.3g} TFLOP/s ({self._peak.source})")
        return self._peak.flops
