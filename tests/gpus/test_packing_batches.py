"""Real batches whose jobs share a false GPU: the look shows what each process says that it uses."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import Workspace, read, wait_until
from tests.gpus.machine import Machine, uuid

pytestmark = pytest.mark.slow

#: Prints the GPUs of a file, with the processes that live among those that left a file with what they use.
LOOK = """\
import json, os, pathlib
found = json.loads(pathlib.Path(os.environ["GPU_STATE"]).read_text())
for path in pathlib.Path(os.environ["GPU_USAGE"]).glob("*"):
    if path.name.isdecimal() and os.path.exists(f"/proc/{path.name}"):
        uuid, memory = path.read_text().split()
        for gpu in found["gpus"]:
            if gpu["uuid"] == uuid:
                gpu["processes"].append({"pid": int(path.name), "memory": int(memory)})
                gpu["memory_used"] += int(memory)
print(json.dumps(found))
"""
#: Trains at `rate` iterations per second until the file `until` is there, and counts who else is on its GPU.
JOB = """\
import json, os, pathlib, sys, time
width, seed, rate, until, fails_beside_others = 1, 0, 40, "", False
exec(pathlib.Path(sys.argv[1]).read_text())
out = pathlib.Path(sys.argv[2])
gpu, usage = os.environ["CUDA_VISIBLE_DEVICES"], pathlib.Path(os.environ["GPU_USAGE"])
print("growth", os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH"), os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE"))
mine = usage / str(os.getpid())
(usage / f"{mine.name}.tmp").write_text(f"{gpu} {width << 30}")
(usage / f"{mine.name}.tmp").rename(mine)
others = 0
for iteration in range(10**9):
    others = max(others, sum(path.name.isdecimal() for path in usage.glob("*")) - 1)
    with open(out / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"iter": iteration, "loss": 1.0}) + "\\n")
    if fails_beside_others and others and os.path.exists("full"):
        mine.unlink()
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity "
                 "of 79.11 GiB of which 1.00 GiB is free.")
    if iteration > 60 and (not until or os.path.exists(until)):
        break
    time.sleep(1 / rate)
