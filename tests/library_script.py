"""A script that uses the library, run as a person runs it: `python main.py --rerun`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT, Workspace

#: The example of the library's document, word for word; the comment is replaced by work that a test can count.
DOCUMENTED = """\
import runner
from runner import Config

@runner.experiment
def experiment(config: Config):
    lr = config.learning_rate
    epochs = config.epochs
    # Run your experiment...
    return {"accuracy": 0.95}

@experiment.configs
def configs():
    return [
        {"name": "fast", "learning_rate": 0.01, "epochs": 10},
        {"name": "slow", "learning_rate": 0.001, "epochs": 100},
    ]

@experiment.report
def report(configs, results):
    for config, result in zip(configs, results):
        print(f"{config['name']}: {result['accuracy']}")

if __name__ == "__main__":
    experiment.run()
"""
COUNT = "    with open('runs', 'a') as file: file.write(config.name + '\\n')\n"
COUNTED = DOCUMENTED.replace("    # Run your experiment...\n", COUNT)


def script(work: Workspace, body: str, configs: str = "[{'name': 'a', 'x': 1}, {'name': 'b', 'x': 2}]") -> Path:
    """main.py whose function counts its calls in `runs`, then does `body`; its report prints what it gets."""
    text = f"""\
import os, sys, time
from pathlib import Path
import runner

@runner.experiment
def experiment(config):
{COUNT}{"".join(f"    {line}" for line in body.splitlines(keepends=True))}

@experiment.configs
def configs():
    return {configs}

@experiment.report
def report(configs, results):
    print([config.name for config in configs], results)

if __name__ == "__main__":
    experiment.run()
"""
    return work.write("main.py", text)


def start(work: Workspace, *words: str, program: str = "main.py", **env: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "dumb", **env}
    process = subprocess.Popen(
        [sys.executable, program, *words],
        cwd=work.folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    work.started.append(process)
    return process


def run(
    work: Workspace, *words: str, code: int = 0, program: str = "main.py", **env: str
) -> subprocess.CompletedProcess[str]:
    """The script to its end; `code` is the exit code that it must have."""
    process = start(work, *words, program=program, **env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
    return subprocess.CompletedProcess(process.args, code, out, err)


def computed(work: Workspace) -> list[str]:
    """The names of the configs that were computed so far, in that order."""
    path = work / "runs"
    return path.read_text().split() if path.exists() else []


def folder(work: Workspace, name: str, out: str = "out") -> Path:
    """The folder of the config with this name."""
    (found,) = (path for path in (work / out).iterdir() if re.fullmatch(re.escape(name) + "-[0-9a-f]{16}", path.name))
    return found


def meta(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "meta.json").read_text())
    return found
