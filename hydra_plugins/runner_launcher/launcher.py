"""The launcher as Hydra sees it, and its options. Decides nothing: `_sweep` runs the jobs."""

# No `from __future__ import annotations`: Hydra executes this before it is in sys.modules, where dataclasses look then.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from hydra_plugins.runner_launcher._sweep import Sweep


@dataclass
class RunnerConf:
    """Options, as `hydra.launcher.workers=2`. Names, meanings and defaults are those of run_experiments.py --help."""

    _target_: str = "hydra_plugins.runner_launcher.launcher.RunnerLauncher"
    # How many jobs run at once; none: 1, or as many as the GPUs have room for.
    workers: int | None = None
    # GPUs of its own for each job: auto, all, none, or a list of numbers or UUIDs; how many; how many jobs share one.
    gpus: Any = ""
    gpus_per_job: int = 1
    jobs_per_gpu: Any = 1  # auto: as many as their measured memory allows
    # MiB that each job needs of its GPU; seconds over which the speed of jobs that share one is measured.
    gpu_memory: int = 0
    gpu_pack_window: float = 60.0
    # Seconds that a job waits for a GPU that others use, and for which one that they used must look free.
    gpu_wait: float | None = None
    gpu_settle: float = 30.0
    # A GPU with less memory in use, in MiB, counts as free; these processes, and those of these users, do not count.
    gpu_free_mb: int = 500
    gpu_ignore_user: list[str] = field(default_factory=list)
    gpu_ignore_pid: list[int] = field(default_factory=list)
    # How a job is told its GPUs: uuid or index; how many jobs may overtake one that waits for more GPUs.
    gpu_ids: str = "uuid"
    gpu_backfill: int = 10
    # Resume the sweep in hydra.sweep.dir: completed jobs are not run again, their return values are read.
    resume: bool = False
    # Start jobs whose config lacks a value (???), which the program gives it, or does without.
    allow_missing: bool = False
    # Seconds after which a job is stopped: since it started, and since its last output.
    timeout: float | None = None
    stall_timeout: float | None = None
    # Start no further job after the first that does not complete, or after so many.
    fail_fast: bool = False
    max_failures: int | None = None
    # The same after so many that fail alike, with no success between; 0: they are not counted.
    max_same_failures: int = 0
    # Try a job again so often, after ends of these kinds (failed, signal, timeout, stalled, error), seconds between.
    retries: int = 0
    retry_on: list[str] = field(default_factory=lambda: ["failed", "signal", "timeout", "stalled"])
    retry_delay: float = 10.0
    # A job whose loss is NaN or infinite in so many rows of its metrics, one after another: stop it, or continue.
    on_nan: str = "stop"
    nan_patience: int = 3
    # Seconds that a job has after SIGINT, after SIGTERM, and for being killed.
    grace: list[float] = field(default_factory=lambda: [10.0, 5.0, 10.0])
    # A job continues when the sweep itself is killed.
    keep_running: bool = False
    # Start jobs as forks of a process that has imported these modules.
    warm: bool = False
    warm_imports: list[str] = field(default_factory=lambda: ["torch"])
    # Which logs get a timestamp a line: all, combined, none.
    log_timestamps: str = "all"
    # Keep the beginning and the end of a log that is longer, half of so many MB each.
    max_log_mb: float | None = None
    # Keys whose values are recorded although they look like secrets.
    not_secret: list[str] = field(default_factory=list)
    # Regular expressions with named groups, for metrics in lines that the runner does not read by itself.
    metric_patterns: list[str] = field(default_factory=list)
    # A file with more rules for why a job fails.
    causes: str = ""
    # Which files or folders of a job are checkpoints, as "**/*.ckpt"; the usual ones where there is none.
    checkpoints: list[str] = field(default_factory=list)


ConfigStore.instance().store(group="hydra/launcher", name="runner", node=RunnerConf, provider="runner")


class RunnerLauncher(Launcher):
    """Runs the jobs of a sweep in processes of their own. The sweeper may launch several batches of them."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._sweep: Sweep | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the sweep's folder; if another sweep has it, `hydra.sweep.dir` of `config` becomes a free one."""
        from hydra_plugins.runner_launcher import _options, _order
        from hydra_plugins.runner_launcher._sweep import Sweep

        _order.refuse_sweep()
        self._config = config
        self._sweep = Sweep(hydra_context, task_function, config, _options.checked(self._options))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch of jobs to its end; a job that fails does not stop the others."""
        assert self._sweep is not None
        setup_globals()
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
        return self._sweep.run(job_overrides, initial_job_idx)
