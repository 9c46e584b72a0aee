"""Does the torture test see what it should? It is run on copies of the runner, each with one defect of defects.py."""

from __future__ import annotations

import contextlib
import importlib
import io
import operator
import shutil
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from torture import durability, program
from torture.defects import DEFECTS, Defect

PROJECT = Path(__file__).resolve().parents[2]
PARTS = ("runner", "hydra_plugins", "pipelines", "model", "config", "*.py")  # what run_experiments.py may import
KILLS = 100  # in which each defect must be seen


def self_test(folder: Path, names: Sequence[str], seed: int) -> int:
    """A table of the defects, which count saw each, and after how many kills; returns 1 if one was not seen."""
    unknown = {*names} - {defect.name for defect in DEFECTS}
    if unknown:
        raise SystemExit(f"--self-test: unknown defect {', '.join(sorted(unknown))}")
    missed = []
    with silence():
        length = program.Torture(program.arguments([]), folder, program.RUNNER).undisturbed()
    print("| defect | what is broken | accused by | kills | seconds |\n|---|---|---|---|---|", flush=True)
    for defect in DEFECTS:
        if names and defect.name not in names:
            continue
        began = time.monotonic()
        torture = tortured(defect, folder / defect.name, seed, length)
        seen = [kind for kind in defect.accused if torture.faults[kind]]
        if not seen and not ({*defect.accused} == {"not durable"} and not durability.available()):
            missed.append(defect.name)
        by = ", ".join(f"{kind} {torture.faults[kind]}" for kind in seen) or "MISSED"
        about = " ".join([defect.about, *(f"(`{option}`)" for option in defect.options)])
        cells = (f"`{defect.name}`", about, by, torture.total["kills"], f"{time.monotonic() - began:.0f}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if missed:
        print(f"not seen: {', '.join(missed)}")
    return 1 if missed else 0


def tortured(defect: Defect, folder: Path, seed: int, length: float) -> program.Torture:
    """The torture of a copy with this defect, which ends once it is accused of it."""
    given = program.arguments(["--kills", str(KILLS), "--seed", str(seed), *defect.options])
    torture = program.Torture(given, folder / "batches", broken(defect, folder / "copy"))
    with silence():
        torture.run(defect.accused, length)
    shutil.rmtree(folder)
    return torture


@contextlib.contextmanager
def silence() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def check_that_it_applies(defect: Defect) -> None:
    """Raises SystemExit if a name that the defect redefines or uses is not there any more."""
    module = importlib.import_module(defect.module.removesuffix(".py").replace("/", "."))
    try:
        for name in defect.names:
            operator.attrgetter(name)(module)
    except AttributeError as error:
        raise SystemExit(f"{defect.name}: does not apply to {defect.module} any more: {error}") from None


def broken(defect: Defect, folder: Path) -> Path:
    """The program of a copy of the runner that has the defect."""
    check_that_it_applies(defect)
    folder.mkdir(parents=True)
    for path in (found for part in PARTS for found in PROJECT.glob(part)):
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder)
    with (folder / defect.module).open("a") as file:
        file.write(textwrap.dedent(defect.code))
    return folder / program.RUNNER.name
