"""What a training frees stays with its process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipelines.shared.heap import keep_freed
from tests.conftest import PROJECT

# A training's steps: each allocates and frees 64 MB in pieces of 8 MB. Prints the page faults of the last ten.
STEPS = """
import os, resource, sys
from pipelines.shared.heap import keep_freed
if sys.argv[1] == "keep":
    keep_freed(os.environ)
def step():
    pieces = [b"x" * (8 << 20) for _ in range(8)]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
before = faults()
for _ in range(10):
    step()
print(faults() - before)
"""


def faults_of(how: str, **environ: str) -> int:
    command = [sys.executable, "-c", STEPS, how]
    done = subprocess.run(command, cwd=PROJECT, env=os.environ | environ, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_the_memory_of_a_step_is_that_of_the_step_before() -> None:
    assert faults_of("keep") < 0.05 * faults_of("leave")


@pytest.mark.parametrize("given", [{"MALLOC_TRIM_THRESHOLD_": "0"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=9"}])
def test_the_users_own_settings_stay(given: dict[str, str]) -> None:
    assert not keep_freed(given)
