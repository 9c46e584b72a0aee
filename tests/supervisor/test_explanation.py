"""Why a job did not complete, as its record says it: real processes under a supervisor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.supervisor import exit_codes, out_of_memory
from tests.conftest import read
from tests.faults import ended, request, supervised


def result(folder: Path, *argv: str) -> dict[str, Any]:
    """The result of a command that was run to its end."""
    ended(supervised(request(folder / "a", *argv)))
    return read(folder / "a" / "experiment_result.json")


def of_shell(folder: Path, text: str) -> dict[str, Any]:
    return result(folder, "sh", "-c", text)


@pytest.mark.parametrize(
    ("text", "code", "signal", "error"),
    [
        ("sh -c 'kill -KILL $$'", 137, "SIGKILL", "exit code 137: its command was killed by SIGKILL"),
        ("sh -c 'kill -TERM $$'; exit $?", 143, "SIGTERM", "exit code 143: its command was killed by SIGTERM"),
        ("exit 139", 139, "SIGSEGV", "exit code 139: its command was killed by SIGSEGV"),
        ("exit 134", 134, "SIGABRT", "exit code 134: its command was killed by SIGABRT"),
        ("exit 128", 128, None, "exit code 128"),
        ("exit 145", 145, None, "exit code 145"),  # SIGCHLD kills nothing
        ("exit 255", 255, None, "exit code 255"),
    ],
)
def test_exit_codes_of_killed_commands_are_explained_and_kept(
    tmp_path: Path, text: str, code: int, signal: str | None, error: str
) -> None:
    found = of_shell(tmp_path, text)
    assert (found["status"], found["return_code"], found["signal"]) == ("failed", code, None)
    assert found.get("command_signal") == signal and found["error"] == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nosuchprogram --x", "exit code 127: command not found: nosuchprogram"),
        ("env nosuchprogram", "exit code 127: command not found: nosuchprogram"),
        ("echo x > file; ./file", "exit code 126: not executable: ./file"),
        ("echo later >&2; exit 127", "exit code 127: later"),
        ("exit 126", "exit code 126"),
    ],
)
def test_what_a_shell_could_not_start_is_named(tmp_path: Path, text: str, error: str) -> None:
    assert of_shell(tmp_path, f"cd '{tmp_path}'; {text}")["error"] == error


@pytest.mark.parametrize(
    ("line", "code", "named"),
    [
        ("bash: line 1: foo: command not found", 127, "command not found: foo"),
        ("zsh:1: command not found: foo", 127, "command not found: foo"),
        ("t.sh: 3: foo: not found", 127, "command not found: foo"),
        ("env: ‘python3\\r’: No such file or directory", 127, "command not found: python3\\r"),
        ("exec: foo: executable file not found in $PATH", 127, "command not found: foo"),
        ("bash: ./t.sh: Permission denied", 126, "not executable: ./t.sh"),
        ("bash: ./data: Is a directory", 126, "not executable: ./data"),
        ("bash: ./a.out: cannot execute binary file: Exec format error", 126, "not executable: ./a.out"),
        ("ValueError: 'x' not found", 1, ""),
    ],
)
def test_shells_name_what_they_cannot_start_in_many_ways(line: str, code: int, named: str) -> None:
    assert exit_codes.not_started(code, ["before", line, "after"]).startswith(named)
    assert bool(named) or exit_codes.not_started(code, [line]) == ""


def test_a_job_that_we_stop_is_not_said_to_be_killed_by_others(tmp_path: Path) -> None:
    asked = request(tmp_path / "a", "sh", "-c", "trap 'exit 130' INT; while :; do sleep 0.05; done", timeout=0.3)
    ended(supervised(asked))
    found = read(tmp_path / "a" / "experiment_result.json")
    assert found["status"] == "timeout" and "command_signal" not in found and "killed" not in found["error"]


# Memory


def test_a_kill_without_evidence_is_not_said_to_be_about_memory(tmp_path: Path) -> None:
    found = of_shell(tmp_path, "echo 'iter 10: loss 2.3'; echo 'iter 15: loss 2.2' >&2; kill -KILL $$")
    assert found["error"] == "killed by SIGKILL (not sent by this runner)"
    assert (found["cause"], found["cause_sure"]) == ("unknown", False) and found["signal"] == "SIGKILL"


@pytest.mark.parametrize("how", ["kill -KILL $$", "exit 137"])
def test_memory_is_named_when_the_output_says_so(tmp_path: Path, how: str) -> None:
    found = of_shell(tmp_path, f"echo \"DefaultCPUAllocator: can't allocate memory\" >&2; {how}")
    assert found["error"].endswith(": memory ran out: DefaultCPUAllocator: can't allocate memory")
    assert (found["cause"], found["cause_sure"]) == ("host_oom", False)


@pytest.mark.parametrize(("used", "is_said"), [(61, True), (40, False)])
def test_a_kill_when_nearly_all_memory_was_in_use_is_probably_about_memory(
    tmp_path: Path, used: int, is_said: bool
) -> None:
    rows = f'{{"pss": 5, "memory_limit": {64 << 30}}}\\n{{"rss": {used << 30}}}\\n{{"rss": 5'
    found = of_shell(tmp_path, f"printf '{rows}' > '{tmp_path}/a/resources.jsonl'; kill -KILL $$")
    said = ": memory probably ran out (61.0 GiB in use when last seen, of 64.0 GiB)"
    assert found["error"] == "killed by SIGKILL (not sent by this runner)" + said * is_said
    assert (found["cause"], found["cause_sure"]) == ("host_oom" if is_said else "unknown", False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("exec ", ""),
        ("", "exit $?"),
        ("", "echo 'RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.' >&2; exit 1"),
    ],
    ids=["the job", "the command of a shell", "a worker"],
)
def test_a_job_that_the_kernel_kills_for_its_memory_is_recorded_so(
    tmp_path: Path, small_group: Path, before: str, after: str
) -> None:
    greedy = "import time; held = [bytearray(b'x' * (8 << 20)) for _ in range(200)]; time.sleep(60)"
    process = supervised(
        request(tmp_path / "a", "sh", "-c", f'{before}python3 -c "{greedy}"; {after}'),
        "-c",
        f"import os, runpy, sys; open({str(small_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        f"sys.path.insert(0, {str(Path(exit_codes.__file__).parents[2])!r})\n"
        f"runpy.run_path({str(Path(exit_codes.__file__).with_name('__main__.py'))!r}, run_name='__main__')",
    )
    ended(process)
    found = read(tmp_path / "a" / "experiment_result.json")
    assert found["cause"] == "host_oom" and "memory ran out (oom_kill in " in found["error"]
    assert "rose from 0 to " in found["error"] and found["cause_sure"] is True
    assert "SIGKILL" in (found["signal"], found.get("command_signal")) or found["return_code"] == 1


def test_counters_that_cannot_be_read_are_no_evidence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(out_of_memory, "OWN", str(tmp_path / "none"))
    counter = tmp_path / "vmstat"
    monkeypatch.setattr(out_of_memory, "VMSTAT", str(counter))
    assert out_of_memory.KillCounters().risen() is None
    counter.write_text("nr_free 1\noom_kill 3\n")
    before = out_of_memory.KillCounters()
    assert before.risen() is None
    counter.write_text("nr_free 1\noom_kill 4\n")
    assert before.risen() == f"oom_kill in {counter} rose from 3 to 4"
    counter.write_text("oom_kill many\n")
    assert before.risen() is None


# The cause in the output


def test_an_error_on_stdout_is_found_although_stderr_has_a_bar(tmp_path: Path) -> None:
    found = of_shell(tmp_path, r"printf '\r 10%%|#   | 1/10\r 51%%|#####  | 51/100' >&2; echo FATAL: no data; exit 1")
    assert found["error"] == "exit code 1: FATAL: no data"


def test_a_traceback_that_was_only_logged_is_not_the_cause(tmp_path: Path) -> None:
    program = (
        "import sys, time, traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()\n"
        "for i in range(4): print('iter', i, 'loss 0.3', flush=True); time.sleep(0.5)\nsys.exit(3)"
    )
    found = result(tmp_path, "python3", "-c", program)
    assert found["error"] == "exit code 3"
    assert "ZeroDivisionError" in (tmp_path / "a" / "error_details.txt").read_text()


def test_output_that_was_held_back_until_the_end_does_not_hide_a_traceback(tmp_path: Path) -> None:
    program = "print('iter 1 loss 0.3'); 1/0"
    found = result(tmp_path, "env", "-u", "PYTHONUNBUFFERED", "python3", "-c", program)
    assert found["error"] == "exit code 1: ZeroDivisionError: division by zero"


def test_lines_that_end_with_a_carriage_return_are_read(tmp_path: Path) -> None:
    assert of_shell(tmp_path, r"printf 'ERROR: no disk\r\n' >&2; exit 1")["error"] == "exit code 1: ERROR: no disk"


def test_what_a_stalled_job_said_last_is_shown_as_it_is(tmp_path: Path) -> None:
    ended(supervised(request(tmp_path / "a", "sh", "-c", "echo iter 7: loss 2; exec sleep 60", stall_timeout=0.3)))
    assert read(tmp_path / "a" / "experiment_result.json")["error"].endswith("its last output: iter 7: loss 2")


@pytest.mark.slow
def test_the_cause_of_a_rank_is_found_above_the_table_of_torchrun(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = tmp_path / "t.py"
    script.write_text("import os\nif os.environ['RANK'] == '1': raise ValueError('shard 1 is empty')\n")
    run = "from torch.distributed.run import main; main()"
    found = result(tmp_path, sys.executable, "-c", run, "--standalone", "--nproc_per_node=2", str(script))
    assert found["error"] == "exit code 1: ValueError: shard 1 is empty"


@pytest.mark.parametrize("compiler", ["g++", "node"])
def test_programs_in_other_languages_are_understood(tmp_path: Path, compiler: str) -> None:
    if subprocess.run(["which", compiler], capture_output=True, check=False).returncode:
        pytest.skip(f"{compiler} is not installed")
    if compiler == "node":
        (tmp_path / "t.js").write_text("function f() { throw new Error('no weights'); }\nf();\n")
        found = result(tmp_path, "node", str(tmp_path / "t.js"))
        assert found["error"] == "exit code 1: Error: no weights"
        return
    (tmp_path / "t.cpp").write_text('#include <stdexcept>\nint main() { throw std::runtime_error("no weights"); }\n')
    subprocess.run(["g++", "-o", str(tmp_path / "t"), str(tmp_path / "t.cpp")], check=True)
    assert result(tmp_path, str(tmp_path / "t"))["error"] == "killed by SIGABRT: std::runtime_error: no weights"
