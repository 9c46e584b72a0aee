"""Every file name of a batch and of a job, once. Knows no contents."""

import os

RESULT = "experiment_result.json"
METADATA = "experiment_metadata.json"
ERROR_DETAILS = "error_details.txt"
METRICS = "metrics.jsonl"
PARSED_METRICS = "parsed_metrics.jsonl"  # what the supervisor understood of the output, of a job without the above
STDOUT, STDERR, COMBINED = "stdout.log", "stderr.log", "combined.log"
LOGS = (STDOUT, STDERR, COMBINED)
PART = ".part_"  # after the name of a log that has a limit: its end, in files part_1, part_2, …
WITNESS = "witness.txt"  # what the processes of a job did when it was stopped for a limit
JOB_ERROR = "error.json"  # written by the job itself, if it wants to explain its failure
JOB_REPORT = "job.json"  # written by the job itself, if its outputs are in another folder
SUPERVISOR = "supervisor.json"  # which processes run the job, and on which host
GPU_USE = "gpu_use.json"  # what the engine saw of a job's use of its GPUs, until the result has it
RESOURCES = "resources.jsonl"  # what the job used of the machine, again and again
ATTEMPT = "attempt_"  # folders of earlier attempts: attempt_1, attempt_2, …
RUNNER_OWNED = (
    *LOGS, RESULT, METADATA, ERROR_DETAILS, SUPERVISOR, JOB_ERROR, JOB_REPORT, PARSED_METRICS, GPU_USE, RESOURCES,
    WITNESS,
)  # fmt: skip
RESOLVED = "config_resolved.yaml"  # every setting of the job: its config with what that builds on, defaults, overrides
LATEST = "latest"  # in the base folder: a link to the latest batch
CONFIGS = "configs"  # in a sweep's folder: the resolved config of each run, run_000.yaml, …
SPEC = "spec.yaml"  # in a sweep's folder: the spec as it was read
SUMMARY = "experiment_summary.json"  # in a batch's folder: view over its jobs
EXPERIMENT = "experiment.json"  # in a sweep's folder: view over its runs
BACKGROUND_RUNS = "background_runs"  # in the folder where a sweep was started: a folder for each that was detached
NOHUP_LOG, RUN_RECORD = "nohup.log", "run.json"  # in such a folder: a link to its runner.log, and who runs it
REQUESTS = "requests"  # in a batch's folder: requests to its runner
DONE, WAITING = "done.json", "waiting.json"  # in that one: what was done by request; for what jobs wait
LABELS = "labels.json"  # in a batch's folder: the note and the tags that its user gave to it
NOTICES = "notices.json"  # in a batch's folder: what its notifications reported
SLURM = "slurm"  # in a batch's folder: what was submitted to Slurm, and which of its jobs runs which of ours
REPORT = "report.html"  # in a batch's folder: the report on it
SEARCH, BEST = "search.json", "best"  # in the folder of a search: view over its trials; a link to the best one
RUNGS = "rungs.jsonl"  # in the folder of a search: which trials were pruned or promoted, and from what
TRIAL = "trial.json"  # in the folder of a trial: what was suggested, and from what
END = "ended.json"  # in a batch's folder: the exit code of its last run
PLAN = "plan.json"  # in a batch's folder: its jobs and its run options
MASTER_LOG = "master_log.txt"  # in a batch's folder: its progress
RUNNER_LOG = "runner.log"  # in a batch's folder: the output of a runner without a terminal
LOCK = ".lock"  # in a batch's folder: held by its runner
RUN_METADATA, RUN_METRICS = "metadata.json", "metrics/metrics.json"  # written by a run of a tree of configs itself
MULTIRUN = "multirun.yaml"  # in the folder of a sweep of Hydra's
RETURN_VALUE = "return_value.pkl"  # in such a job's folder: what its function returned
HYDRA, HYDRA_CONFIG, SUMMARY_CSV = ".hydra", "config.yaml", "metrics_summary.csv"  # in the folder of a job of Hydra's
PICKLE, META = "result.pkl", "meta.json"  # in the folder of a config of the library: what it returned, and about it
OWN = ".runner"  # in the library's output folder: locks/, and aside/ for results that are being computed again
LIST_CACHE = ".list_cache.json"  # in the base folder: what `list` shows of batches that have ended
INDUCTOR_CACHE = ".inductor_cache"  # in the base folder: what torch.compile may use again


def is_log(name: str) -> bool:
    """Whether it is the name of a job's log, or of a part of one."""
    log, found, number = name.partition(PART)
    return log in LOGS and (not found or number.isdecimal())


class JobPaths:
    """The files in the folder of one job."""

    __slots__ = ("folder",)

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)

    def __getitem__(self, name: str) -> str:
        return os.path.join(self.folder, name)

    @property
    def result(self) -> str:
        return self[RESULT]

    @property
    def metadata(self) -> str:
        return self[METADATA]

    @property
    def supervisor(self) -> str:
        return self[SUPERVISOR]

    @property
    def error_details(self) -> str:
        return self[ERROR_DETAILS]

    @property
    def metrics(self) -> str:
        return self[METRICS]

    @property
    def parsed_metrics(self) -> str:
        return self[PARSED_METRICS]

    @property
    def stdout(self) -> str:
        return self[STDOUT]

    @property
    def stderr(self) -> str:
        return self[STDERR]

    @property
    def combined(self) -> str:
        return self[COMBINED]


class BatchPaths:
    """The files in the folder of one batch."""

    __slots__ = ("folder",)

    #: A job must not have one of these names: its folder would be where the file belongs.
    RESERVED = frozenset({MASTER_LOG, PLAN, SUMMARY, RUNNER_LOG, REQUESTS, END, LABELS, NOTICES, REPORT, SLURM})

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)

    @property
    def master_log(self) -> str:
        return os.path.join(self.folder, MASTER_LOG)

    @property
    def plan(self) -> str:
        return os.path.join(self.folder, PLAN)

    @property
    def summary(self) -> str:
        return os.path.join(self.folder, SUMMARY)

    @property
    def experiment(self) -> str:
        return os.path.join(self.folder, EXPERIMENT)

    @property
    def labels(self) -> str:
        return os.path.join(self.folder, LABELS)

    @property
    def notices(self) -> str:
        return os.path.join(self.folder, NOTICES)

    @property
    def end(self) -> str:
        return os.path.join(self.folder, END)

    def slurm_log(self, slurm_id: str) -> str:
        """What a task of Slurm's printed before and after its job."""
        return os.path.join(self.folder, SLURM, f"{slurm_id}.log")

    @property
    def lock(self) -> str:
        return os.path.join(self.folder, LOCK)

    @property
    def runner_log(self) -> str:
        return os.path.join(self.folder, RUNNER_LOG)