print("others", others)
mine.unlink()
"""
BATCH = ("--command", "{python} job.py {config} {out_dir}", "--configs", "c/*.py", "--max_workers", 8)
START = (*BATCH, "--gpus", "0")
WINDOW = ("--gpu_pack_window", "0.5")


@pytest.fixture
def work(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    machine = Machine(work.folder, 1)
    (work / "usage").mkdir()
    look = work.write("look.py", LOOK)
    environ = {**machine.environ, "GPU_USAGE": str(work / "usage")}
    for name, value in {**environ, "RUNNER_GPU_PROBE": f"{sys.executable} -I -S {look}"}.items():
        monkeypatch.setenv(name, value)
    for name in ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.delenv(name, raising=False)
    work.write("job.py", JOB)
    return work


def running(work: Workspace) -> int:
    return sum(path.name.isdecimal() for path in (work / "usage").iterdir())


def use(work: Workspace, job: str) -> str:
    """What the engine has left for the result of a running job."""
    found = list((work / "experiments").glob(f"experiment_*/{job}/gpu_use.json"))
    return found[0].read_text() if found else ""


def others(work: Workspace, job: str) -> int:
    found = re.search(r"others (\d+)", (work.batch / job / "stdout.log").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.linux
def test_the_first_runs_alone_later_ones_beside_it_and_the_next_batch_knows(work: Workspace) -> None:
    for name in "ab":
        work.write(f"c/{name}.py", f"width = 20\nseed = {ord(name)}\nuntil = 'go'\n")
    process = work.start(*START, *WINDOW, "--jobs_per_gpu", "auto")
    wait_until(lambda: running(work) == 2, "two jobs share the GPU", 120)
    wait_until(lambda: "times_one_alone" in use(work, "a"), "their gain is known", 120)
    work.write("go", "")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, f"{out}\n{err}"
    assert "share a GPU get TF_FORCE_GPU_ALLOW_GROWTH=true and XLA_PYTHON_CLIENT_PREALLOCATE=false" in out
    assert "GPU memory of a, b: unknown; the first of them runs alone and is measured" in out
    assert re.search(r"Packing: 2 jobs on GPU 0: \d\.\d times one alone", out)
    result = work.result("a")
    assert (result["gpu_memory_peak_mb"], result["gpu_memory_source"]) == (20 << 10, "pid")
    assert result["gpu_jobs_at_once"] == 2
    assert "growth true false" in (work.batch / "a/stdout.log").read_text()
    summary = read(work.batch / "experiment_summary.json")["gpu_packing"]
    assert [(entry["gpu"], entry["uuid"], entry["jobs"]) for entry in summary] == [("0", uuid(0), 2)]
    out = work.run(*START, "--gpu_memory", "8GiB", "--dry-run", code=0).stdout
    assert re.search(r"GPU memory of a, b: 20.0 GiB measured \(experiments/experiment_\S+/[ab]\)", out)
    work.write("c/d.py", "width = 30\n")  # another kind
    out = work.run(*START, "--gpu_memory", "9000MB", "--dry-run", code=0).stdout
    assert "GPU memory of d: 8.4 GiB declared" in out


@pytest.mark.linux
def test_a_job_that_runs_out_of_memory_beside_others_runs_again_alone(work: Workspace) -> None:
    """Three at once; the last finds no room. That does not count as a retry, and the others are not disturbed."""
    for name in "ab":
        work.write(f"c/{name}.py", "until = 'go'\n")
    work.write("c/c.py", "fails_beside_others = True\n")
    process = work.start(*START, "--jobs_per_gpu", "3")
    wait_until(lambda: running(work) == 3, "three jobs share the GPU", 120)
    wait_until(lambda: '"gpu_jobs_at_once": 3' in use(work, "c"), "that is seen", 120)
    work.write("full", "")
    log = next((work / "experiments").glob("*/master_log.txt"))
    said = "c ran out of GPU memory beside other jobs; it runs again alone, which counts as no retry."
    wait_until(lambda: said in log.read_text(), "it is announced", 120)
    work.write("go", "")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, f"{out}\n{err}"
    assert others(work, "c") == 0 and work.result("c")["attempt"] == 2
    first = json.loads((work.batch / "c/attempt_1/experiment_result.json").read_text())
    assert (first["cause"], first["gpu_jobs_at_once"]) == ("gpu_oom", 3)
    assert "gpu_jobs_at_once" not in work.result("c")


@pytest.mark.linux
def test_an_adopted_job_is_measured(work: Workspace) -> None:
    work.write("c/a.py", "width = 20\nuntil = 'go'\n")
    process = work.start(*START, "--keep_running")
    wait_until(lambda: running(work) == 1, "the job runs", 120)
    process.kill()
    process.wait()
    root = next((work / "experiments").glob("*/master_log.txt")).parent
    (root / "a/gpu_use.json").unlink(missing_ok=True)
    process = work.start("--resume", str(root))
    wait_until((root / "a/gpu_use.json").exists, "it is measured", 120)
    work.write("go", "")
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert (work.result("a")["gpu_memory_peak_mb"], work.result("a")["attempt"]) == (20 << 10, 1)


@pytest.mark.linux
def test_declared_memory_keeps_jobs_apart(work: Workspace) -> None:
    """Two of 40 GiB do not fit onto 80 GiB, whatever is free."""
    for name in "ab":
        work.write(f"c/{name}.py", "width = 1\n")
    work.run(*START, *WINDOW, "--gpu_memory", "40GiB", code=0)
    assert [others(work, name) for name in "ab"] == [0, 0]
    assert "gpu_jobs_at_once" not in work.result("a")


@pytest.mark.linux
def test_a_batch_that_is_interrupted_keeps_what_was_measured(work: Workspace) -> None:
    work.write("c/a.py", "width = 20\nuntil = 'never'\n")
    process = work.start(*START, *WINDOW, "--jobs_per_gpu", "auto")
    root = wait_until(lambda: next((work / "experiments").glob("*/a/gpu_use.json"), None), "it is measured", 120).parent
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert read(root / "experiment_result.json")["gpu_memory_peak_mb"] == 20 << 10


@pytest.mark.linux
@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (("--jobs_per_gpu", "auto", "--gpus_per_job", "0"), {}, ""),
        (("--jobs_per_gpu", "some"), {}, "'some' is not a whole number above 0, or auto"),
        (("--gpu_memory", "8"), {}, "'8' is not an amount of memory, such as 8GiB or 900MiB"),
        (("--gpu_memory", "90GiB"), {}, "--gpu_memory: GPU 0 has 80.0 GiB, less than 90.0 GiB"),
        (("--jobs_per_gpu", "auto"), {"TF_FORCE_GPU_ALLOW_GROWTH": "false"}, "lets TensorFlow take the whole GPU"),
        (("--jobs_per_gpu", "2"), {"XLA_PYTHON_CLIENT_PREALLOCATE": "true"}, "lets JAX take three quarters"),
        (("--jobs_per_gpu", "3"), {"XLA_CLIENT_MEM_FRACTION": "0.4"}, "too much of a GPU for 3 jobs; give 0.32"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_the_start(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    work.write("c/a.py", "")
    code = 2 if said else 0
    done = work.run(*START, *words, "--dry-run", code=code)
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.linux
def test_several_gpus_per_job_are_not_shared(work: Workspace) -> None:
    work.write("c/a.py", "")
    Machine(work.folder, 2)
    words = ("--gpus", "all", "--jobs_per_gpu", "auto", "--gpus_per_job", "2")
    assert "can wait for each other for ever" in work.run(*BATCH, *words, code=2).stderr
