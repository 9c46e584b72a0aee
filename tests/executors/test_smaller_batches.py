"""A real script that runs out of GPU memory above a size: torch's own exception and text, without a GPU."""

from __future__ import annotations

import pytest

from runner.reports.load_results import load_results
from tests.conftest import Workspace, read

pytestmark = pytest.mark.slow

TRAIN = """\
import os, sys
batch_size, gradient_accumulation_steps, seed, out_dir = 32, 1, 0, '.'
exec(open('configurator.py').read())
with open(os.path.join(out_dir, 'sizes'), 'a') as file: print(batch_size, gradient_accumulation_steps, file=file)
if batch_size > 8:
    if os.path.exists('real') and batch_size == 32:
        from torch import OutOfMemoryError
    else:  # the same words without the import, which takes seconds
        OutOfMemoryError = type('OutOfMemoryError', (RuntimeError,), {'__module__': 'torch'})
    raise OutOfMemoryError(
        'CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.06 GiB '
        'is free. Process 4711 has 78.03 GiB memory in use. Of the allocated memory 76.50 GiB is allocated by '
        'PyTorch, and 812.00 MiB is reserved by PyTorch but unallocated.')
if os.path.exists('stop'): sys.exit('not today')
print('iter 1: loss 0.5')
"""
CONFIGURATOR = """\
import sys
for word in sys.argv[1:]:
    if '=' not in word: exec(open(word).read())
    else:
        key, value = word[2:].split('=')
        globals()[key] = type(globals()[key])(value)
"""
RUN = ("--configs", "c/*.py", "--train_script", "train.py", "--oom_retry", "3")


@pytest.fixture
def nano(work: Workspace) -> Workspace:
    work.write("train.py", TRAIN)
    work.write("configurator.py", CONFIGURATOR)
    for seed, name in enumerate("ab"):
        work.write(f"c/{name}.py", f"batch_size = 32\ngradient_accumulation_steps = 1\nseed = {seed}\n")
    return work


def started(work: Workspace, name: str) -> list[str]:
    """The sizes with which the attempts of a job were started."""
    folder = work.batch / name
    archived = sorted(folder.glob("attempt_*/sizes"), key=lambda path: int(path.parent.name.rpartition("_")[2]))
    return [line for path in (*archived, folder / "sizes") for line in path.read_text().splitlines()]


def test_a_job_that_runs_out_of_memory_is_tried_with_smaller_batches(nano: Workspace) -> None:
    nano.write("real", "")
    done = nano.run(*RUN, code=0)
    assert started(nano, "a") == ["32 1", "16 2", "8 4"]
    assert started(nano, "b") == ["8 4"]  # learned from the first
    result, plan = nano.result("a"), read(nano.batch / "plan.json")["jobs"]
    assert result["adjusted"] == {"batch_size": [32, 8], "gradient_accumulation_steps": [1, 4]}
    assert result["fingerprint"] == plan[0]["fingerprint"] and plan[0]["config"]["batch_size"] == 32
    assert read(nano.batch / "a" / "attempt_1" / "experiment_result.json")["cause"] == "gpu_oom"
    assert "batch_size 32 -> 16, gradient_accumulation_steps 1 -> 2 after gpu_oom, try 1 of 3" in done.stdout
    assert "completed, adjusted" in nano.run("table", nano.batch, code=0).stdout
    row = next(row for row in load_results(nano.batch) if row["name"] == "a")
    assert row["adjusted"] == {"batch_size": (32, 8), "gradient_accumulation_steps": (1, 4)}
    assert "run again" not in nano.run("--resume", code=0).stderr
    assert started(nano, "a") == ["32 1", "16 2", "8 4"]  # it has completed, as its fingerprint says


def test_what_was_learned_is_kept_by_a_resume(nano: Workspace) -> None:
    nano.write("stop", "")
    nano.run(*RUN, code=1)
    assert nano.result("a")["adjusted"]["batch_size"] == [32, 8] and nano.result("a")["status"] == "failed"
    (nano / "stop").unlink()
    nano.run("--resume", code=0)
    assert started(nano, "a") == ["32 1", "16 2", "8 4", "8 4"]
    assert started(nano, "b") == ["8 4", "8 4"]


def test_without_the_option_a_job_fails_and_a_dry_run_says_what_it_would_change(nano: Workspace) -> None:
    shown = nano.run(*RUN, "--dry-run", code=0).stdout
    first = "batch_size 32 -> 16, gradient_accumulation_steps 1 -> 2"
    assert f"Note: after gpu_oom: {first}, then batch_size 16 -> 8" in shown
    nano.run("--configs", "c/*.py", "--train_script", "train.py", code=1)
    assert started(nano, "a") == ["32 1"] and nano.result("a")["cause"] == "gpu_oom"
    assert "adjusted" not in nano.result("a")


def test_other_names_of_the_two_settings(nano: Workspace) -> None:
    for name in ("train.py", "c/a.py", "c/b.py"):
        text = (nano / name).read_text().replace("batch_size", "bs").replace("gradient_accumulation_steps", "accum")
        nano.write(name, text)
    assert "bs, accum" not in nano.run(*RUN, code=1).stdout
    nano.run(*RUN, "--oom_keys", "bs,accum", code=0)
    assert nano.result("b")["adjusted"] == {"bs": [32, 8], "accum": [1, 4]}
    wrong = nano.run(*RUN, "--oom_keys", "bs", code=2)
    assert "--oom_keys: 'bs' is not the names of two settings" in wrong.stderr
