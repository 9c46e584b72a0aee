"""Causes as real jobs have them: memory that runs out, secrets, rules of the user, jobs that complete."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, read
from tests.faults import ended, request, supervised

GREEDY = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29)); x = bytearray(1 << 34)"
SUPERVISOR = PROJECT / "runner" / "supervisor" / "__main__.py"


def result(folder: Path, *argv: str) -> dict[str, object]:
    ended(supervised(request(folder / "a", *argv)))
    return dict(read(folder / "a" / "experiment_result.json"))


def test_a_job_that_completed_has_no_cause_whatever_it_printed(tmp_path: Path) -> None:
    found = result(tmp_path, "sh", "-c", "echo 'RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB' >&2")
    assert found["status"] == "completed" and not {"cause", "cause_sure", "cause_evidence"} & set(found)


def test_a_job_that_was_stopped_has_no_cause(tmp_path: Path) -> None:
    asked = request(tmp_path / "a", "sh", "-c", "echo 'MemoryError' >&2; sleep 60", timeout=0.5)
    ended(supervised(asked))
    found = read(tmp_path / "a" / "experiment_result.json")
    assert found["status"] == "timeout" and "cause" not in found


@pytest.mark.linux
def test_a_job_that_meets_a_limit_of_memory_is_host_oom(tmp_path: Path) -> None:
    found = result(tmp_path, sys.executable, "-c", GREEDY)
    assert (found["status"], found["cause"], found["cause_sure"]) == ("failed", "host_oom", True)
    evidence = found["cause_evidence"]
    assert isinstance(evidence, dict) and (evidence["line"], evidence["file"]) == ("MemoryError", "stderr.log")
    assert (tmp_path / "a" / "stderr.log").read_bytes()[evidence["offset"] :].rstrip().endswith(b" MemoryError")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raises", "cause"),
    [
        ("torch.empty(1 << 48)", "host_oom"),
        ("raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')", "gpu_oom"),
        ("torch.zeros(1, device='cuda')", "import"),
        ("torch.zeros(2, 3) @ torch.zeros(2, 3)", "code"),
    ],
)
def test_what_torch_really_says_is_understood(tmp_path: Path, raises: str, cause: str) -> None:
    import torch

    if cause == "import" and torch.backends.cuda.is_built():
        pytest.skip("this torch has CUDA")
    found = result(tmp_path, sys.executable, "-c", f"import torch; {raises}")
    assert (found["status"], found["cause"]) == ("failed", cause), found["error"]


def test_a_secret_in_the_evidence_is_hidden(tmp_path: Path) -> None:
    found = result(tmp_path, "sh", "-c", "echo 'ERROR: api_key=sk-aB3dE5fG7hJ9kL1mN3pQ5rS7 was refused' >&2; exit 1")
    evidence = found["cause_evidence"]
    assert isinstance(evidence, dict) and "***" in evidence["line"] and "sk-aB3" not in evidence["line"]


def test_an_end_is_recorded_although_nothing_can_explain_it(tmp_path: Path) -> None:
    """As after an update of the runner while the job ran."""
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(PROJECT)!r})\n"
        "sys.modules['runner.supervisor.explanation'] = None\n"
        f"runpy.run_path({str(SUPERVISOR)!r}, run_name='__main__')"
    )
    ended(supervised(request(tmp_path / "a", "sh", "-c", "exit 3"), "-c", program))
    found = read(tmp_path / "a" / "experiment_result.json")
    assert (found["status"], found["return_code"]) == ("failed", 3)
    assert found["error"].startswith("exit code 3; its output cannot be explained")


def test_rules_of_the_user_come_first_and_are_kept_over_a_resume(work: Workspace) -> None:
    work.write("c/a.py", "x = 1\n")
    work.write("job.py", "raise RuntimeError('LM-77: no license, CUDA out of memory')")
    work.write("mine.toml", '[[rule]]\ncause = "license"\npattern = "LM-[0-9]+: no license"\n')
    work.run("--configs", "c/a.py", "--train_script", "job.py", "--causes", "mine.toml", code=1)
    assert (work.result("a")["cause"], work.result("a")["cause_sure"]) == ("license", True)
    work.run("--resume", code=1)
    assert work.result("a")["attempt"] == 2 and work.result("a")["cause"] == "license"
    (work / "mine.toml").unlink()
    work.run("--resume", code=1)
    assert work.result("a")["cause"] == "gpu_oom"


def test_an_error_in_the_rules_is_one_sentence_and_nothing_is_started(work: Workspace) -> None:
    work.write("c/a.py", "x = 1\n")
    work.write("job.py", "")
    work.write("mine.toml", '[[rule]]\ncause = "disk"\npattern = "a("\n')
    done = work.run("--configs", "c/a.py", "--train_script", "job.py", "--causes", "mine.toml", code=2)
    assert "mine.toml: rule 1: pattern is not a regular expression" in done.stderr
    assert "--causes" in work.run("--configs", "c/a.py", "--train_script", "job.py", "--causes", "no", code=2).stderr


def test_what_is_missing_is_not_tried_again(work: Workspace) -> None:
    work.write("c/a.py", "x = 1\n")
    work.write("job.py", "import no_such_module_of_ours")
    work.run("--configs", "c/a.py", "--train_script", "job.py", "--retries", 2, "--retry_delay", 0.1, code=1)
    found = work.result("a")
    assert (found["cause"], found["cause_sure"], found["attempt"]) == ("import", True, 1)
