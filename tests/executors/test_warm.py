"""`--warm`: a job that is a fork of a process with its imports is like one that was started as a program."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import uuid
from pathlib import Path

import pytest

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.executors.spawner import Fork, Spawner, nothing
from runner.executors.warm import Imported, Kind, Warm, kind_of
from runner.processes import process_id
from tests import library_script
from tests.conftest import Workspace, alive, kill, read, wait_until
from tests.faults import carrying, ready, request

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere no job is warm"),
]
#: Writes down what a program can know of itself, and ends as the name of its config says.
PROBE = """\
import atexit, json, os, re, signal, sys, threading, time
import heavy, __main__
from pathlib import Path
name = Path(sys.argv[1]).stem
seen = {
    "environ": {key: value for key, value in os.environ.items() if key != "RUNNER_JOB_ID"},
    "mark": f"RUNNER_JOB_ID={os.environ['RUNNER_JOB_ID']}" in Path("/proc/self/environ").read_text().split("\\0"),
    "folder": f"RUNNER_JOB_DIR={os.environ['RUNNER_JOB_DIR']}" in Path("/proc/self/environ").read_text().split("\\0"),
    "words": Path("/proc/self/cmdline").read_text().rstrip("\\0").split("\\0"),
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "executable": sys.executable,
    "main": {key: re.sub(" at 0x.*", "", str(value)) for key, value in vars().items()
             if key.startswith("__") and key != "__builtins__"},
    "is_main": __main__.__dict__ is globals(),
    "runner": [one for one in sys.modules if one.startswith("runner")],
    "descriptors": {
        one: os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{one}") and int(one) not in (1, 2)
    },
    "signals": {n: str(signal.getsignal(n)) for n in range(1, 32)}, "mask": str(signal.pthread_sigmask(0, ())),
    "streams": [(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.isatty(), s.seekable())
                for s in (sys.stdin, sys.stdout, sys.stderr)],
    "session": os.getsid(0) == os.getpid(), "cwd": os.getcwd(), "hook": sys.excepthook is sys.__excepthook__,
    "flags": str(sys.flags), "thread": threading.current_thread() is threading.main_thread(),
}
Path(os.environ["RUNNER_JOB_DIR"], "seen.json").write_text(json.dumps(seen, sort_keys=True))
atexit.register(print, "exit handler")
print("to stdout", heavy.VALUE)
print("to stderr", file=sys.stderr)
class Last:
    def __del__(self):
        print("destructor")
last = Last()
unflushed = open(Path(os.environ["RUNNER_JOB_DIR"], "unflushed"), "w")
unflushed.write("not lost")
def outlives():
    time.sleep(0.1)
    print("a thread that is waited for")
if name == "thread":
    threading.Thread(target=outlives).start()
if name == "raises":
    def inner():
        raise ValueError("of the script")
    inner()
if name == "code":
    sys.exit(3)
if name == "text":
    sys.exit("the reason")
if name == "interrupt":
    raise KeyboardInterrupt
if name == "signal":
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
if name == "hook":
    sys.excepthook = lambda *about: print("own hook", len(about))
    raise ValueError
