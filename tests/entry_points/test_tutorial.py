"""The tutorial is followed word for word: each of its commands is run, in their order, in one folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, Workspace

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"(?:<!-- exit code (\d) -->\n)?```bash\n(.*?)```", re.DOTALL)
OVERNIGHT = """\
#!{python}
import sys
sys.path.insert(0, {project!r})
from runner.cli.main import main
sys.exit(main())
"""


def test_the_tutorial(work: Workspace) -> None:
    text = (PROJECT / "docs" / "tutorial.md").read_text()
    shutil.copy(PROJECT / "docs" / "examples" / "spirals.py", work / "train.py")
    program = work.write("bin/overnight", OVERNIGHT.format(python=sys.executable, project=str(PROJECT)))
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "dumb"}
    said = ""
    for code, block in BLOCK.findall(text):
        script = "".join(line for line in block.splitlines(keepends=True) if not line.startswith("pip install"))
        done = subprocess.run(
            ["bash", "-ec", script], cwd=work.folder, env=environment, capture_output=True, text=True, check=False
        )
        said += done.stdout + done.stderr
        assert done.returncode == int(code or 0), f"{script}\n{done.stdout}\n{done.stderr}"
    for promised in ("--epoks: unknown key; did you mean --epochs?", "math range error", "experiment_result.json"):
        assert promised in said and promised in text
    assert "4 groups" in said or "hidden" in said
