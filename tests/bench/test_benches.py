"""The benches run, and print what they promise to print. What they measure decides nothing here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import gpu_check
from tests.conftest import PROJECT

pytestmark = pytest.mark.slow

PROGRAMS = {
    "overhead.py": (["--jobs", "4", "--round", "2"], ["bare loop", "this runner", "the bar is 40 ms"]),
    "cache.py": (
        ["--configs", "9", "--megabytes", "1", "--rounds", "1"],
        ["this runner", "joblib.Memory", "the bar is 1"],
    ),
    "aggregate.py": (
        ["--jobs", "60", "--rounds", "1"],
        ["pandas loop", "0 values differ; in numeric order: True", "the bar is 3 s"],
    ),
    "llc.py": (
        ["--chains", "2", "--draws", "4", "--rounds", "1", "--warmup", "20"],
        ["sgld   all at once", "mala   a loop", "the bar is 3"],
    ),
    "output_reading.py": (
        ["--megabytes", "1", "--rounds", "1"],
        ["lines with a metric", "lines without a metric", "the bar is 0.8"],
    ),
    "report.py": (["--rows", "20", "--large", "30"], ["12 jobs", "30 jobs", "of 2000 KB", "the same bytes"]),
    "gpu_sharing.py": ([], ["takes 18 GiB of GPU 1", "(it ends)", "8 completed", "h: GPU"]),
    "streaming.py": (
        ["--gigabytes", "0.01", "--rounds", "1"],
        ["cat > file", "naive runner", "the bar is 8", "times the CPU seconds of tee"],
    ),
    "slurm_scale.py": (
        ["--jobs", "12", "--max_submit", "6", "--places", "4", "--poll", "0.2", "--lasts", "0.1"],
        ["calls of sbatch", "calls of squeue", "12 of 12 jobs completed"],
    ),
    "scale.py": (
        ["--jobs", "10", "--batches", "2", "--at_once", "3", "--rounds", "1"],
        ["list, 2 batches", "table of 10", "planning 10", "3 jobs at once", "the first tenth", "the engine took"],
    ),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False, env=one_thread
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bench_prints_its_table_and_its_bars(tmp_path: Path, program: str) -> None:
    options, expected = PROGRAMS[program]
    done = run(str(PROJECT / "bench" / program), *options, "--dir", str(tmp_path))
    assert done.returncode in (0, 1) and done.stderr == ""  # 1: a bar is missed, on a machine that is busy
    assert [words for words in expected if words not in done.stdout] == []
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_bench_of_the_start_prints_both_ratios() -> None:
    done = run(str(PROJECT / "bench/startup.py"), "--rounds", "1")
    assert done.returncode in (0, 1) and done.stderr == ""
    assert all(words in done.stdout for words in ("to the first step", "to the exit", "the bar is 1.25"))


@pytest.mark.slow
def test_the_bench_of_the_trainer_prints_its_table() -> None:
    small = ["--layers", "1", "--width", "32", "--heads", "2", "--batch", "2", "--length", "16", "--compile", "false"]
    done = run(str(PROJECT / "bench/trainer.py"), *small, "--rounds", "1", "--steps", "2", "--device", "cpu")
    assert done.returncode in (0, 1) and done.stderr == ""
    output = ("reference, eager, float32", "ours, eager, float32", "times the eager")
    assert all(words in done.stdout for words in output)


@pytest.mark.slow
def test_the_claims_about_a_gpu_can_be_rehearsed_without_one() -> None:
    claims = [name for name in gpu_check.TRAINER if name != "resumed"]  # tests of the trainer prove that one
    done = run(str(PROJECT / "bench/gpu_trainer.py"), "--device", "cpu", "--claims", *claims)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 claims held" in done.stdout


def test_without_a_gpu_nothing_is_checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RUNNER_GPU_PROBE", "false")
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_claims_about_a_gpu_fit_into_six_minutes() -> None:
    claims = gpu_check.claims(rehearse=False)
    assert sum(claim.seconds for claim in claims) + sum(gpu_check.TRAINER.values()) <= gpu_check.ALL < 360
    assert all(claim.expected and claim.text for claim in claims)


@pytest.mark.slow
def test_candidates_for_the_recipe_are_measured_beside_it() -> None:
    names = ["wsd", "short windows first", "bfloat16 stream", "queries where masked", "complementary masks"]
    small = ["--steps", "4", "--layers", "1", "--width", "16", "--length", "16", "--dataset", "pydoc_char"]
    done = run(str(PROJECT / "bench/candidates.py"), *names, *small)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    losses = {" ".join(row[:-4]): float(row[-3]) for row in rows}
    assert list(losses) == ["recipe", *names]
    assert all(4 < loss < 5 for loss in losses.values())  # hardly less than of a guess: four steps


@pytest.mark.slow
def test_the_bench_of_quality_measures_both(tmp_path: Path) -> None:
    config = tmp_path / "tiny.py"
    config.write_text(
        "dataset = 'pydoc_char'\ntraining_type = 'elbo'\nblock_size = 64\nbatch_size = 4\nn_layer = 1\nn_head = 2\n"
        "n_embd = 16\noptimizer = 'muon'\n"
    )
    done = run(
        str(PROJECT / "bench/trainer.py"), "--quality", "--minutes", "0.02", "--config", str(config), "--device", "cpu"
    )
    assert done.returncode in (0, 1) and done.stderr == ""
    assert "plain loop, " in done.stdout and "ours, " in done.stdout
    assert "the bar of 0.25 is for 5 minutes" in done.stdout
