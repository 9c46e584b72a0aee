"""A batch that is watched from one login node, and continued from another one."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from runner.disk import heartbeat
from tests.conftest import RUN_EXPERIMENTS, kill, wait_until
from tests.slurm.clusters import PATIENCE, Batch
from tests.slurm.false_slurm import Controller

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Runs the program that follows as on another host, to which no lock of the kernel reaches.
ELSEWHERE = """\
import fcntl, os, pathlib, runpy, sys
here = os.uname()
os.uname = lambda: os.uname_result((here.sysname, "login2", here.release, here.version, here.machine))
fcntl.flock = lambda *_: None
sys.argv = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_second_login_node_waits_for_the_first_and_submits_nothing_twice(
    controller: Controller, false_batch: Batch
) -> None:
    false_batch.config("a")
    false_batch.allow(1)
    first = false_batch.start(*false_batch.words())
    false_batch.wait_for_starts(1)
    lock = false_batch.work.batch / ".lock"
    wait_until(lambda: heartbeat.KEY in json.loads(lock.read_text()), "it gives signs of life", PATIENCE)
    program = str(false_batch.work.write("elsewhere.py", ELSEWHERE))
    there = [sys.executable, program, str(RUN_EXPERIMENTS), "--resume"]
    who = f"is locked by another runner (pid {first.pid} on {os.uname().nodename} since"
    assert who in _refused(false_batch, there)
    kill(first)
    assert "its last sign of life was" in _refused(false_batch, there)
    moment = time.time() - heartbeat.EXPIRES - 60
    os.utime(lock, (moment, moment))
    false_batch.allow(1000)
    done = false_batch.call(there)
    assert done.returncode == 0 and "a: completed" in done.stdout, done.stdout + done.stderr
    assert controller.calls["sbatch"] == 1 and false_batch.starts == ["a from 0"] and lock.read_bytes() == b""


def _refused(batch: Batch, words: list[str]) -> str:
    done = batch.call(words)
    assert done.returncode == 75, done.stdout + done.stderr
    return done.stderr
