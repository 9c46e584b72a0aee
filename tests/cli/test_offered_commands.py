"""Every command line that is offered can be pasted into a shell where the user stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT, RUN_EXPERIMENTS, Workspace

pytestmark = pytest.mark.slow

#: It fails until there is a file `go on`.
JOB = """
import os, sys, time
print("output")
while os.path.exists("hold"):
    time.sleep(0.02)
sys.exit(not os.path.exists("go on"))
"""
BASE = "my results"


class User:
    """Someone in a shell, in a folder whose name has a space, who starts the program with these words."""

    def __init__(self, work: Workspace, start: str, environment: dict[str, str]) -> None:
        self.work = work
        self.folder = work / "the user's work"
        self.start = start
        self.environment = {**os.environ, "TERM": "dumb", **environment}
        for name, text in (("job it.py", JOB), ("my c/a b.py", "x = 1\n"), ("my c/c.py", "x = 2\n")):
            work.write(f"{self.folder.name}/{name}", text)

    def types(self, line: str, code: int, folder: Path | None = None) -> str:
        """What a line prints in bash."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder or self.folder, env=self.environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{line}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def runs(self, words: str, code: int, folder: Path | None = None) -> str:
        return self.types(f"{self.start} {words}", code, folder)

    @property
    def batch(self) -> Path:
        return (self.folder / BASE / "latest").resolve()


def by_script(work: Workspace) -> tuple[str, dict[str, str]]:
    return f"{sys.executable} {RUN_EXPERIMENTS}", {}


def by_name_of_python(work: Workspace) -> tuple[str, dict[str, str]]:
    """As from an activated environment."""
    return f"python {RUN_EXPERIMENTS}", {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def by_module(work: Workspace) -> tuple[str, dict[str, str]]:
    return f"{sys.executable} -m runner", {"PYTHONPATH": str(PROJECT)}


def installed(work: Workspace, name: str = "bin dir/overnight") -> Path:
    text = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(PROJECT)!r})\nfrom runner.cli.main import main\n"
    path = work.write(name, f"{text}sys.exit(main())\n")
    path.chmod(0o755)
    return path


def by_command(work: Workspace) -> tuple[str, dict[str, str]]:
    return "overnight", {"PATH": f"{installed(work).parent}:{os.environ['PATH']}"}


def by_path_of_command(work: Workspace) -> tuple[str, dict[str, str]]:
    return f"'{installed(work)}'", {}


WAYS = [by_script, by_name_of_python, by_module, by_command, by_path_of_command]


@pytest.fixture(params=WAYS, ids=[way.__name__ for way in WAYS])
def user(request: pytest.FixtureRequest, work: Workspace) -> User:
    way: Callable[[Workspace], tuple[str, dict[str, str]]] = request.param
    return User(work, *way(work))


def offered(output: str, mark: str) -> list[str]:
    """What stands behind a mark in the lines of an output."""
    return [line.split(mark, 1)[1].strip() for line in output.splitlines() if mark in line]


def test_what_a_batch_offers_at_its_end(user: User) -> None:
    words = f"--configs 'my c/*.py' --train_script 'job it.py' --base_out_dir '{BASE}' --lr 1"
    output = user.runs(words, 1)
    for line in offered(output, "started, tail -f "):
        assert "output" in user.types(f"cat {line}", 0)
    (resume,) = offered(output, "Resume:  ")
    first, second = offered(output, "    again  ")
    report = user.types(resume, 1)  # where it is offered again, in the same folder
    (user.folder / "go on").touch()
    before = user.batch
    user.types(first, 0)
    assert user.batch != before and [path.name for path in user.batch.glob("[ac]*")] == ["a b"]
    assert offered(report, "    again  ") == [first, second] and offered(report, "Resume:  ") == [resume]
    user.types(offered(report, "Resume:  ")[0], 0)
    assert json.loads((before / "experiment_summary.json").read_text())["completed"] == 2


def test_what_a_resume_from_another_folder_offers(user: User) -> None:
    user.runs(f"--configs 'my c/*.py' --train_script 'job it.py' --base_out_dir '{BASE}'", 1)
    root, elsewhere = user.batch, user.work / "else where"
    elsewhere.mkdir()
    report = user.runs(f"--resume '../{user.folder.name}/{BASE}/latest'".replace("'s", "'\\''s"), 1, elsewhere)
    (user.folder / "go on").touch()
    user.types(offered(report, "    again  ")[0], 0, elsewhere)
    assert json.loads((root / "a b/experiment_result.json").read_text())["attempt"] == 3
    user.types(offered(report, "Resume:  ")[0], 0, elsewhere)
    assert json.loads((root / "experiment_summary.json").read_text())["completed"] == 2


def test_what_a_batch_in_the_background_offers(user: User) -> None:
    (user.folder / "hold").touch()
    output = user.runs(f"--configs 'my c/*.py' --train_script 'job it.py' --base_out_dir '{BASE}' --detach", 0)
    (follow,), (stop,) = offered(output, "follow it: "), offered(output, "stop it: ")
    other = "--configs 'my c/*.py' --train_script 'job it.py' --dry-run"
    user.runs(other, 0)
    assert "Batch" in user.types(follow.replace("tail -f", "cat"), 0)
    assert "interrupted" in user.types(stop, 0)


def test_what_a_sweep_in_the_background_offers(work: Workspace) -> None:
    user = User(work, *by_script(work))
    (user.folder / "hold").touch()
    spec = "name: s\nmode: training\nbase_config: my c/a b.py\nsweep: {x: [1, 2]}\n"
    (user.folder / "s p.yaml").write_text(spec)
    output = user.runs(f"--exp 's p.yaml' --train_script 'job it.py' --base_out_dir '{BASE}' --detach", 0)
    user.types(offered(output, "follow it: ")[0].replace("tail -f", "cat"), 0)
    assert "interrupted" in user.types(offered(output, "stop it: ")[0], 0)
    (user.folder / "hold").unlink()
    output = user.runs(f"--exp 's p.yaml' --train_script 'job it.py' --base_out_dir '{BASE}' --resume", 1)
    (user.folder / "go on").touch()
    user.types(offered(output, "    again  ")[0], 0)
    user.types(offered(output, "Resume:  ")[0], 0)


def test_a_dry_run_shows_commands_that_can_be_pasted(work: Workspace) -> None:
    user = User(work, *by_script(work))
    output = user.runs("--configs 'my c/*.py' --train_script 'job it.py' --dry-run", 0)
    (user.folder / "go on").touch()
    lines = [line.strip() for line in output.splitlines() if "job it.py" in line]
    assert len(lines) == 2 and all("output" in user.types(line, 0) for line in lines)
