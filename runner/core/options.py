"""How a batch is run: times, retries, limits, where and how many at once. Values only; nothing here decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType
from typing import Any, Self

from runner.core.fields import Fields

#: What --retry-on calls the ways to end -> the status in a result.
RETRY_CAUSES = {"failed": "failed", "signal": "killed", "timeout": "timeout", "stalled": "stalled", "error": "error"}
OOM_KEYS = ("batch_size", "gradient_accumulation_steps")
STOP, CONTINUE = ON_NAN = ("stop", "continue")
LOG_TIMESTAMPS = ("all", "combined", "none")
GPU_IDS = ("uuid", "index")
#: What is asked of Slurm for a job, by the names of Slurm's own options.
OF_SLURM = (
    "slurm_partition", "slurm_time", "slurm_gres", "slurm_gpus_per_node", "slurm_cpus_per_task", "slurm_mem",
    "slurm_account", "slurm_qos", "slurm_constraint", "slurm_exclude", "slurm_nodes", "slurm_ntasks_per_node",
)  # fmt: skip
SWITCH = ("on", "off")
#: Options of the runner that a config may have as keys of its own. They are no settings of its script.
OF_A_JOB = ("gpus_per_job", *OF_SLURM)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How every job of a batch is run, and when the batch gives up. Times in seconds; None means no limit.

    plan.json keeps all of it, so a resumed batch runs as it began unless an option is given again.
    """

    timeout: float | None = None
    stall_timeout: float | None = None
    fail_fast: bool = False
    max_failures: int | None = None
    max_same_failures: int = 3  # that are alike, after which no further job is started; 0: they are not counted
    retries: int = 0
    retry_on: tuple[str, ...] = ("failed", "signal", "timeout", "stalled")
    retry_delay: float = 10.0
    oom_retry: int = 0  # tries with a smaller micro-batch, after the memory of a GPU ran out
    oom_keys: tuple[str, ...] = OOM_KEYS  # of the samples in a micro-batch, and of the micro-batches in a step
    on_nan: str = STOP  # what happens to a job whose loss is not finite any more
    nan_patience: int = 3  # rows of metrics, one after another, in which it must not be finite
    grace: tuple[float, float, float] = (10.0, 5.0, 10.0)  # after SIGINT, after SIGTERM, and to kill the whole tree
    config_timeout: float = 10.0  # to evaluate one config that has to be executed
    keep_running: bool = False  # a job continues when the engine is gone
    warm: bool = False  # jobs are forks of a process that has imported these modules
    warm_imports: tuple[str, ...] = ("torch",)
    log_timestamps: str = "all"
    max_log_mb: float | None = None  # of each log of a job: its beginning and its end are kept
    checkpoints: tuple[str, ...] = ()  # patterns of what counts as one, below a job's folder; none: the usual ones
    metric_patterns: tuple[str, ...] = ()  # regular expressions that read metrics in lines of output
    causes: str = ""  # a file with more rules for why a job fails
    max_workers: int = 1
    executor: str = "local"
    gpus: str = ""  # the UUIDs of those that the batch may use, with commas; empty: every job sees all
    gpus_per_job: int = 1  # 0: a job gets none
    jobs_per_gpu: int = 1  # 0: as many as their memory allows
    gpu_memory: int = 0  # MiB that each job needs of each of its GPUs; 0: it is measured, where that counts
    gpu_pack_window: float = 60.0  # seconds over which the speed of jobs that share a GPU is measured
    gpu_wait: float | None = None  # for a free GPU; 0: what finds none stays pending
    gpu_free_mb: int = 500  # memory in use, in MiB, up to which a GPU counts as free
    gpu_settle: float = 30.0  # for which a GPU that others used must look free
    gpu_ignore_user: tuple[str, ...] = ()  # whose processes on a GPU do not count
    gpu_ignore_pid: tuple[int, ...] = ()
    gpu_ids: str = "uuid"  # how a job is told its GPUs
    gpu_backfill: int = 10  # jobs that may overtake one that waits for more GPUs
    slurm_partition: str = ""
    slurm_time: str = ""  # as Slurm writes it
    slurm_gres: str = ""
    slurm_gpus_per_node: str = ""
    slurm_cpus_per_task: int = 0  # 0: what the cluster gives
    slurm_mem: str = ""
    slurm_account: str = ""
    slurm_qos: str = ""
    slurm_constraint: str = ""
    slurm_exclude: str = ""  # nodes
    slurm_nodes: int = 0
    slurm_ntasks_per_node: int = 0
    slurm_array_parallelism: int = 0  # tasks of an array that run at once; 0: no limit
    slurm_setup: tuple[str, ...] = ()  # lines of the script before the job
    slurm_extra: tuple[str, ...] = ()  # more options of sbatch
    slurm_export: tuple[str, ...] = ()  # names of variables that the jobs get
    slurm_max_submit: int = 1000  # jobs that wait or run at once
    slurm_max_requeues: int = 20
    slurm_pilots: int = 0  # allocations that run the jobs one after another; 0: each job has one of its own
    slurm_snapshot: str = "on"  # jobs run the code as it was when they were submitted
    slurm_summary: str = "off"  # after --detach, a job after all others writes the summary
    observers: tuple[str, ...] = ()  # beside the ones that every batch has
    notify: tuple[str, ...] = ()  # names of channels that get messages; their settings are kept nowhere
    report: bool = False  # write report.html at the end
    not_secret: tuple[str, ...] = ()  # names whose values are recorded although they look like secrets

    @property
    def failure_limit(self) -> int | None:
        """The number of failed jobs after which no further job is started."""
        return 1 if self.fail_fast else self.max_failures

    @property
    def retry_statuses(self) -> frozenset[str]:
        """The statuses after which a job is tried again."""
        return frozenset(RETRY_CAUSES[cause] for cause in self.retry_on)

    def to_json(self) -> dict[str, Any]:
        """All options as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The options of a record: a missing one has its default, an unknown one is left out.

        Raises ValueError for a record that is odd.
        """
        entries, default = Fields(record, "options."), cls()
        given = {name: _READ[type(getattr(default, name))](entries, name) for name in NAMES if name in entries}
        for name, least in _LEAST.items():
            if name in given and not given[name] >= least:
                raise entries.odd(name, f"a number from {least} on")
        if len(given.get("grace", default.grace)) != 3:
            raise entries.odd("grace", "a list of three numbers")
        if given.get("log_timestamps", default.log_timestamps) not in LOG_TIMESTAMPS:
            raise entries.odd("log_timestamps", "one of " + ", ".join(LOG_TIMESTAMPS))
        if given.get("gpu_ids", default.gpu_ids) not in GPU_IDS:
            raise entries.odd("gpu_ids", "one of " + ", ".join(GPU_IDS))
        if len(given.get("oom_keys", OOM_KEYS)) != 2:
            raise entries.odd("oom_keys", "a list of two words")
        for name in ("slurm_snapshot", "slurm_summary"):
            if given.get(name, "on") not in SWITCH:
                raise entries.odd(name, "one of " + ", ".join(SWITCH))
        if given.get("on_nan", STOP) not in ON_NAN:
            raise entries.odd("on_nan", "one of " + ", ".join(ON_NAN))
        if not RETRY_CAUSES.keys() >= set(given.get("retry_on", ())):
            raise entries.odd("retry_on", "a list of " + ", ".join(RETRY_CAUSES))
        return default.updated(given)

    def updated(self, given: Mapping[str, Any]) -> Self:
        """The same options with those that are given. A limit of failures replaces an earlier --fail-fast."""
        values: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in given.items()}
        if "not_secret" in values:  # what was declared once stays declared
            values["not_secret"] = tuple(dict.fromkeys((*self.not_secret, *values["not_secret"])))
        if values.get("max_failures") is not None:
            values.setdefault("fail_fast", False)
        return replace(self, **values)


