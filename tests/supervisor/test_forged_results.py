"""A result that the job wrote itself is not believed when its supervisor did not live to write its own."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Workspace, alive, read, wait_until

pytestmark = pytest.mark.slow

FORGER = """\
import hashlib, json, os, signal, sys, time
folder, how = sys.argv[1:3]
about = json.load(open(folder + '/experiment_metadata.json'))
nonces = {'no nonce': {}, 'a guess': {'nonce': '0' * 32}, 'the digest': {'nonce': about['nonce_sha256']},
          'an odd one': {'nonce': ['x']}}
status = 'failed' if how == 'a failure' else 'completed'
now = '2026-01-01T00:00:00.000+00:00'
result = {'schema': 1, 'config_name': 'a', 'status': status, 'return_code': 0, 'signal': None, 'error': None,
          'start_time': now, 'end_time': now, 'duration_seconds': 1.0, 'attempt': about['attempt'],
          'fingerprint': about['fingerprint'], **nonces.get(how, {})}
if about['attempt'] > 1:
    sys.exit(0)
with open(folder + '/forged', 'w') as file: json.dump(result, file)
os.rename(folder + '/forged', folder + '/experiment_result.json')
print('forged', flush=True)
open('ready', 'w').close()
while not os.path.exists('go'): time.sleep(0.02)
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(60)
"""
WAYS = ["no nonce", "a guess", "the digest", "an odd one", "a failure"]


def command(work: Workspace, how: str) -> Sequence[str]:
    work.write("forger.py", FORGER)
    work.write("c/a.txt", "")
    return ("--configs", "c/a.txt", "--command", f"{sys.executable} forger.py {{out_dir}} '{how}' {{config}}")


@pytest.mark.parametrize("how", WAYS)
def test_the_engine_does_not_believe_the_job(work: Workspace, how: str) -> None:
    (work / "go").touch()
    work.run(*command(work, how), code=1)
    result = work.result("a")
    assert result["status"] == "error" and "its end is not known" in result["error"]
    work.run("--resume", code=0)
    assert work.result("a")["attempt"] == 2


@pytest.mark.parametrize("how", WAYS)
def test_nor_does_anybody_when_engine_and_supervisor_are_gone(work: Workspace, how: str) -> None:
    process = work.start(*command(work, how))
    wait_until((work / "ready").exists, "the result is forged")
    record = read(work.batch / "a" / "supervisor.json")
    process.send_signal(signal.SIGSTOP)
    os.kill(int(record["supervisor"][0]), signal.SIGKILL)
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(int(record["job"][0])), "the job dies with its supervisor")
    assert json.loads(work.run("status", "--json", code=0).stdout)["jobs"]["a"]["status"] == "lost"
    assert "completed" not in work.run("table", code=0).stdout
    work.run("--resume", code=0)
    assert work.result("a")["attempt"] == 2 and work.summary["completed"] == 1


def test_a_result_of_the_supervisor_is_believed_although_it_was_killed_then(work: Workspace) -> None:
    # The exit is in the result, and the supervisor, still cleaning up, is killed together with the engine.
    work.write("c/a.sh", "trap '' TERM; (trap '' TERM; sleep 60) & exit 0")
    process = work.start("--configs", "c/*.sh", "--command", "sh {config}")
    path = work / "experiments/latest/a"
    wait_until((path / "experiment_result.json").exists, "the result is written")
    supervisor = int(read(path / "supervisor.json")["supervisor"][0])
    process.kill()
    os.kill(supervisor, signal.SIGKILL)
    process.communicate()
    assert json.loads(work.run("status", "--json", code=0).stdout)["jobs"]["a"]["status"] == "completed"
    work.run("--resume", code=0)
    assert work.result("a")["attempt"] == 1


@pytest.mark.linux
def test_the_nonce_cannot_be_read_before_the_result_is_written(work: Workspace) -> None:
    work.write("c/a.sh", "touch ready; until test -e go; do sleep 0.02; done")
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}")
    wait_until((work / "ready").exists, "the job runs")
    wait_until(lambda: read(work.batch / "a" / "supervisor.json")["job"], "its processes are recorded")
    seen = [path.read_bytes() for path in work.folder.rglob("*") if path.is_file()]
    record = read(work.batch / "a" / "supervisor.json")
    for pid in (process.pid, record["supervisor"][0], record["job"][0]):
        seen += [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline")]
    (work / "go").touch()
    process.communicate(timeout=30)
    nonce = work.result("a")["nonce"].encode()
    assert len(nonce) == 32 and not any(nonce in text for text in seen)
    assert any(read(work.batch / "a" / "experiment_metadata.json")["nonce_sha256"].encode() in text for text in seen)
