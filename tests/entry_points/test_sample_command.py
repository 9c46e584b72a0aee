"""The command line of sample.py, without a model: its help, its documents, and how early an error is reported."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

from pipelines.diffusion.sampling.options import SampleSettings
from runner.core.text import plain_lines
from tests.conftest import PROJECT


def test_errors_in_the_command_are_reported_before_torch_is_imported(tmp_path):
    program = (
        "import sys, sample; codes = [sample.main(words.split()) for words in sys.argv[1:]];"
        "sys.exit(codes != [2] * len(codes) or 'torch' in sys.modules or 'rich' in sys.modules)"
    )
    wrong = ["", "nowhere", str(tmp_path), f"{PROJECT}/sample.py", f"{tmp_path} --steps=0", "a b"]
    done = subprocess.run(
        [sys.executable, "-c", program, *wrong], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == len(wrong)
    for message in ("no model; name", "nowhere: no such file", "has no checkpoint", "sample.py is not a checkpoint"):
        assert message in done.stderr


def test_help_explains_every_option():
    command = [sys.executable, str(PROJECT / "sample.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    for key, option in SampleSettings.model_fields.items():
        assert f"--{key}=" in done.stdout and option.description in done.stdout


def test_the_commands_of_the_documents_are_understood():
    shown = re.findall(r"^python sample\.py (.*)$", (PROJECT / "docs" / "sampling.md").read_text(), re.MULTILINE)
    reader = f"{shlex.quote(sys.executable)} -c 'import sample, sys; print(*sample.read(sys.argv[1:]))' "
    done = subprocess.run(
        ["bash", "-ec", "\n".join(reader + line for line in shown)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(shown) > 5 and done.stdout.count("prompt=") == len(shown)


def test_signs_that_could_steer_a_terminal_are_not_shown():
    assert plain_lines("a\x1b[2Jb\x07\n c\td") == "ab \n c d"
