"""Make the batches in this folder with the code of release 0.1.0; README.md says how to call it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.released import PROJECT_MARK, ROOT, link_python, rewrite

HERE = Path(__file__).resolve().parent
MADE = ("experiments", "outputs", "background_runs", "sweep", "out")  # in a workspace; all else was written by hand
LEFT_OUT = ("starts", "sleeping", ".venv", "__pycache__")
PYTHON = ".venv/bin/python"
SAME_PYTHON = "/proc/self/cwd/.venv/bin/python"  # absolute, and yet the same in every workspace
NEUTRAL = {  # what says on which machine it was
    r'"host": "[^"]*"': '"host": "host"',
    r'"platform": "[^"]*"': '"platform": "Linux"',
    r'"commit": "[^"]*"': f'"commit": "{"0" * 40}"',
    r'"branch": "[^"]*"': '"branch": "main"',
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "00000000-0000-0000-0000-000000000000",  # of the machine's start
    re.escape(sys.base_prefix): "/usr",
}


class Workspace:
    """A copy of a workspace, in which commands are run with the code of `checkout`."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder
        self.checkout = checkout
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "PYTHONPATH": str(checkout)}

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        print("$", *command, flush=True)
        return subprocess.Popen(command, cwd=self.folder, env=self.env)

    def run(self, *command: str, code: int = 0) -> None:
        found = self.start(*command).wait()
        assert found == code, f"exit code {found}"

    def interrupt(self, *command: str) -> None:
        """Start it, and press Ctrl+C when a job sleeps."""
        process = self.start(*command)
        self.wait_until_a_job_sleeps()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130

    def wait_until_a_job_sleeps(self) -> None:
        while not (self.folder / "sleeping").exists():
            time.sleep(0.05)
        time.sleep(0.5)  # what the job has printed reaches its logs
        (self.folder / "sleeping").unlink()


def batches(work: Workspace) -> None:
    runner = (PYTHON, f"{work.checkout}/run_experiments.py")
    background = (PYTHON, f"{work.checkout}/scripts/run_background.py")
    script = ("--train_script", "job.py")
    retries = ("--retries", "1", "--retry_delay", "0.1", "--resume_args", "--load {checkpoint}")
    tree = ("--config-root", "config", *script, "--runners", "programs")
    # files
    work.run(*runner, "--configs", "c/*", *script, "--name", "files", *retries, "--seed", "3", "--limit", "3", code=1)
    work.interrupt(*runner, "--resume", "--only", "pending")
    work.run(*runner, "--configs", "c/1*", "c/5*", *script, "--name", "limited", "--limit", "1")
    # sweeps: stopped by Ctrl+C, stopped in the background, and killed together with the supervisor of its job
    work.interrupt(*runner, "--exp", "specs/lr_sweep.yaml", *script)
    work.run(*background, "--experiment", "specs/background_sweep.yaml", *script)
    work.wait_until_a_job_sleeps()
    (run,) = (work.folder / "background_runs").iterdir()
    work.run(*background, "--stop", run.name)
    killed(work, *runner, "--exp", "specs/killed_sweep.yaml", *script)
    # a tree, one of whose subdirectories has a program of its own
    work.run(*runner, *tree, "--limit", "1")
    work.interrupt(*runner, *tree)


def killed(work: Workspace, *command: str) -> None:
    process = work.start(*command)
    work.wait_until_a_job_sleeps()
    (record,) = work.folder.glob("experiments/killed_sweep_*/*/supervisor.json")
    process.send_signal(signal.SIGSTOP)  # it must not notice that the supervisor ends
    os.kill(int(json.loads(record.read_bytes())["supervisor"][0]), signal.SIGKILL)
    process.kill()
    process.wait()


def hydra(work: Workspace) -> None:
    words = ("-m", "hydra/launcher=runner", "hydra.sweep.dir=sweep", "do=complete,fail,sleep,later")
    work.interrupt(SAME_PYTHON, "-m", "app", *words)


def library(work: Workspace) -> None:
    work.run(PYTHON, "main.py", "--isolate", "--only", "isolated")
    work.run(PYTHON, "main.py", "--only", "broken", code=1)
    work.interrupt(PYTHON, "main.py")
    changed = work.folder / "changed.py"
    text = changed.read_text()
    changed.write_text(text.replace("FACTOR = 3", "FACTOR = 2"))
    work.run(PYTHON, "changed.py")
    changed.write_text(text)


def keep(work: Workspace, stored: Path) -> None:
    """Replace what is stored by what was made, without the folders and the name of this machine."""
    for name in LEFT_OUT:
        for path in work.folder.rglob(name):
            path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)
    rewrite(work.folder, {str(work.folder): ROOT, str(work.checkout): PROJECT_MARK})
    for path in work.folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix != ".pkl":
            text = before = path.read_bytes().decode()
            for pattern, neutral in NEUTRAL.items():
                text = re.sub(pattern, neutral, text)
            if text != before:
                path.write_bytes(text.encode())
    shutil.rmtree(stored)
    shutil.copytree(work.folder, stored, symlinks=True)


def make(name: str, commands: Callable[[Workspace], None], checkout: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve() / name
        shutil.copytree(HERE / name, folder, ignore=shutil.ignore_patterns(*MADE, *LEFT_OUT))
        link_python(folder)
        work = Workspace(folder, checkout)
        commands(work)
        keep(work, HERE / name)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell starts us with SIGINT ignored
    for commands in (batches, hydra, library):
        make(commands.__name__, commands, Path(sys.argv[1]).resolve())
