"""Which modules are mutated, and the tests that must notice: fast ones first, real processes where nothing else can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]

STORIES, PARTS_OF_ENGINE = "tests/engine/test_stories.py", "tests/engine/test_units.py"
PLANS = "tests/disk/test_plan_file.py"
SELECT = "tests/planners/test_select.py"
UNITS, FIELDS, REDACTION = "tests/core/test_units.py", "tests/core/test_fields.py", "tests/core/test_redact.py"
SECRETS = "tests/core/test_secret_parts.py"
FOLDERS, RECORDS = "tests/disk/test_folders.py", "tests/disk/test_results.py"
ON_DISK = ("tests/disk/test_units.py", FOLDERS)
SUPERVISOR = "tests/supervisor/"
ENDS, LINES, PARTS, STREAMS, STOPPING, ONE = (
    f"{SUPERVISOR}test_{name}.py" for name in ("units", "output_lines", "parts", "stream_parts", "stopping", "whole")
)
CORPUS = "tests/causes/test_corpus.py"
FORKS, WARM = f"{SUPERVISOR}test_forks.py", "tests/executors/test_warm.py"
DIFFUSION = "tests/pipelines/diffusion/"
PROCESSES = (f"{SUPERVISOR}test_interrupt.py", f"{SUPERVISOR}test_faults.py")
PURE, TEXTS = f"{DIFFUSION}test_units.py", f"{DIFFUSION}test_text_units.py"
TRAINER = (f"{DIFFUSION}test_trainer.py", f"{DIFFUSION}test_trainer_edges.py")


class Tests(NamedTuple):
    """Test files that call the code, and those that start real processes, which run if the others notice nothing."""

    fast: tuple[str, ...]
    real: tuple[str, ...] = ()


#: What a path begins with -> the tests. The longest beginning counts.
TESTS: dict[str, Tests] = {
    "runner/core/": Tests((UNITS, FIELDS), (STORIES, PLANS, SELECT)),
    "runner/core/argument_names": Tests(("tests/configs/test_argparse_script.py",)),
    "runner/core/canonical": Tests((UNITS, "tests/core/test_canonical.py", PLANS)),
    "runner/core/checkout": Tests(("tests/configs/test_training_script.py",), ("tests/cli/test_starting.py",)),
    "runner/core/clock": Tests((UNITS, "tests/core/test_clock.py")),
    "runner/core/config": Tests(("tests/core/test_config.py", "tests/configs/test_config_file.py")),
    "runner/core/csv_text": Tests(("tests/core/test_csv_text.py",)),
    "runner/core/earlier_redaction": Tests((UNITS, REDACTION), ("tests/test_released_batches.py",)),
    "runner/core/errors": Tests((UNITS, "tests/planners/test_sweeps.py"), ("tests/cli/test_starting.py",)),
    "runner/core/interpreter_options": Tests(("tests/core/test_interpreter_options.py",)),
    "runner/core/job": Tests((FIELDS, PLANS, SELECT, STORIES), ("tests/disk/test_records.py",)),
    "runner/core/names": Tests((UNITS, "tests/core/test_names.py")),
    "runner/core/options": Tests((FIELDS, "tests/core/test_options.py", PLANS), (STORIES,)),
    "runner/core/program": Tests((UNITS,), ("tests/planners/test_executables.py", "tests/planners/test_template.py")),
    "runner/core/redact": Tests((SECRETS, REDACTION), ("tests/cli/test_secrets.py",)),
    "runner/core/registry": Tests(("tests/core/test_registry.py",)),
    "runner/core/secret": Tests((SECRETS, REDACTION), ("tests/cli/test_secrets.py",)),
    "runner/core/token_forms": Tests((SECRETS, REDACTION), ("tests/cli/test_secrets.py",)),
    "runner/core/requests": Tests((STORIES,), ("tests/cli/test_requests.py",)),
    "runner/core/result": Tests((FIELDS, "tests/core/test_result.py", "tests/reports/test_ending.py")),
    "runner/core/resume_words": Tests((UNITS, "tests/planners/test_template.py"), ("tests/cli/test_resume.py",)),
    "runner/core/text": Tests(
        (UNITS, "tests/core/test_text.py"),
        ("tests/reports/test_ending.py", STORIES, "tests/observers/test_live_table.py"),
    ),
    "runner/disk/": Tests((*ON_DISK, RECORDS), ("tests/disk/test_records.py", "tests/cli/test_resume.py")),
    "runner/disk/atomic": Tests(("tests/disk/test_atomic.py", FOLDERS), ("tests/disk/test_records.py",)),
    "runner/disk/attempts": Tests(
        ("tests/disk/test_attempts.py", "tests/disk/test_atomic.py"),
        ("tests/disk/test_other_host.py", "tests/cli/test_resume.py", f"{SUPERVISOR}test_outside_faults.py"),
    ),
    "runner/disk/checkpoints": Tests(
        (FOLDERS, "tests/disk/test_checkpoints.py"), ("tests/cli/test_checkpoint_options.py",)
    ),
    "runner/disk/growing_log": Tests((*ON_DISK, "tests/disk/test_growing_log.py", "tests/disk/test_log_parts.py")),
    "runner/disk/labels": Tests((*ON_DISK, "tests/disk/test_atomic.py"), ("tests/cli/test_labels.py",)),
    "runner/disk/lock": Tests(
        (*ON_DISK, "tests/disk/test_lock.py"),
        ("tests/disk/test_other_host.py", f"{SUPERVISOR}test_outside_faults.py"),
    ),
    "runner/disk/log_": Tests(("tests/disk/test_log_parts.py", *ON_DISK), (f"{SUPERVISOR}test_log_limit.py",)),
    "runner/disk/moved": Tests((PLANS, *ON_DISK), ("tests/cli/test_moved_batches.py",)),
    "runner/disk/plan_file": Tests((PLANS, "tests/disk/test_requests.py"), ("tests/disk/test_records.py",)),
    "runner/disk/removal": Tests(ON_DISK, ("tests/cli/test_list.py",)),
    "runner/disk/requests": Tests(
        ("tests/disk/test_requests.py",), ("tests/cli/test_requests.py", "tests/cli/test_add.py")
    ),
    "runner/disk/results": Tests((RECORDS, "tests/disk/test_attempts.py"), ("tests/disk/test_records.py",)),
    "runner/disk/supervisor_file": Tests(
        ("tests/disk/test_supervisor_file.py", RECORDS), ("tests/disk/test_other_host.py",)
    ),
    "runner/disk/usage": Tests((FOLDERS,), ("tests/cli/test_disk_space.py",)),
    "runner/supervisor/": Tests((ENDS, PARTS, STOPPING, ONE), (*PROCESSES, f"{SUPERVISOR}test_outside_faults.py")),
    "runner/supervisor/cause_rules": Tests((LINES, "tests/causes/test_rules.py")),
    "runner/supervisor/classification": Tests((LINES, "tests/causes/test_rules.py", CORPUS)),
    "runner/supervisor/combined": Tests((STREAMS, ONE), (f"{SUPERVISOR}test_streams.py",)),
    "runner/supervisor/error_cause": Tests((LINES, f"{SUPERVISOR}test_error_cause.py", CORPUS)),
    "runner/supervisor/exit_codes": Tests((ENDS,), (f"{SUPERVISOR}test_explanation.py",)),
    "runner/supervisor/explanation": Tests((ENDS, ONE, CORPUS), (f"{SUPERVISOR}test_explanation.py",)),
    "runner/supervisor/guard": Tests((PARTS,), (f"{SUPERVISOR}test_guard.py",)),
    "runner/supervisor/line_kinds": Tests((LINES, f"{SUPERVISOR}test_error_cause.py", "tests/output", CORPUS)),
    "runner/supervisor/out_of_memory": Tests((ENDS,), (f"{SUPERVISOR}test_explanation.py",)),
    "runner/supervisor/output_reader": Tests((STREAMS, ONE), (f"{SUPERVISOR}test_output_reader.py",)),
    "runner/supervisor/last_seen": Tests((FORKS,), (f"{SUPERVISOR}test_memory.py",)),
    "runner/supervisor/preload": Tests((FORKS,), (WARM,)),
    "runner/supervisor/script": Tests((FORKS,), (WARM,)),
    "runner/supervisor/spawn.py": Tests((PARTS, ONE), PROCESSES),
    "runner/supervisor/warm": Tests((FORKS,), (WARM,)),
    "runner/supervisor/refusal": Tests(
        (f"{SUPERVISOR}test_refusal.py",), ("tests/engine/test_refused_command_line.py",)
    ),
    "runner/supervisor/signature": Tests((LINES, "tests/engine/test_breaker.py")),
    "runner/supervisor/streams": Tests(
        (STREAMS, ONE), (f"{SUPERVISOR}test_streams.py", "tests/disk/test_disk_faults.py")
    ),
    "runner/supervisor/tracebacks": Tests((LINES, f"{SUPERVISOR}test_error_cause.py", CORPUS)),
    "runner/supervisor/witness": Tests((PARTS,), (f"{SUPERVISOR}test_witness.py",)),
    "runner/engine/": Tests(
        (STORIES, PARTS_OF_ENGINE), ("tests/engine/test_engine.py", "tests/engine/test_retries.py")
    ),
    "runner/engine/adjustments": Tests((PARTS_OF_ENGINE, "tests/engine/test_adjustments.py")),
    "runner/engine/breaker": Tests(("tests/engine/test_breaker.py", STORIES)),
    "runner/engine/pace": Tests((PARTS_OF_ENGINE, "tests/engine/test_pace.py")),
    "runner/engine/phases": Tests((PARTS_OF_ENGINE, "tests/engine/test_phases.py")),
    "runner/engine/policy": Tests(
        (PARTS_OF_ENGINE, "tests/engine/test_policy.py", STORIES), ("tests/engine/test_refused_command_line.py",)
    ),
    "runner/engine/progress": Tests(
        (PARTS_OF_ENGINE, "tests/observers/test_batch_state.py"), (STORIES, "tests/observers/test_screen.py")
    ),
    "runner/engine/queue": Tests((PARTS_OF_ENGINE, STORIES)),
    "runner/engine/requested": Tests(("tests/engine/test_requested.py", STORIES)),
    "runner/planners/select.py": Tests((SELECT,)),
    "model/masks.py": Tests((PURE, "tests/model/test_masks.py")),
    "pipelines/diffusion/schedule.py": Tests((PURE,), ("tests/model/test_masks.py", *TRAINER)),
    "pipelines/diffusion/stages.py": Tests((PURE,), TRAINER),
    "pipelines/diffusion/evaluation/ngrams.py": Tests((TEXTS, f"{DIFFUSION}test_quality.py")),
    "pipelines/diffusion/evaluation/masked_loss.py": Tests((PURE,), TRAINER),
    "pipelines/diffusion/text/windows.py": Tests((TEXTS, f"{DIFFUSION}test_windows.py", f"{DIFFUSION}test_data.py")),
    "pipelines/diffusion/text/byte_pairs.py": Tests((TEXTS, f"{DIFFUSION}test_vocabulary.py")),
    "pipelines/diffusion/text/vocabulary.py": Tests((TEXTS, f"{DIFFUSION}test_vocabulary.py")),
    "pipelines/diffusion/text/characters.py": Tests((TEXTS, f"{DIFFUSION}test_data.py")),
}  # fmt: skip
#: Of these files the tests that are marked as slow run too.
SLOW = frozenset({WARM, f"{SUPERVISOR}test_guard.py", f"{SUPERVISOR}test_log_limit.py"})
WHOLE = ("runner/core/", "runner/disk/", "runner/supervisor/", "runner/engine/")  # every file below

#: Functions that this machine cannot reach, and why.
UNREACHABLE = {
    "_processes_by_ps": "macOS",
    "_of_by_ps": "macOS",
}


def modules() -> Iterator[str]:
    """What is mutated, as paths in the project."""
    for folder in WHOLE:
        yield from (str(path.relative_to(PROJECT)) for path in sorted((PROJECT / folder).glob("*.py")))
    yield from (name for name in TESTS if name.endswith(".py"))


def tests_of(module: str) -> Tests:
    """The tests that must notice a change of a module."""
    return TESTS[max((start for start in TESTS if module.startswith(start)), key=len)]


def package_of(module: str) -> str:
    """How results are added up: runner/core, …, and all pure modules of the training as one."""
    return next((folder.rstrip("/") for folder in WHOLE if module.startswith(folder)), "runner/planners/select.py"
                if module.startswith("runner/") else "pure modules of the training")  # fmt: skip
