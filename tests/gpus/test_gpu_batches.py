"""Batches that divide GPUs among their jobs, with real processes: nobody gets one that somebody else has."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, read, wait_until
from tests.gpus.machine import Machine, gpu, instance, other_process, uuid

pytestmark = pytest.mark.slow

#: Claims the GPUs that it was given, each by a file that must not be there yet, and frees them at its end.
JOB = """\
import os, sys, time, pathlib
names = [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
print("sees", os.environ["CUDA_VISIBLE_DEVICES"], os.environ.get("CUDA_DEVICE_ORDER"))
claims = pathlib.Path(os.environ["CLAIMS"])
mine = [os.open(claims / name, os.O_CREAT | os.O_EXCL) and claims / name for name in names]
exec(pathlib.Path(sys.argv[1]).read_text())
while os.path.exists("hold"):
    time.sleep(0.02)
time.sleep(0.1)
for path in mine:
    path.unlink()
"""
START = ("--configs", "c/*.py", "--train_script", "job.py")


@pytest.fixture
def machine(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(work.folder)
    (work / "claims").mkdir()
    for name, value in {**made.environ, "CLAIMS": str(work / "claims")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    work.write("job.py", JOB)
    return made


def configs(work: Workspace, number: int, text: str = "") -> None:
    for one in range(number):
        work.write(f"c/{chr(97 + one)}.py", text)


def seen(work: Workspace, job: str) -> str:
    return next(line for line in (work.batch / job / "stdout.log").read_text().splitlines() if "sees" in line)


def test_jobs_run_on_all_gpus_at_once_and_each_on_its_own(machine: Machine, work: Workspace) -> None:
    configs(work, 7)
    out = work.run(*START, "--gpus", "2,0-1", code=0).stdout
    assert "3 jobs at a time" in out and "GPUs: 2 (Fake A100, GPU-2a2b3c4d…), 0 (Fake A100" in out
    assert seen(work, "a").endswith(f"sees {uuid(2)} PCI_BUS_ID") and f"sees {uuid(0)}" in seen(work, "b")
    result = work.result("a")
    assert [one["index"] for one in result["gpus"]] == [2] and result["gpu_wait_seconds"] >= 0
    assert read(work.batch / "plan.json")["options"]["gpus"] == ",".join(map(uuid, (2, 0, 1)))
    assert "waiting" not in out  # for a job of its own batch nobody has to be told


def test_a_job_waits_for_the_program_of_somebody_else(machine: Machine, work: Workspace) -> None:
    configs(work, 1)
    with other_process() as pid:
        machine.show(gpu(0, pid), gpu(1, used=9 << 30))
        process = work.start(*START, "--gpus", "all", "--gpu_settle", "0")
        log = wait_until(lambda: next((work / "experiments").glob("*/master_log.txt"), None), "the batch began")
        said = wait_until(lambda: re.search("waiting: (.*)", log.read_text()), "the wait is announced")[1]
    assert re.fullmatch(r"no GPU is free: 0 \S+ python\S* 18.0 GiB since \d\d:\d\d; 1 has memory in use, by .*", said)
    assert f"a {' ' * 36} pending (waiting: {said})" in work.run("status", code=0).stdout
    machine.show(gpu(0), gpu(1, used=9 << 30))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and out.count("waiting") == 1, out
    assert work.result("a")["gpu_wait_seconds"] > 0


def test_a_job_for_the_cpu_takes_no_gpu_and_overtakes(machine: Machine, work: Workspace) -> None:
    machine.show(gpu(0, os.getpid()))
    work.write("c/a.py", "gpus_per_job = 1\n")
    work.write("c/b.py", "gpus_per_job = 0\n")
    process = work.start(*START, "--gpus", "0", "--max_workers", 2)
    wait_until(lambda: list((work / "experiments").glob("*/b/experiment_result.json")), "the job for the CPU has ended")
    assert seen(work, "b").endswith("sees  None") and "gpus" not in work.result("b")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_without_a_free_gpu_jobs_stay_pending_after_gpu_wait(machine: Machine, work: Workspace) -> None:
    configs(work, 2)
    machine.show(gpu(0, os.getpid()))
    out = work.run(*START, "--gpus", "0", "--gpu_wait", "0", code=75).stdout
    assert "No further job is started: no GPU is free: 0 " in out and "2 pending" in out
    machine.show(gpu(0))
    work.run("--resume", code=0)  # the same GPUs


def test_two_batches_share_the_gpus_and_none_is_had_twice(machine: Machine, work: Workspace) -> None:
    configs(work, 8, "time.sleep(0.05)")
    batches = [
        work.start(*START, "--gpus", "auto", "--gpus_per_job", number, "--name", f"n{number}") for number in (1, 2)
    ]
    for process in batches:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, f"{out}\n{err}"
    assert not list((work / "claims").iterdir())


def test_a_job_that_outlives_its_runner_keeps_its_gpu(machine: Machine, work: Workspace) -> None:
    configs(work, 1)
    (work / "hold").touch()
    process = work.start(*START, "--gpus", "0", "--keep_running")
    wait_until(lambda: list((work / "claims").iterdir()), "the job runs")
    process.kill()
    process.wait()
    work.write("d/x.py", "")
    other = ("--configs", "d/x.py", "--train_script", "job.py", "--name", "other", "--gpus", "0", "--gpu_wait", "0")
    assert "no GPU is free: 0 batch experiment_" in work.run(*other, code=75).stdout
    (work / "hold").unlink()
    first = next(path for path in (work / "experiments").glob("experiment_*"))
    work.run("--resume", str(first), code=0)
    assert len(list(first.glob("a/attempt_*"))) == 0  # it was adopted, not started again
    work.run("--resume", next(str(path) for path in (work / "experiments").glob("other_*")), code=0)


@pytest.mark.parametrize(
    ("words", "config", "said"),
    [
        (("--gpus", "9"), "", "--gpus 9: no such GPU"),
        (("--gpus", "0,1", "--gpus_per_job", "3"), "", "asks for 3 GPUs, but --gpus has 2"),
        (("--gpus", "all"), "device = 'cuda:1'", "numbered from 0; write cuda"),
        (("--gpus", "all", "--device", "cuda:1"), "device = 'cuda'", "numbered from 0; write cuda"),
        (("--gpus", "all", "--gpus_per_job", "2", "--device", "cuda:2"), "", "gets 2 GPUs, numbered from 0"),
        (("--gpus", "all"), "device = 'cuda'\ngpus_per_job = 0", "asks for no GPU"),
        (("--gpus", "all"), "gpus_per_job = 'two'", "give a whole number"),
        (("--gpus", "all", "--jobs_per_gpu", "2", "--gpus_per_job", "2"), "", "can wait for each other for ever"),
        (("--gpus", "all", "--gpu_wait", "soon"), "", "'soon' is not a time"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_the_start(
    machine: Machine, work: Workspace, words: tuple[str, ...], config: str, said: str
) -> None:
    work.write("c/a.py", config)
    err = work.run(*START, *words, code=2).stderr
    assert said in err and "Traceback" not in err and not (work / "experiments").exists()


def test_several_jobs_on_a_gpu_for_one_process_are_refused(machine: Machine, work: Workspace) -> None:
    configs(work, 1)
    machine.show(gpu(0, mode="exclusive_process"))
    assert "GPU 0 is in mode exclusive_process" in work.run(*START, "--gpus", "0", "--jobs_per_gpu", 2, code=2).stderr


def test_a_device_in_yaml_or_in_a_sweep_is_refused_as_well(machine: Machine, work: Workspace) -> None:
    work.write("c/a.yaml", "device: cuda:1\n")
    yaml = ("--configs", "c/a.yaml", "--train_script", "job.py", "--gpus", "all")
    assert "c/a.yaml: device is 'cuda:1'" in work.run(*yaml, code=2).stderr
    work.write("c/b.yaml", "device: cuda\n")
    work.write("s.yaml", "name: n\nbase_config: c/b.yaml\nmode: training\nsweep: {device: ['cuda:0', 'cuda:2']}\n")
    err = work.run("--exp", "s.yaml", "--train_script", "job.py", "--gpus", "all", code=2).stderr
    assert err.count("numbered from 0; write cuda") == 1 and "device is 'cuda:2'" in err


def test_a_gpu_of_another_batch_that_runs_only_is_no_reason_for_code_75(machine: Machine, work: Workspace) -> None:
    """A job ran, and another one found no GPU: that is a batch that did not complete."""
    work.write("c/a.py", "gpus_per_job = 0\n")
    work.write("c/b.py", "")
    machine.show(gpu(0, os.getpid()))
    out = work.run(*START, "--gpus", "0", "--gpu_wait", "0", code=1).stdout
    assert "1 completed" in out and "1 pending" in out


def test_jobs_on_mig_instances_get_one_each(machine: Machine, work: Workspace) -> None:
    machine.show(gpu(0, mig=True), instance(0, 0), instance(0, 1))
    configs(work, 2)
    out = work.run(*START, "--gpus", "auto", code=0).stdout
    assert "GPUs: 0:0 (Fake A100 MIG 3g.40gb, MIG-00000000…), 0:1" in out and "2 jobs at a time" in out
    uuids = {instance(0, part)["uuid"] for part in (0, 1)}
    assert {seen(work, job).split()[-2] for job in "ab"} == uuids
    (entry,) = work.result("a")["gpus"]
    assert (entry["index"], entry["part"], entry["memory_total_mb"]) == (0, int(entry["uuid"][5]), 40960)
    refused = work.run(*START, "--gpus", "auto", "--gpus_per_job", 2, code=2).stderr
    assert "gpus_per_job: a process can use one MIG instance only, and 0:0 is one" in refused
    assert "known by their UUIDs" in work.run(*START, "--gpus", "auto", "--gpu_ids", "index", code=2).stderr


def test_a_program_that_reads_numbers_gets_them(machine: Machine, work: Workspace) -> None:
    configs(work, 1)
    work.run(*START, "--gpus", "2,0", "--gpus_per_job", 2, "--gpu_ids", "index", code=0)
    assert seen(work, "a").endswith("sees 2,0 PCI_BUS_ID")
    assert [one["uuid"] for one in work.result("a")["gpus"]] == [uuid(2), uuid(0)]


@pytest.mark.parametrize("suffix", ["py", "yaml", "json"])
def test_the_number_of_gpus_in_a_config_is_no_setting_of_our_trainer(
    machine: Machine, work: Workspace, suffix: str
) -> None:
    text = {"py": "gpus_per_job = 2\nmax_iters = 5\n", "yaml": "gpus_per_job: 2\nmax_iters: 5\n",
            "json": '{"gpus_per_job": 2, "max_iters": 5}'}[suffix]  # fmt: skip
    path = work.write(f"c/a.{suffix}", text)
    plan = json.loads(work.run("--configs", path, "--gpus", "all", "--dry_run", "--json", code=0).stdout)
    (job,) = plan["jobs"]
    assert job["config"]["gpus_per_job"] == 2 and not any("gpus_per_job" in word for word in job["command"])
    assert "asks for 2 GPUs, but --gpus has 1" in work.run("--configs", path, "--gpus", "0", code=2).stderr
    own = subprocess.run([sys.executable, PROJECT / "configurator.py", path], capture_output=True, check=True)
    assert json.loads(own.stdout)["max_iters"] == 5


def test_a_sweep_over_the_number_of_gpus(machine: Machine, work: Workspace) -> None:
    work.write("c/b.yaml", "max_iters: 5\n")
    work.write("s.yaml", "name: n\nbase_config: c/b.yaml\nmode: training\nsweep: {gpus_per_job: [1, 3]}\n")
    out = work.run("--exp", "s.yaml", "--gpus", "all", "--dry_run", "--json", code=0).stdout
    jobs = json.loads(out)["jobs"]
    assert [job["config"]["gpus_per_job"] for job in jobs] == [1, 3]
    assert not any("gpus_per_job" in word for job in jobs for word in job["command"])


BROKEN = """\
if "GPU-1" in os.environ["CUDA_VISIBLE_DEVICES"]:
    [path.unlink() for path in mine]
    sys.exit("RuntimeError: CUDA error: uncorrectable ECC error encountered")
"""


def test_a_broken_gpu_gets_no_further_job_and_its_job_runs_elsewhere(machine: Machine, work: Workspace) -> None:
    configs(work, 4, BROKEN)
    out = work.run(*START, "--gpus", "1,0", code=0).stdout
    assert out.count("failed because of its GPU; it runs again on another one, which counts as no retry") == 1
    first = next(path for path in work.batch.glob("*/attempt_1"))
    lost = read(first / "experiment_result.json")
    assert lost["status"] == "failed" and lost["moves"] is True and lost["gpus"][0]["uuid"] == uuid(1)
    assert [one["index"] for job in "abcd" for one in work.result(job)["gpus"]] == [0] * 4
    (bad,) = read(work.batch / "experiment_summary.json")["gpu_quarantine"]
    assert bad["uuid"] == uuid(1) and "uncorrectable ECC" in bad["reason"]


def test_without_a_gpu_that_works_the_jobs_stay_pending(machine: Machine, work: Workspace) -> None:
    configs(work, 3, BROKEN)
    out = work.run(*START, "--gpus", "1", code=1).stdout
    assert "No further job is started: no GPU works (1: " in out and "2 pending" in out
    assert work.result("a")["status"] == "failed" and "moves" not in work.result("a")
    (bad,) = read(work.batch / "experiment_summary.json")["gpu_quarantine"]
    assert bad["index"] == 1


def test_code_that_fails_on_every_gpu_fails_once_for_each_and_costs_none(machine: Machine, work: Workspace) -> None:
    text = "[path.unlink() for path in mine]; sys.exit('RuntimeError: CUDA error: device-side assert triggered')"
    configs(work, 2, text)
    work.write("c/z.py", "")
    work.run(*START, "--gpus", "all", code=1)
    for job in "ab":
        attempts = [work.batch / job / f"attempt_{number}" for number in (1, 2)]
        cards = [read(path / "experiment_result.json")["gpus"][0]["uuid"] for path in attempts]
        cards.append(work.result(job)["gpus"][0]["uuid"])
        assert len(set(cards)) == 3 and "moves" not in work.result(job)
    assert work.result("z")["status"] == "completed"


def test_status_has_a_column_for_the_gpus(machine: Machine, work: Workspace) -> None:
    configs(work, 3)
    (work / "hold").touch()
    process = work.start(*START, "--gpus", "2,0", "--max_workers", 2)
    wait_until(lambda: len(list((work / "claims").iterdir())) == 2, "two jobs run")
    lines = work.run("status", code=0).stdout.splitlines()
    assert [line[:55].rstrip() for line in lines if line.startswith("  ")] == [
        f"  {'a':<38} GPU 2 running", f"  {'b':<38} GPU 0 running", f"  {'c':<38}       pending",
    ]  # fmt: skip
    jobs = json.loads(work.run("status", "--json", code=0).stdout)["jobs"]
    assert jobs["a"]["gpus"] == ["2"] and "gpus" not in jobs["c"]
    (work / "hold").unlink()
    process.communicate(timeout=60)
    assert f"  {'a':<38} GPU 2 completed" in work.run("status", code=0).stdout


def test_auto_without_a_driver_runs_on_the_cpu_unless_a_config_wants_cuda(machine: Machine, work: Workspace) -> None:
    machine.state.write_text(json.dumps({"error": "no NVIDIA driver is installed"}))
    work.write("job.py", "import os; print('sees', os.environ.get('CUDA_VISIBLE_DEVICES'))")
    work.write("c/a.py", "")
    assert "the jobs run without" in work.run(*START, "--gpus", "auto", code=0).stdout
    assert seen(work, "a").endswith("sees None")
    work.write("c/a.py", "device = 'cuda'")
    assert "no NVIDIA driver is installed" in work.run(*START, "--gpus", "auto", code=2).stderr


def test_a_machine_with_several_gpus_is_pointed_out_once(machine: Machine, work: Workspace) -> None:
    configs(work, 2, "device = 'cuda'")
    work.write("job.py", "print('sees nothing')")
    note = "on a machine with 3 GPUs; --gpus auto uses them all at once"
    assert work.run(*START, code=0).stdout.count(note) == 1
    for words in (("--gpus", "0"), ("--max_workers", "2")):
        assert note not in work.run(*START, *words, code=0).stdout
    configs(work, 2, "device = 'cpu'")
    assert note not in work.run(*START, code=0).stdout


def test_a_driver_that_hangs_stops_nothing(machine: Machine, work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The looks of a running batch hang from its second job on: it waits, says why, and obeys."""
    script = work / "look.py"
    script.write_text(f"import os, time\nif os.path.exists({str(work / 'hang')!r}): time.sleep(100)\n"
                      "print(open(os.environ['GPU_STATE']).read())\n")  # fmt: skip
    monkeypatch.setenv("RUNNER_GPU_PROBE", f"{sys.executable} -I -S {script}")
    work.write("c/a.py", f"open({str(work / 'hang')!r}, 'w')")
    work.write("c/b.py", "")
    process = work.start(*START, "--gpus", "0")
    log = wait_until(lambda: next((work / "experiments").glob("*/master_log.txt"), None), "the batch began")
    wait_until(lambda: "b: waiting: the driver did not answer within 10 s" in log.read_text(), "the wait is announced")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130 and work.result("a")["status"] == "completed"
    assert Path(work.batch / "b").exists() is False
