"""A Hydra application that is not ours, and sweeps of it under hydra/launcher=runner."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, Workspace, read

APP = """\
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

log = logging.getLogger(__name__)
lock = __import__("threading").Lock()  # cannot be pickled, like much in a program


class Answer:
    def __init__(self, value):
        self.value = value


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    job = HydraConfig.get().job
    with (Path(HydraConfig.get().runtime.cwd) / "runs").open("a") as file:
        file.write(f"{os.getpid()} {job.num} {cfg.seed}\\n")
    log.info("model %s, seed %s, doubled %s", cfg.model.name, cfg.seed, cfg.doubled)
    print("to the other stream", file=sys.stderr)
    match cfg.do:
        case "raise":
            raise ValueError(f"seed {cfg.seed} is unlucky")
        case "unlucky" if cfg.seed == 2:
            raise ValueError("seed 2 is unlucky")
        case "children":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
            Path("children").write_text(str(child.pid))
        case "sleep":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
            print("sleeping with", child.pid, flush=True)
            time.sleep(300)
        case "kill":
            os.kill(os.getpid(), 9)
        case "leave":
            sys.exit(0)
        case "lambda":
            return lambda: cfg.seed
        case "flaky" if not Path("tried").exists():
            Path("tried").touch()
            raise RuntimeError("not at the first try")
    return Answer(cfg.seed * 10)


if __name__ == "__main__":
    OmegaConf.register_new_resolver("double", lambda x: 2 * x)  # where many programs do it
    main()
"""
CONFIG = """\
defaults:
  - model: small
  - _self_
seed: 1
do: nothing
doubled: ${double:${seed}}
"""
SWEEP = ("-m", "hydra/launcher=runner", "hydra.sweep.dir=sweep")


@pytest.fixture
def app(work: Workspace) -> Workspace:
    work.write("app.py", APP)
    work.write("conf/config.yaml", CONFIG)
    for name in ("small", "base"):
        work.write(f"conf/model/{name}.yaml", f"name: {name}\n")
    return work


def start(work: Workspace, *words: str, program: str = "app.py") -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        [sys.executable, program, *words],
        cwd=work.folder, text=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    work.started.append(process)
    return process


def sweep(work: Workspace, *words: str, code: int = 0) -> tuple[str, str]:
    return run(work, "app.py", *SWEEP, *words, code=code)


def run(work: Workspace, program: str, *words: str, code: int = 0) -> tuple[str, str]:
    """A program with its complete command line, run to its end."""
    process = start(work, *words, program=program)
    out, err = process.communicate(timeout=100)
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
    return out, err


def status(work: Workspace, job: int | str) -> str:
    return str(read(work / f"sweep/{job}/experiment_result.json")["status"])


def ran(work: Workspace) -> list[str]:
    """`number seed` of all jobs that began, in order."""
    return [line.split(maxsplit=1)[1] for line in (work / "runs").read_text().splitlines()]