"""
#: Prints, keeps a file open, sets a variable of the environment, and takes part in the seeds.
HEAVY = """\
import os, random, sys
print('imported'); print('warned', file=sys.stderr)
VALUE = 7; FILE = open('kept'); os.environ["SET_BY_HEAVY"] = "7"
"""
ENDS = ("code", "hook", "interrupt", "raises", "signal", "text", "thread", "works")
TIME = re.compile(r"^\S+ ", re.MULTILINE)


def runs_of(work: Workspace, *options: str) -> dict[str, dict[str, object]]:
    """A batch of one job for each end; what is to be the same warm and cold."""
    work.run("--configs", "c/*.py", "--train_script", "probe.py", "--max_same_failures", "0", *options, code=1)
    found: dict[str, dict[str, object]] = {}
    for name in (*ENDS, "broken"):
        folder, result = work.batch / name, work.result(name)
        seen = json.loads((folder / "seen.json").read_text()) if name != "broken" else {}
        text = {**seen, "unflushed": name != "broken" and (folder / "unflushed").read_text()}
        logs = {log: TIME.sub("", (folder / log).read_text()) for log in ("stdout.log", "stderr.log")}
        same = {key: result.get(key) for key in ("status", "return_code", "signal", "error", "cause", "warnings")}
        found[name] = json.loads(json.dumps({**same, **text, **logs}).replace(work.batch.name, "BATCH"))
    return found


@pytest.mark.linux
def test_a_warm_job_is_as_one_that_was_started(work: Workspace) -> None:
    work.write("kept", "")
    work.write("heavy.py", HEAVY)
    work.write("probe.py", PROBE)
    for name in ENDS:
        work.write(f"c/{name}.py", "x = 1\n")
    work.write("c/broken.py", "x = 2\n")
    work.write("probe.py", f"import sys\nif 'broken' in sys.argv[1]:\n    exec('1 +')\n{PROBE}")
    cold = runs_of(work)
    assert "start" not in work.result("works"), "without the option a record says nothing of it"
    warm = runs_of(work, "--warm", "--warm_imports", "heavy")
    for name in ENDS:
        result = work.result(name)
        assert result["start"] == "warm" and result["import_seconds"] >= 0, result
        assert warm[name] == cold[name], name
    assert warm["works"]["status"] == "completed" and warm["interrupt"]["signal"] == "SIGINT"
    assert warm["works"]["stdout.log"] == "imported\nto stdout 7\nexit handler\ndestructor\n"
    assert read(work.batch / "plan.json")["options"]["warm_imports"] == ["heavy"]


def test_random_numbers_without_a_seed_differ_from_job_to_job(work: Workspace) -> None:
    pytest.importorskip("numpy")
    work.write("draw.py", "import random, numpy\nprint(random.random(), numpy.random.rand())\n")
    for name in "ab":
        work.write(f"c/{name}.py", "x = 1\n")
    work.run("--configs", "c/*.py", "--train_script", "draw.py", "--warm", "--warm_imports", "numpy.random", code=0)
    drawn = [(work.batch / name / "stdout.log").read_text().split()[1:] for name in "ab"]
    assert [work.result(name)["start"] for name in "ab"] == ["warm", "warm"]
    assert len({number for numbers in drawn for number in numbers}) == 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("import time; open('ready', 'w').close(); time.sleep(60)\n")
    return tmp_path


def kind(folder: Path, *words: str, **env: str) -> Kind | str:
    argv = words or (sys.executable, "train.py")
    return kind_of(Job("a", argv, folder / "job", cwd=folder, env=env), {})


def imported(folder: Path, *modules: str) -> tuple[Imported, str]:
    found = kind(folder)
    assert isinstance(found, Kind)
    process = Imported(found, modules)
    why = wait_until(lambda: process.read() or (process.seconds is not None and "ready"), "it has answered")
    return process, why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "a thread"),
        ("FILE = open('dev/nvidia0')", "opens .*/dev/nvidia0"),
        ("1 / 0", "cannot be imported .ZeroDivisionError: division by zero"),
        ("import os; os._exit(3)", "the process that imports module has ended"),
        ("raise ImportError('x' * 100_000)", "ImportError: x{900,999}$"),
    ],
)
def test_a_process_that_would_not_do_as_a_fork_is_refused(folder: Path, text: str, why: str) -> None:
    (folder / "dev").mkdir()
    (folder / "dev" / "nvidia0").touch()
    (folder / "module.py").write_text(text)
    assert re.search(why, imported(folder, "module")[1])


def test_a_module_beside_the_script_that_hides_one_of_python_is_refused(folder: Path) -> None:
    (folder / "json.py").touch()
    assert imported(folder, "math")[1].endswith("has a module 'json', which hides that of Python")


def test_threads_that_end_before_a_fork_are_no_fault(folder: Path) -> None:
    pytest.importorskip("numpy")  # OpenBLAS has such a pool
    assert imported(folder, "numpy")[1] == "ready"


def test_many_files_with_long_names_are_watched(folder: Path) -> None:
    long = folder / ("p" * 200) / ("q" * 200)
    long.mkdir(parents=True)
    for number in range(200):
        (long / f"m{number}.py").touch()
    imports = "\n".join(f"import m{number}" for number in range(200))
    (folder / "module.py").write_text(f"import sys\nsys.path.append({str(long)!r})\n{imports}\n")
    assert imported(folder, "module")[1] == "ready"


def test_an_import_that_was_changed_is_made_again(folder: Path) -> None:
    (folder / "module.py").write_text("x = 1")
    process, why = imported(folder, "module")
    assert why == "ready" and not process.stale()
    os.utime(folder / "module.py", ns=(1, 1))
    assert process.stale()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("{python}", "-m", "train"), "not python SCRIPT"),
        (("{python}", "-c", "1"), "not python SCRIPT"),
        (("{python}",), "not python SCRIPT"),
        (("{python}", "nowhere.py"), "not python SCRIPT"),
        (("torchrun", "train.py"), "not python SCRIPT"),
        (("nice", "{python}", "train.py"), "not python SCRIPT"),
        (("{python}", "-W", "error", "train.py"), "not python SCRIPT"),
        (("./python3", "train.py"), "another Python"),
    ],
)
def test_other_commands_are_started_as_ever(folder: Path, words: tuple[str, ...], why: str) -> None:
    other = folder / "python3"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert why in kind(folder, *(word.format(python=sys.executable) for word in words))


def test_jobs_with_the_same_environment_are_forks_of_one_process(folder: Path) -> None:
    one = kind(folder, CUDA_VISIBLE_DEVICES="0", WANDB_NAME="a", RUNNER_ONE_CONFIG="1", A="1")
    assert one == kind(folder, CUDA_VISIBLE_DEVICES="1", WANDB_NAME="b", RUNNER_ONE_CONFIG="2", A="1")
    assert one != kind(folder, A="2")
    assert kind(folder, sys.executable, "-u", "train.py") != kind(folder)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "link.py").symlink_to(folder / "train.py")
    assert kind(folder, sys.executable, "elsewhere/link.py") == kind(folder), "Python finds modules beside the file"


def test_a_process_that_was_lost_is_replaced_once(folder: Path) -> None:
    warm = Warm(RunOptions(warm_imports=("math",)), Spawner())
    found = kind(folder)
    for lost in (1, 2):
        wait_until(lambda: not warm.importing(found), "the imports are done")
        (process,) = warm._processes.values()
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda pid=process.pid: not alive(pid), "it is gone")
        child = warm.start(found, "supervisor", ("mark", str(folder)), (), nothing)
        assert child.about["start"] == "cold" and "is gone" in child.about["cold_because"], lost
        child.close()
        assert child.gone(30)
        child.forget()
    assert not warm.importing(found)
    assert "its start is not warm" in warm.remark() and warm.remark() == ""


def test_the_end_of_a_supervisor_is_the_end_of_its_warm_job(folder: Path) -> None:
    process, _ = imported(folder, "math")
    mark = uuid.uuid4().hex
    child = process.start("supervisor", (mark, str(folder / "job")), (), nothing)
    asked = request(folder / "job", sys.executable, "train.py")
    env = {"RUNNER_JOB_ID": mark, "RUNNER_JOB_DIR": str(folder / "job")}
    child.send(json.dumps(json.loads(asked.to_line()) | {"warm": True, "env": env}).encode() + b"\n")
    wait_until((folder / "ready").exists, "the job runs")
    record = read(folder / "job" / "supervisor.json")
    job = int(record["job"][0])
    assert isinstance(child, Fork) and process_id.command(job) == [sys.executable, "train.py"] and job in carrying(mark)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not alive(job), "the job is gone")
    assert child.gone(30) and child.exit_code() == -signal.SIGKILL
    child.close()
    child.forget()


@pytest.mark.parametrize("victim", ["the engine", "the process with the imports"])
def test_a_batch_with_warm_jobs_may_lose_any_process(work: Workspace, victim: str) -> None:
    mark = uuid.uuid4().hex
    work.write("train.py", "import os, sys, time\nopen('ready', 'w').write(str(os.getpid()))\n"
               "while 'b.py' in sys.argv[1] and not os.path.exists('go'): time.sleep(0.02)\n")  # fmt: skip
    for name in "abc":
        work.write(f"c/{name}.py", "x = 1\n")
    words = ("--configs", "c/*.py", "--train_script", "train.py", "--warm", "--warm_imports", "math")
    process = work.start(*words, "--grace", "1,1,5", env={"RUNNER_TEST": mark})
    wait_until((work / "experiments/latest/b/supervisor.json").exists, "the second job runs")
    wait_until(lambda: read(work.batch / "b" / "supervisor.json").get("job"), "it is recorded")
    ready(work)
    if victim == "the engine":
        kill(process)
    else:
        for pid in carrying(mark):
            if any("warm.py" in word for word in process_id.command(pid) or ()):
                os.kill(pid, signal.SIGKILL)
        (work / "go").touch()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        assert work.result("b")["start"] == "warm" and work.result("c")["status"] == "completed"
    wait_until(lambda: not carrying(mark), "nothing is left")
    if victim == "the engine":
        (work / "go").touch()
        work.run("--resume", code=0)
        assert work.result("c")["start"] == "warm"


def test_the_library_starts_its_processes_warm(work: Workspace) -> None:
    work.write("torch.py", "from types import SimpleNamespace as S\n"
               "cuda, default_generator = S(_is_in_bad_fork=lambda: False), S(seed=lambda: None)\n")  # fmt: skip
    library_script.script(work, "return config.x")
    library_script.run(work, "--warm")
    assert library_script.computed(work) == ["a", "b"]
    for name in "ab":
        assert read(library_script.folder(work, name) / "experiment_result.json")["start"] == "warm"
