"""The package as others get it: sdist and wheel are built, and the wheel is installed into a bare environment.

The environment contains what the wheel requires and nothing else, so no network is needed: its packages are links.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from runner import __version__
from runner.cli.commands.registry import BATCHES, NAMES
from tests.conftest import PROJECT, Workspace
from tests.entry_points.test_install import builder

pytestmark = pytest.mark.slow

SCRIPT = "import sys\nprint(sys.argv[1:])\nprint('step 1: train loss 2.5, val loss 2.25')\n"
#: What a command is given, where it is more than --help. The rest of the commands only show their help.
USES = {
    "list": (), "status": (), "tail": ("--no_follow",), "attach": (), "wait": (), "table": (), "compare": (), "du": (),
    "rerun": ("a",), "add": ("config/c.py",), "note": ("latest", "a note"), "tag": ("latest", "good"),
    "clean": ("--keep", "1", "--yes"), "notify": ("bell",), "diff": ("a", "b"), "move": ("c", "--first"), "doctor": (),
    "report": (),
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    source.mkdir()
    for name in ("runner", "hydra_plugins"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(PROJECT / name, source)
    program = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=source, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    options = ["-q", "--no-deps", "--disable-pip-version-check", *builder()]
    command = [sys.executable, "-m", "pip", "wheel", *options, "-w", str(folder), str(sdist)]
    subprocess.run(command, check=True, timeout=150)
    return folder


def required(name: str, found: set[str]) -> Iterator[str]:
    """A distribution and all that it needs, without its extras."""
    if name in found:
        return
    found.add(name)
    yield name
    for line in distribution(name).requires or ():
        if "extra ==" not in line and "python_version <" not in line and "sys_platform ==" not in line:
            yield from required(re.split(r"[^\w.-]", line)[0], found)


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    known: set[str] = set()
    requires = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    for line in requires:
        for name in required(re.split(r"[^\w.-]", line)[0], known):
            here = distribution(name)
            for top in {file.parts[0] for file in here.files or () if file.parts[0] not in ("..", "__pycache__")}:
                (packages / top).symlink_to(str(here.locate_file(top)))
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "-q", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True, timeout=150)
    return folder / "bin"


def test_the_packages_contain_what_is_needed_and_no_tests(built: Path) -> None:
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    assert wheel.name == f"overnight-{__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert {"runner/py.typed", "runner/supervisor/causes.toml", "hydra_plugins/runner_launcher/launcher.py"} <= set(
        names
    )
    assert {name.partition("/")[0] for name in names} == {
        "runner", "hydra_plugins", f"overnight-{__version__}.dist-info",
    }  # fmt: skip
    with tarfile.open(sdist) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= inside
    assert not [name for name in inside if name.startswith("tests")]


def test_four_packages_are_enough() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert [re.split(r"[<>=]", line)[0] for line in project["dependencies"]] == ["psutil", "pydantic", "pyyaml", "rich"]
    assert {"completion", "plot", "hydra", "examples", "all"} <= set(project["optional-dependencies"])


def test_every_command_in_a_bare_environment(work: Workspace, bare: Path) -> None:
    work.write("train.py", SCRIPT)
    for name in "abc":
        work.write(f"config/{name}.py", f"lr = 0.{ord(name)}\n")
    work.write("tree/x/a.yaml", "lr: 1\n")
    work.write("s.yaml", "name: s\nbase_config: tree/x/a.yaml\ntrain_script: train.py\nsweep: {lr: [1, 2]}\n")

    def overnight(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(bare / "overnight"), *words], cwd=work.folder, capture_output=True, text=True, check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": str(work.folder), "TERM": "dumb"}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, f"{words}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    missing = subprocess.run([str(bare / "python"), "-c", "import torch"], capture_output=True, check=False)
    assert missing.returncode == 1
    assert overnight("--version") == f"overnight {__version__}\n"
    assert "2 completed" in overnight("run", "config/[ab].py", "--train-script", "train.py")
    for name in NAMES:
        overnight(name, *USES.get(name, ("--help",)))
    (shown,) = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    subprocess.run([str(bare / "python"), "-c", f"{shown}\nassert best['name']"], cwd=work.folder, check=True)
    assert "3 completed" in overnight("resume", "experiment")  # c, which was added
    overnight("rm", "latest", "--yes")
    assert "2 completed" in overnight("sweep", "s.yaml")
    assert "1 completed" in overnight("tree", "tree", "--train-script", "train.py", "--output-root", "out")
    for name in BATCHES:
        assert "usage:" in overnight(name, "--help")
    assert "argcomplete" not in overnight("--help")


def test_every_place_names_the_same_version() -> None:
    cited = re.findall(r"^version: (.+)$", (PROJECT / "CITATION.cff").read_text(), re.MULTILINE)
    latest = re.findall(r"^## \[?(\d[\d.]*)", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert cited == [__version__] and latest == __version__


def test_the_links_of_the_pages_for_visitors_lead_somewhere() -> None:
    """README and its neighbours, and the documents: files that exist and headings that are there."""
    pages = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    assert [wrong for page in pages for wrong in broken_links(page)] == []


def broken_links(page: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "", text)
    for target in re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", text):
        target = "".join(target)
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name) if name else page
        if not path.exists() or (heading and heading not in headings(path)):
            yield f"{page.relative_to(PROJECT)}: {target}"


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", line)).strip().lower().replace(" ", "-") for line in lines}
