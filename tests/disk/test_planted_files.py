"""Pipes, folders, sockets, links and files of 40 GB at every name that the runner opens: each is a sentence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, Workspace
from tests.disk.planting import KINDS, OF_A_BATCH, OF_A_JOB, limit_memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENDS_WITHIN = 120  # seconds of a command on a machine with much else to do; most need less than one
PLANT = """\
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, {project!r})
from tests.disk.planting import plant
kind, path = sys.argv[1], Path(sys.argv[2])
path.parent.mkdir(exist_ok=True)
shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
plant(path, kind)
"""


def run(work: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, PROJECT / "run_experiments.py", *words], cwd=work.folder, text=True, capture_output=True,
        timeout=ENDS_WITHIN, preexec_fn=limit_memory, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
    return done


@pytest.fixture
def planted(work: Workspace, request: pytest.FixtureRequest) -> str:
    """Configs that plant something of one kind: `own_N` at the Nth name of its own folder, `first` at the Nth name in
    that of `then_N`. All but `own_N` exit with 0."""
    kind = str(request.param)
    work.write("plant.py", PLANT.format(project=str(PROJECT)))
    plant = f'"{sys.executable}" plant.py {kind}'
    for number, name in enumerate(OF_A_JOB):
        work.write(f"c/own_{number:02}.sh", f'{plant} "$1/{name}"; echo planted; exit 3\n')
        work.write(f"c/then_{number:02}.sh", "echo here; exit 0\n")
    lines = [f'{plant} "$1/../then_{number:02}/{name}"\n' for number, name in enumerate(OF_A_JOB)]
    work.write("c/first.sh", "".join(lines))
    return kind


@pytest.mark.parametrize("planted", KINDS, indirect=True)
def test_what_a_job_plants_is_a_sentence_of_a_job_and_the_batch_goes_on(work: Workspace, planted: str) -> None:
    arguments = ("--retries", "1", "--retry_delay", "0.1", "--max_workers", "2", "--quiet", "--max_same_failures", "0")
    done = run(work, "--configs", "c/[f]*.sh", "c/[ot]*.sh", "--command", "sh {config} {out_dir}", *arguments)
    assert done.returncode == 1, done.stderr
    for again in (False, True):
        results = work.summary["results"]
        statuses = {name: result["status"] for name, result in results.items()}
        assert statuses.pop("first") == "completed"
        assert {name for name, status in statuses.items() if status not in ("completed", "failed", "error")} == set()
        assert all(results[name]["error"] for name, status in statuses.items() if status == "error")
        ran = {name for name, status in statuses.items() if status in ("completed", "failed")}
        assert len(ran) >= 2 * len(OF_A_JOB) - (0 if planted != "folder" else 6), statuses
        if again:
            break
        for command in (("status",), ("status", "--json"), ("list",), ("table",), ("stop",), ("tail", "-n", "3")):
            assert run(work, *command).returncode in (0, 1, 2)
        for job in ("own_00", "own_02", "then_02"):
            assert run(work, "tail", work.batch.name, job, "-n", "3").returncode in (0, 1, 2)
        assert run(work, "--resume", "--quiet").returncode == 1
    for precious in work.batch.glob("*/precious"):
        assert precious.read_text() == '{"do not": "touch"}\n'


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_in_the_folder_of_a_batch_is_a_sentence(work: Workspace, kind: str) -> None:
    work.write("c/a.sh", "echo here; exit 3\n")
    for name in ("healthy", "planted"):
        work.run("--configs", "c/a.sh", "--command", "sh {config} {out_dir}", "--name", name, "--quiet", code=1)
    batch = work.batch
    done = subprocess.run(
        [sys.executable, "-m", "tests.disk.planting", str(batch), kind], cwd=work.folder, text=True,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}, capture_output=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["fault"] for one in found if one["fault"]] == []
    codes = {(one["name"], one["command"]): one["code"] for one in found}
    outputs = {(one["name"], one["command"]): one["output"] for one in found}
    for name in OF_A_BATCH:
        assert codes[name, "list"] == 0 and "healthy" in outputs[name, "list"]
        if name != "plan.json":
            assert codes[name, "status"] == 0 and codes[name, "status after"] == 0
        for command in ("status", "resume", "stop"):
            if codes[name, command] == 2:
                assert len(outputs[name, command].splitlines()) == 1, outputs[name, command]
    assert codes["plan.json", "status"] == codes["plan.json", "resume"] == 2
    assert all(str(batch.name) in outputs["plan.json", command] for command in ("status", "resume"))
    runs_on = [name for name in OF_A_BATCH if name not in ("plan.json", ".lock")]
    assert {name: codes[name, "resume"] for name in runs_on} == dict.fromkeys(runs_on, 1)
    assert not (batch / "precious").exists() or (batch / "precious").read_text() == '{"do not": "touch"}\n'