#: The names of the options, as the command line and plan.json have them.
NAMES = tuple(field.name for field in fields(RunOptions))
_LEAST = {"timeout": 0, "stall_timeout": 0, "max_failures": 1, "max_same_failures": 0, "retries": 0, "retry_delay": 0,
          "nan_patience": 1, "config_timeout": 0, "max_workers": 1, "gpus_per_job": 0, "jobs_per_gpu": 0, "gpu_wait": 0,
          "gpu_free_mb": 0, "gpu_settle": 0, "gpu_backfill": 0, "max_log_mb": 1, "gpu_memory": 0,
          "gpu_pack_window": 0, "oom_retry": 0, "slurm_cpus_per_task": 0, "slurm_nodes": 0, "slurm_ntasks_per_node": 0,
          "slurm_array_parallelism": 0, "slurm_max_submit": 1, "slurm_max_requeues": 0, "slurm_pilots": 0}  # fmt: skip
_NUMBERS = ("grace", "gpu_ignore_pid")  # lists of numbers; the others hold words


def _tuple(entries: Fields, name: str) -> tuple[Any, ...]:
    """The numbers or the words of a list."""
    found: tuple[Any, ...] = entries.numbers(name) if name in _NUMBERS else entries.words(name)
    return found


#: The type of an option's default -> how it is read; those without a limit have None, and are numbers.
_READ: Mapping[type, Callable[[Fields, str], Any]] = {
    NoneType: Fields.number, float: Fields.number, int: Fields.whole, bool: Fields.flag, str: Fields.text,
    tuple: _tuple,
}  # fmt: skip
