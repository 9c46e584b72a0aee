"""The command line of a job: what the program takes before Hydra reads it, and programs that write it themselves."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace, read
from tests.hydra.programs import SWEEP, run, status

pytestmark = pytest.mark.slow

pytest.importorskip("hydra")

ENDING = """
with open("starts", "a") as file:
    file.write("started\\n")
if len(open("starts").readlines()) > 6:
    sys.exit("without end")


@hydra.main(version_base=None)
def main(cfg):
    with open("seen", "a") as file:
        file.write(f"{cfg.x} {given}\\n")


if __name__ == "__main__":
    main()
"""
TAKES_WORDS = f"""\
import argparse
import sys
import hydra

parser = argparse.ArgumentParser()
parser.add_argument("--debug", action="store_true")
parser.add_argument("--data-root")
given, rest = parser.parse_known_args()
given = f"{{given.debug}} {{given.data_root}}"
sys.argv = [sys.argv[0], *rest]
{ENDING}"""
TAKES_WHAT_FOLLOWS = f"""\
import sys
import hydra

at = sys.argv.index("--")
given = sys.argv[at + 1 :]
del sys.argv[at:]
{ENDING}"""
SETS = f"""\
import sys
import hydra

given = None
sys.argv = ["own.py", "-m", "+x=1,2", "hydra/launcher=runner", "hydra.sweep.dir=sweep${{now:%f}}"]
{ENDING}"""
EXTENDS = f"""\
import sys
import hydra

given = None
sys.argv += ["-m", "+x=1,2", "hydra/launcher=runner", "hydra.sweep.dir=sweep"]
{ENDING}"""


def seen(work: Workspace) -> list[str]:
    return sorted((work / "seen").read_text().splitlines())


@pytest.mark.parametrize("first", [True, False])
def test_a_job_gets_the_words_that_the_program_takes(work: Workspace, first: bool) -> None:
    work.write("own.py", TAKES_WORDS)
    own, hydra = ("--debug", "--data-root", "/x"), (*SWEEP, "+x=1,2")
    run(work, "own.py", *(own + hydra if first else hydra + own))
    assert seen(work) == ["1 True /x", "2 True /x"]
    again = read(work / "sweep/plan.json")["jobs"][0]["rerun"]
    assert again[-4:] == (["--debug", "--data-root", "/x", "+x=1"] if first else ["+x=1", *own])


def test_a_job_gets_the_words_on_both_sides_of_those_for_hydra(work: Workspace) -> None:
    work.write("own.py", TAKES_WHAT_FOLLOWS)
    run(work, "own.py", *SWEEP, "+x=1", "--", "+x=3", "-m")
    assert seen(work) == ["1 ['+x=3', '-m']"]


def test_a_job_gets_the_options_of_python(work: Workspace) -> None:
    program = TAKES_WORDS.replace("{cfg.x} {given}", "{cfg.x} {__debug__} {sys.warnoptions}")
    work.write("own.py", program)
    run(work, "-O", "-W", "ignore::UserWarning", "own.py", *SWEEP, "+x=1,2")
    assert seen(work) == ["1 False ['ignore::UserWarning']", "2 False ['ignore::UserWarning']"]


def test_the_words_of_the_program_count_when_a_sweep_is_resumed(work: Workspace) -> None:
    work.write("own.py", TAKES_WORDS)
    run(work, "own.py", "--data-root", "/x", *SWEEP, "+x=1")
    resume = (*SWEEP, "+x=1", "hydra.launcher.resume=true")
    run(work, "own.py", "--data-root", "/x", *resume)
    assert seen(work) == ["1 False /x"]
    _, err = run(work, "own.py", "--data-root", "/y", *resume, code=1)
    assert "job 0: was run by another command" in err and "Traceback" not in err


def test_a_program_that_extends_its_command_line_sweeps_once(work: Workspace) -> None:
    work.write("own.py", EXTENDS)
    run(work, "own.py")
    assert seen(work) == ["1 None", "2 None"]


def test_a_program_that_sets_its_command_line_does_not_sweep_without_end(work: Workspace) -> None:
    work.write("own.py", SETS)
    _, err = run(work, "own.py", code=1)
    (root,) = work.folder.glob("sweep*")
    assert len((work / "starts").read_text().splitlines()) == 3 and not (work / "seen").exists()
    cause = f"this process was started for a job of the sweep in {root}, and starts a sweep instead"
    assert cause in read(root / "0/experiment_result.json")["error"] and cause in err and "Traceback" not in err


def test_a_job_may_sweep(work: Workspace) -> None:
    work.write("inner.py", TAKES_WORDS)
    words = ["inner.py", "-m", "+x=1", "hydra/launcher=runner", "hydra.sweep.dir=inner"]
    sweep_within = f"__import__('subprocess').run([sys.executable, *{words}], check=True)"
    work.write("own.py", TAKES_WORDS.replace("def main(cfg):\n", f"def main(cfg):\n    {sweep_within}\n"))
    run(work, "own.py", *SWEEP, "--debug", "+x=2")
    assert status(work, 0) == "completed" and seen(work) == ["1 False None", "2 True None"]


SEVERAL = """\
import hydra


def noted(name, cfg):
    with open("seen", "a") as file:
        file.write(f"{name} {cfg.x}\\n")


@hydra.main(version_base=None)
def train(cfg):
    noted("train", cfg)


@hydra.main(version_base=None)
def evaluate(cfg):
    noted("evaluate", cfg)


if __name__ == "__main__":
    train()
    evaluate()
"""


def test_a_program_with_several_applications_runs_each_in_its_own_sweep(work: Workspace) -> None:
    work.write("own.py", SEVERAL)
    run(work, "own.py", "-m", "hydra/launcher=runner", "hydra.sweep.dir=sweep${now:%f}", "+x=1,2")
    assert seen(work) == ["evaluate 1", "evaluate 2", "train 1", "train 2"]


def test_a_job_whose_function_is_gone_does_not_count_as_completed(work: Workspace) -> None:
    work.write("own.py", SEVERAL.replace("    train()\n", "").replace("cfg)\n\n\nif", "cfg)\n    1 / cfg.x\n\n\nif"))
    run(work, "own.py", *SWEEP, "+x=0", code=1)
    work.write("own.py", SEVERAL.replace("evaluate", "test"))
    work.run("--resume", "sweep", code=1)
    assert seen(work) == ["evaluate 0"]
    error = read(work / "sweep/0/experiment_result.json")["error"]
    assert "__main__:evaluate, which the program does not give to Hydra" in error
