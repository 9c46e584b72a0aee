"""What a training tells of its steps: losses, skipped steps, speed. Adds up on the device, and waits for it only when
it is asked."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipelines.shared import devices
from pipelines.shared.distributed import Processes
from pipelines.shared.metrics import Tell
from pipelines.shared.timing import Stopwatch


class Meter:
    """Owns the sums since the last row. `skipped` is how many steps a resumed training had skipped before."""

    def __init__(
        self, device: torch.device, dtype: torch.dtype, all_of_us: Processes, tell: Tell, *,
        tokens_per_iter: int, flops_per_token: float, skipped: int,
    ) -> None:  # fmt: skip
        self._device, self._dtype, self._all_of_us, self._tell = device, dtype, all_of_us, tell
        self._tokens, self._flops = tokens_per_iter, flops_per_token * tokens_per_iter
        self._loss, self._skipped, self._in_a_row = torch.zeros(3, device=device)
        self._skipped += skipped
        self._steps, self._told = 0, skipped  # since the last row; skipped steps at the last row
        self._watch = Stopwatch(device)
        self._peak: devices.Peak | None = None

    def restart(self) -> None:
        """Something else than steps took time."""
        self._watch.restart()

    def count(self, loss: Tensor, skipped: Tensor) -> None:  # (), () 1.0 where the gradient was not finite
        self._loss += torch.where(skipped > 0, 0.0, loss)
        self._skipped += skipped
        self._in_a_row = (self._in_a_row + 1) * skipped
        self._steps += 1
        self._watch.press()

    @property
    def in_a_row(self) -> int:
        """Steps skipped, one after the other, up to now. Waits for the device, as `skipped` does."""
        return int(self._in_a_row.item())

    @property
    def skipped(self) -> int:
        return int(self._skipped.item())

    def row(self, *, warm: bool) -> tuple[dict[str, float], str]:
        """The numbers since the last row, and a line that says them. `warm`: fast enough to be measured by its peak."""
        pace, skipped = self._watch.look(), self.skipped
        counted = self._steps - (skipped - self._told)
        mean_loss = self._all_of_us.mean(self._loss) / counted if counted else math.nan
        row = {
            "train/loss": mean_loss, "ms_per_iter": pace.mean * 1e3, "ms_per_iter_p50": pace.median * 1e3,
            "ms_per_iter_p95": pace.p95 * 1e3, "tokens_per_second": self._tokens / pace.mean, "skipped_steps": skipped,
            "memory_gib": devices.memory_bytes(self._device) / 2**30,
        }  # fmt: skip
        line = f"loss {mean_loss:.4f}, time {pace.mean * 1e3:.2f}ms"
        if warm:
            row["mfu"] = self._flops / pace.mean / self._peak_flops() / self._all_of_us.count
            line += f", mfu {row['mfu'] * 100:.2f}%"
        self._loss.zero_()
        self._steps, self._told = 0, skipped
        self._watch.restart()
        return row, line + (f", {skipped} steps skipped" if skipped else "")

    def _peak_flops(self) -> float:
        """Measured when it is first needed, not while the first step is waited for."""
        if self._peak is None:
            self._peak = devices.peak_flops(self._device, self._dtype)
            self._tell(f"peak for mfu: {self._peak.flops / 1e12:.3g} TFLOP/s ({self._peak.source})")
        return self._peak.flops
