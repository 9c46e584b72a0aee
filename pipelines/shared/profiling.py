"""A trace of a few steps of a training, by torch's own profiler."""

from __future__ import annotations

from pathlib import Path

from pipelines.shared.metrics import Log

FILE = "profile.json"
WARM, TRACED = 10, 5  # steps: the first ones compile, allocate and tune


class Profile:
    """Call `step` after every step: tracing starts by itself, and the trace is written after enough steps."""

    def __init__(self, out_dir: Path, log: Log) -> None:
        from torch.profiler import profile, schedule

        def write(traced: profile) -> None:
            if (steps := self._steps - WARM) > 0:
                traced.export_chrome_trace(str(out_dir / FILE))
                log(f"the trace of {steps} steps is {out_dir / FILE}; open it in https://ui.perfetto.dev")

        self._steps, self._log = 0, log
        self._profiler = profile(
            schedule=schedule(wait=WARM - 2, warmup=2, active=TRACED, repeat=1),
            on_trace_ready=write,
            record_shapes=True,
        )
        self._profiler.start()

    def step(self) -> None:
        if self._steps < WARM + TRACED:
            self._steps += 1
            self._profiler.step()
            if self._steps == WARM + TRACED:
                self._profiler.stop()

    def finish(self) -> None:
        """At the end of a training: write the trace of fewer steps, or print that there is none."""
        if self._steps < WARM + TRACED:
            self._profiler.stop()
        if self._steps <= WARM:
            self._log(f"no trace of {self._steps} steps: the first {WARM} are skipped; raise max_iters")
