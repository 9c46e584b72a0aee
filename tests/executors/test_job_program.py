"""Which script and which Python a job runs, as the words of its command say, without executing anything."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from runner.core.job import Job
from runner.executors.job_program import code_folder, interpreter, script_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with scripts, a package, a config, and an environment whose Python cannot be executed usefully."""
    for name in ("nano/train.py", "run.sh", "c/a.yaml", "pkg/__init__.py", "pkg/train.py", "pkg/sub/__main__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    executable(tmp_path / "env/bin/python", "#!/bin/sh\nexit 3\n")
    executable(tmp_path / "env/bin/torchrun", f"#!{tmp_path}/env/bin/python\n")
    executable(tmp_path / "env/bin/long", f"#!/bin/sh\n'''exec' \"{tmp_path}/env/bin/python\" \"$0\" \"$@\"\n' '''\n")
    executable(tmp_path / "tool", "#!/bin/sh\n")
    executable(tmp_path / "direct.py", f"#!/usr/bin/env -S {tmp_path}/env/bin/python -u\n")
    return tmp_path


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def job(project: Path, command: str, **more: object) -> Job:
    values = {"source": project / "c/a.yaml", "source_argument": "c/a.yaml", **more}
    return Job("a", tuple(shlex.split(command)), project / "out/a", cwd=project, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("python nano/train.py c/a.yaml", "nano/train.py"),
        ("python -u nano/train.py --config c/a.yaml --out out/a", "nano/train.py"),
        ("bash run.sh c/a.yaml", "run.sh"),
        ("./tool c/a.yaml", "tool"),
        ("torchrun --nproc_per_node=2 --rdzv_backend c10d nano/train.py c/a.yaml", "nano/train.py"),
        ("env/bin/torchrun --nproc_per_node 2 nano/train.py c/a.yaml", "nano/train.py"),
        ("env X=1 env/bin/python nano/train.py c/a.yaml", "nano/train.py"),
        ("accelerate launch --config_file pkg/__init__.py nano/train.py c/a.yaml", "pkg/__init__.py"),
        ("python -m pkg.train c/a.yaml", "pkg/train.py"),
        ("python -m pkg.sub c/a.yaml", "pkg/sub/__main__.py"),
        ("torchrun --nproc_per_node=2 -m pkg.train c/a.yaml", "pkg/train.py"),
        ("python -m pkg c/a.yaml", "pkg/__init__.py"),
        ("bash -c 'python nano/train.py c/a.yaml'", "nano/train.py"),
        ("nohup timeout 60 bash run.sh c/a.yaml", "run.sh"),
        ("python nano/train.py -m pkg.train c/a.yaml", "nano/train.py"),
        ("bash -c 'cd nano && python train.py c/a.yaml'", None),
        ("python -m missing.module c/a.yaml", None),
        ("true c/a.yaml", None),
    ],
)
def test_the_script_is_the_file_that_the_command_runs(project: Path, command: str, script: str | None) -> None:
    assert script_of(job(project, command)) == (project / script if script else None)


def test_a_module_is_searched_where_python_would_search_it(project: Path, tmp_path: Path) -> None:
    for place in ("lib", "env/lib/python3.12/site-packages", "develop"):
        (project / place).mkdir(parents=True)
    (project / "lib/one.py").write_text("")
    (project / "env/lib/python3.12/site-packages/two.py").write_text("")
    (project / "env/lib/python3.12/site-packages/x.pth").write_text(f"import sys\n{project}/develop\n")
    (project / "develop/three.py").write_text("")
    assert script_of(job(project, "python -m one c/a.yaml", env={"PYTHONPATH": "lib"})) == project / "lib/one.py"
    found = script_of(job(project, "env/bin/python -m two c/a.yaml"))
    assert found == project / "env/lib/python3.12/site-packages/two.py"
    assert script_of(job(project, "env/bin/python -m three c/a.yaml")) == project / "develop/three.py"


def test_a_script_behind_a_link_is_where_the_link_points(project: Path) -> None:
    (project / "link.py").symlink_to("nano/train.py")
    assert code_folder(job(project, "python link.py c/a.yaml")) == project / "nano"
    assert code_folder(job(project, "x", script=project / "link.py")) == project / "nano"


def test_without_a_script_the_configs_folder_counts_and_then_the_working_folder(project: Path) -> None:
    assert code_folder(job(project, "true c/a.yaml")) == project / "c"
    written = project / "out/configs/run_000.yaml"
    written.parent.mkdir(parents=True)
    written.write_text("")
    assert code_folder(job(project, "true x", source=written)) == project  # the runner wrote it
    assert code_folder(job(project, "true x", source=None)) == project


@pytest.mark.parametrize(
    ("command", "python"),
    [
        ("env/bin/python nano/train.py", "env/bin/python"),
        ("env X=1 Y=2 env/bin/python nano/train.py", "env/bin/python"),
        ("nice -n 5 timeout 60 env/bin/python nano/train.py", "env/bin/python"),
        ("env/bin/torchrun nano/train.py", "env/bin/python"),
        ("env/bin/long nano/train.py", "env/bin/python"),
        ("./direct.py c/a.yaml", "env/bin/python"),
        ("bash run.sh", None),
        ("bash -c 'env/bin/python nano/train.py'", None),
        ("./tool c/a.yaml", None),
        ("conda run -n x env/bin/python nano/train.py", None),
        ("uv run nano/train.py", None),
        ("docker run image env/bin/python nano/train.py", None),
        ("env PATH=/elsewhere python nano/train.py", None),
        ("no_such_program env/bin/python", None),
    ],
)
def test_the_interpreter_is_the_one_that_runs_the_script(project: Path, command: str, python: str | None) -> None:
    assert interpreter(job(project, command)) == (project / python if python else None)


def test_a_program_without_a_path_is_searched_in_the_jobs_own(project: Path) -> None:
    assert interpreter(job(project, "python t.py", env={"PATH": f"{project}/env/bin"})) == project / "env/bin/python"
    path = f"{project}/env/bin{os.pathsep}/usr/bin"
    assert interpreter(job(project, "torchrun t.py", env={"PATH": path})) == project / "env/bin/python"
    assert interpreter(job(project, "python t.py", env={"PATH": ""})) is None


def test_a_job_without_a_command_runs_in_our_own_python(project: Path) -> None:
    assert interpreter(job(project, "")) == Path(sys.executable)
