"""The launcher's options, checked, as the engine takes them. Knows nothing of jobs."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra_plugins.runner_launcher._errors import LaunchError
from runner.cli.option_types import cause_rules, checkpoints, metric_pattern, module_names
from runner.core.options import GPU_IDS, LOG_TIMESTAMPS, NAMES, ON_NAN, RETRY_CAUSES, RunOptions
from runner.gpus.leases import BY_MEMORY


@dataclass(frozen=True, slots=True)
class Options:
    """`run` are those that plan.json keeps, so that `run_experiments.py --resume` runs the jobs in the same way."""

    resume: bool
    allow_missing: bool
    workers_given: bool
    run: RunOptions


def checked(given: Mapping[str, Any]) -> Options:
    """Raises LaunchError with a sentence for each invalid option."""
    values: dict[str, Any] = {**given, "retry_on": list(given["retry_on"]), "grace": list(given["grace"])}
    lists = ("not_secret", "metric_patterns", "checkpoints", "gpu_ignore_user", "gpu_ignore_pid", "warm_imports")
    values |= {name: list(given[name]) for name in lists}
    gpus = given["gpus"]
    if given["jobs_per_gpu"] == "auto" or (given["gpu_memory"] and given["jobs_per_gpu"] == 1):
        values["jobs_per_gpu"] = BY_MEMORY
    values["gpus"] = ",".join(map(str, gpus)) if isinstance(gpus, Sequence) and not isinstance(gpus, str) else str(gpus)
    if problems := [f"hydra.launcher.{problem}" for problem in _problems(values)]:
        raise LaunchError(*problems)
    values["causes"] = values["causes"] and cause_rules(values["causes"])
    values["max_workers"] = values["workers"] or 1  # as run_experiments.py calls it
    run = RunOptions().updated({name: values[name] for name in NAMES if name in values})
    return Options(values["resume"], values["allow_missing"], values["workers"] is not None, run)


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    for name in ("timeout", "stall_timeout", "retry_delay", "gpu_pack_window"):
        if values[name] is not None and not 0 < values[name] < float("inf"):
            yield f"{name}={values[name]}: is not a number of seconds above 0"
    if not isinstance(values["jobs_per_gpu"], int):
        yield f"jobs_per_gpu={values['jobs_per_gpu']}: is not a whole number above 0, or auto"
        values = {**values, "jobs_per_gpu": 1}
    least_values = {"workers": 1, "max_failures": 1, "retries": 0, "gpus_per_job": 0, "jobs_per_gpu": 0}
    least_values |= {"nan_patience": 1, "max_same_failures": 0, "max_log_mb": 1, "gpu_memory": 0}
    for name, least in (least_values | {"gpu_backfill": 0, "gpu_free_mb": 0, "gpu_wait": 0, "gpu_settle": 0}).items():
        if values[name] is not None and values[name] < least:
            yield f"{name}={values[name]}: is too small; {least} is the least"
    if len(values["grace"]) != 3 or not all(0 <= seconds < float("inf") for seconds in values["grace"]):
        yield f"grace={values['grace']}: is not three numbers of seconds, such as [10,5,10]"
    if not values["retry_on"] or set(values["retry_on"]) - RETRY_CAUSES.keys():
        yield f"retry_on={values['retry_on']}: must name causes of {', '.join(RETRY_CAUSES)}"
    rules = [values["causes"]] if values["causes"] else []
    checks = (("metric_patterns", metric_pattern), ("checkpoints", checkpoints), ("causes", cause_rules),
              ("warm_imports", module_names))  # fmt: skip
    for name, check in checks:
        for text in rules if name == "causes" else values[name]:
            try:
                check(text)
            except ArgumentTypeError as error:
                yield f"{name}: {error}"
    if values["on_nan"] not in ON_NAN:
        yield f"on_nan={values['on_nan']}: is none of {', '.join(ON_NAN)}"
    if values["log_timestamps"] not in LOG_TIMESTAMPS:
        yield f"log_timestamps={values['log_timestamps']}: is none of {', '.join(LOG_TIMESTAMPS)}"
    if values["gpu_ids"] not in GPU_IDS:
        yield f"gpu_ids={values['gpu_ids']}: is none of {', '.join(GPU_IDS)}"
