"""Which jobs need the same memory: those of one script whose settings differ in nothing that changes a size. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.core.canonical import fingerprint
from runner.core.job import Job

#: Settings that change no size. Any other setting makes another kind, so a name that is missing here costs one
#: measurement, and no job its memory. docs/gpus.md shows this list.
CHANGE_NO_SIZE = frozenset(
    {
        "seed", "random_seed", "data_seed",
        "lr", "learning_rate", "min_lr", "max_lr", "base_lr", "decay_lr", "lr_decay_iters", "lr_decay_steps",
        "warmup", "warmup_iters", "warmup_steps", "warmup_ratio", "weight_decay", "beta1", "beta2", "eps", "grad_clip",
        "label_smoothing", "max_iters", "max_steps", "num_steps", "iterations", "epochs", "num_epochs", "max_epochs",
        "eval_interval", "log_interval", "save_interval", "checkpoint_interval",
        "out_dir", "output_dir", "log_dir", "logging_dir", "save_dir", "checkpoint_dir", "run_dir",
        "name", "run_name", "exp_name", "experiment_name", "project", "tag", "tags", "notes", "comment",
        "wandb", "wandb_log", "wandb_project", "wandb_run_name", "wandb_name",
        "gpus_per_job",
    }
)  # fmt: skip


def kind_of(job: Job) -> str:
    """A digest that jobs of one kind have in common."""
    what: dict[str, Any] = {"script": "" if job.script is None else str(job.script), "config": _sizes(job.config)}
    if job.script is None or not job.config:
        what["argv"] = list(_words(job))
    return fingerprint(what)


def _sizes(value: Any) -> Any:
    """The settings that can change a size, at every level."""
    if isinstance(value, Mapping):
        return {key: _sizes(one) for key, one in value.items() if not _changes_no_size(str(key))}
    return [_sizes(one) for one in value] if isinstance(value, list | tuple) else value


def _changes_no_size(key: str) -> bool:
    return key.rpartition(".")[2].replace("-", "_").lower() in CHANGE_NO_SIZE


def _words(job: Job) -> Iterator[str]:
    """The words of the command that can change a size: without the folder of the job, and such settings."""
    skips = False
    for word in job.argv:
        if skips:
            skips = False
            if not word.startswith("--"):
                continue
        key, equals, _ = word.lstrip("-").partition("=")
        if _changes_no_size(key) and (equals or word.startswith("--")):
            skips = not equals
            continue
        own = word == job.source_argument and bool(job.config)
        yield "{config}" if own else word.replace(str(job.out_dir), "{out_dir}")
