"""Notifications of real batches: sent to servers on the loopback interface by real runners, some of them killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runner.notify.message import ENDED, FAILED, Event
from runner.notify.sender import About
from runner.observers.notify import PROGRAM
from tests.conftest import PROJECT, Workspace, alive, kill, read, wait_until
from tests.notify.servers import Receiver, receiver, status
from tests.terminals import on_a_terminal

pytestmark = pytest.mark.slow

TRAIN = """\
import os, pathlib, sys, time
out = sys.argv[2].partition("=")[2]
pathlib.Path(out, "begun").touch()
if sys.argv[1].endswith("bad.py"):
    sys.exit("no data in here")
while sys.argv[1].endswith("long.py"):
    time.sleep(0.05)
"""


@pytest.fixture
def trained(work: Workspace) -> Workspace:
    work.write("t.py", TRAIN)
    for name in ("good", "bad", "long"):
        work.write(f"c/{name}.py", f"x = {len(name)}\n")
    return work


def environment(server: Receiver, **more: str) -> dict[str, str]:
    return {"OVERNIGHT_WEBHOOK_URL": server.url, "OVERNIGHT_NOTIFY_FILE": "/none.toml", **more}


def words(*names: str) -> list[str]:
    return ["run", *(f"c/{name}.py" for name in names), "--train-script", "t.py", "--notify"]


def everything(folder: Path) -> str:
    """All that is in the files of a batch."""
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def sender_of(runner: int) -> psutil.Process:
    """The process that sends."""
    for child in psutil.Process(runner).children():
        if "runner.notify.sender" in " ".join(child.cmdline()):
            return child
    raise AssertionError("the runner has no such process")


def test_a_batch_reports_its_failures_and_its_end(trained: Workspace) -> None:
    with receiver() as server, receiver(status(404)) as broken:
        given = environment(server, OVERNIGHT_SLACK_URL=broken.url)
        done = trained.run(*words("good", "bad"), "webhook,slack", env=given, code=1)
    failed, ended = server.posted[0], server.posted[-1]  # one message, if the process that sends was slow to start
    assert failed["failed"][0].startswith("bad: failed in") and "no data in here" in failed["text"] and failed["urgent"]
    assert ended["event"] == "ended" and "1 of 2 jobs did not complete" in ended["title"]
    assert sum(len(one["failed"]) for one in server.posted) == 1
    assert "1 completed, 1 failed" in ended["text"] and "Not completed: bad" in ended["text"]
    assert done.stdout.count("Note: notification by slack: it answered 404") == 1
    log = trained.master_log()
    assert "was sent by webhook" in log and "could not be sent by slack: it answered 404" in log
    assert len(broken.posted) == len(server.posted)
    assert "hook-of-mine" not in everything(trained.batch) + done.stdout + done.stderr
    assert read(trained.batch / "plan.json")["options"]["notify"] == ["webhook", "slack"]
    with receiver() as server, receiver() as slack:
        trained.run("resume", env=environment(server, OVERNIGHT_SLACK_URL=slack.url), code=1)
        assert sum(len(one["failed"]) for one in server.posted) == 1  # the second attempt
        before = len(server.posted)
        trained.run("resume", "--no-notify", env={}, code=1)
        assert len(server.posted) == before
        done = trained.run("status", "--notify", "webhook", env=environment(server))
        assert "sent" in done.stdout and "bad: failed" in server.posted[-1]["text"] and len(server.posted) == before + 1


def test_errors_in_the_settings_are_found_before_anything_starts(trained: Workspace) -> None:
    done = trained.run(*words("good"), "ntfy,phone", env={"OVERNIGHT_NOTIFY_FILE": "/none.toml"}, code=2)
    assert "set OVERNIGHT_NTFY_TOPIC" in done.stderr and "--notify phone: unknown channel" in done.stderr
    assert not (trained / "experiments").exists()


def test_a_runner_that_is_killed_is_reported(trained: Workspace) -> None:
    with receiver() as server:
        runner = trained.start(*words("bad", "long"), "webhook", env=environment(server))
        wait_until(lambda: list(trained.folder.glob("experiments/*/long/begun")), "the second job runs")
        wait_until(lambda: server.posted, "the failure is reported")
        kill(runner)
        wait_until(lambda: len(server.posted) == 2, "the end of the runner is reported")
        dead = server.posted[1]
        assert dead["event"] == "dead" and "was killed" in dead["text"] and "resume" in dead["text"]
        wait_until(lambda: "dead:" in (trained.batch / "notices.json").read_text(), "it is remembered")
        wait_until(lambda: "running" not in trained.run("status").stdout.partition("\n")[0], "the jobs have ended")
        trained.run("status", "--notify", env=environment(server), code=0)
        assert [one["event"] for one in server.posted].count("dead") == 1


def test_a_runner_that_is_killed_with_its_sender_is_reported_by_status(trained: Workspace) -> None:
    with receiver() as server:
        runner = trained.start(*words("bad", "long"), "webhook", env=environment(server))
        wait_until(lambda: server.posted, "the failure is reported")
        wait_until(lambda: '"failed:bad:1"' in (trained.batch / "notices.json").read_text(), "it is remembered")
        assert "sent" not in trained.run("status", "--notify", env=environment(server), code=0).stdout
        sender = sender_of(runner.pid)
        os.kill(sender.pid, signal.SIGKILL)
        kill(runner)
        wait_until(lambda: not alive(sender.pid), "the sender is gone")
        wait_until(lambda: "dead" in trained.run("status").stdout.partition("\n")[0], "the batch is dead")
        done = trained.run("status", "--notify", env=environment(server), code=0)
        assert 'webhook: sent "' in done.stdout
        assert server.posted[-1]["event"] == "dead" and "bad: failed" not in server.posted[-1]["text"]
        before = len(server.posted)
        trained.run("status", "--notify", env=environment(server), code=0)
        assert len(server.posted) == before


def test_a_short_batch_on_a_terminal_rings_the_bell_alone(trained: Workspace) -> None:
    with receiver() as server:
        shown = on_a_terminal(trained, *words("good"), "webhook,bell", **environment(server), TERM="xterm-kitty")
        assert shown.count("\x1b]9;✓ ") == 1 and "all completed\a\a" in shown
        assert server.posted == []
    assert "\a" not in trained.master_log() and "its terminal was in front" in trained.master_log()


def sending(about: About, *events: Event, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """The process of its own, fed as its runner does it; its input stays open."""
    program = [sys.executable, "-P", "-c", PROGRAM, str(PROJECT)]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **env})
    assert process.stdin is not None
    for record in (about, *events):
        process.stdin.write(json.dumps(record.to_json()).encode() + b"\n")
    process.stdin.flush()
    return process


def failures(number: int) -> list[Event]:
    return [Event(FAILED, f"failed:{one}:1", f"{one}: failed") for one in range(number)]


END = Event(ENDED, "ended:now", "it has ended", True)


def test_five_hundred_failures_are_two_messages(tmp_path: Path) -> None:
    about = About("night", str(tmp_path), ("webhook",), "now", "overnight resume", False)
    with receiver() as server:
        process = sending(about, *failures(500), END, env=environment(server))
        process.communicate(timeout=60)
    assert process.returncode == 0 and 1 <= len(server.posted) <= 2
    assert sum(len(one["failed"]) for one in server.posted) == 500 and server.posted[-1]["event"] == "ended"
    assert len(read(tmp_path / "notices.json")["reported"]) == 501


def test_what_was_sent_but_not_remembered_is_sent_again_and_the_rest_is_not(tmp_path: Path) -> None:
    """The program of the channel kills the process that runs it, before that can write down that it was sent."""
    out = tmp_path / "out"
    deadly, good = tmp_path / "deadly", tmp_path / "good"
    for path, last in ((good, ""), (deadly, "kill -9 $PPID")):
        path.write_text(f'#!/bin/sh\necho "$OVERNIGHT_TEXT" >> {out}\n{last}\n')
        path.chmod(0o700)
    about = About("night", str(tmp_path), ("command",), "now", "overnight resume", False)
    process = sending(about, *failures(1), END, env={"OVERNIGHT_COMMAND_RUN": str(deadly)})
    assert process.wait(60) == -signal.SIGKILL and "0: failed" in out.read_text()
    process.communicate()
    out.unlink()
    for known in (False, True):
        process = sending(about, *failures(1), END, env={"OVERNIGHT_COMMAND_RUN": str(good)})
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.read_text().count("0: failed") == 1 and out.read_text().count("it has ended") == 1, known


def test_the_command_sends_a_test_to_each_channel(trained: Workspace) -> None:
    with receiver() as server, receiver(status(401)) as closed:
        given = environment(server, OVERNIGHT_SLACK_URL=closed.url)
        done = trained.run("notify", "--test", env=given, code=1)
        assert done.stdout == "slack: not sent: it answered 401; check its token\nwebhook: sent\n"
        assert server.posted[0]["event"] == "test"
        assert trained.run("notify", env=given, code=0).stdout == "slack: ready\nwebhook: ready\n"
    done = trained.run("notify", "--test", env={"OVERNIGHT_NOTIFY_FILE": "/none.toml"}, code=2)
    assert "no channel has settings" in done.stderr and "/none.toml" in done.stderr
