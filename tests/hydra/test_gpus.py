"""GPUs for the jobs of a Hydra sweep, on a machine that only says that it has them."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace, read
from tests.gpus.machine import Machine, uuid
from tests.hydra.programs import SWEEP, run

pytest.importorskip("hydra")

APP = """\
import os
import time
from pathlib import Path

import hydra


@hydra.main(version_base=None)
def main(cfg):
    mine = Path("claims", os.environ["CUDA_VISIBLE_DEVICES"])
    mine.touch(exist_ok=False)
    with open("seen", "a") as file:
        file.write(os.environ["CUDA_VISIBLE_DEVICES"] + "\\n")
    time.sleep(0.5)
    mine.unlink()


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def machine(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(work.folder)
    (work / "claims").mkdir()
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    work.write("app.py", APP)
    return made


@pytest.mark.slow
def test_each_job_has_a_gpu_of_its_own(machine: Machine, work: Workspace) -> None:
    out, _ = run(work, "app.py", *SWEEP, "+x=1,2,3,4", "hydra.launcher.gpus=[2,0]", "hydra.sweeper.max_batch_size=3")
    assert "Launching 3 jobs, 2 at once" in out and "GPUs: 2 (Fake A100" in out
    seen = (work / "seen").read_text().split()
    assert len(seen) == 4 and set(seen) == {uuid(2), uuid(0)}
    options = read(work / "sweep/plan.json")["options"]
    assert (options["gpus"], options["max_workers"]) == (f"{uuid(2)},{uuid(0)}", 2)


def test_gpus_that_are_not_there_are_one_sentence(machine: Machine, work: Workspace) -> None:
    _, err = run(work, "app.py", *SWEEP, "+x=1", "hydra.launcher.gpus=[7]", code=1)
    assert "hydra.launcher.gpus=7: " in err and "Traceback" not in err and not (work / "sweep/plan.json").exists()
