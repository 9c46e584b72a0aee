"""A job of a torture batch: does a little of what real jobs do, and records it in a journal outside the batch.

`python -I -S job.py CONFIG OUT_DIR [CHECKPOINT]`; the name of the config is the task. A journal line is one write with
O_APPEND, so a kill leaves it whole or absent. Imports next to nothing: it has to start in milliseconds.
"""

import json
import os
import signal
import sys
import time

JOURNAL, MARK, HOLD = "TORTURE_JOURNAL", "RUNNER_JOB_ID", "TORTURE_HOLD"
STEPS, SAVE_EVERY = 8, 2


class Journal:
    """What this attempt did, a JSON object a line."""

    def __init__(self, name: str) -> None:
        self._path = os.environ[JOURNAL]
        self._about = {"name": name, "pid": os.getpid(), "start": started(os.getpid()), "mark": os.environ[MARK]}

    def write(self, event: str, **more: object) -> None:
        line = json.dumps({"event": event, "at": time.monotonic(), **self._about, **more}).encode() + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(descriptor, line)
        os.close(descriptor)

    def begin(self, step: int) -> None:
        """Record the begin of this attempt, then look for another living one of the same job."""
        self.write("begin", step=step)
        with open(self._path) as file:
            lines = [json.loads(line) for line in file]
        for line in lines:
            other = line["pid"], line["start"]
            same_job = line["event"] == "begin" and line["name"] == self._about["name"] and other[0] != os.getpid()
            if same_job and started(other[0]) == other[1]:
                self.write("overlap", other=other[0], other_mark=line["mark"])


def started(pid: int) -> str | None:
    """The start time of a process; None if there is none, or only its zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def main(config: str, folder: str, checkpoint: str | None = None) -> int:
    name = os.path.splitext(os.path.basename(config))[0]
    kind = name.rpartition("_")[2]
    journal = Journal(name)
    step = saved_step(checkpoint) if checkpoint else 0
    if kind == "saves":
        signal.signal(signal.SIGINT, lambda *_: save_and_leave(journal))
    open(os.path.join(folder, f"mark_{os.environ[MARK]}"), "w").close()
    journal.begin(step)
    match kind:
        case "noisy":
            print_much()
        case "leaves":
            leave_children()
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, lambda *_: time.sleep(300))  # once it is asked, only a kill ends it
            time.sleep(0.6)  # so that many kills of the engine meet it
        case "trains":
            train(journal, folder, step)
        case "fails":
            print("failing as I should", file=sys.stderr)
            time.sleep(0.15)
        case _:
            time.sleep(0.15)
    while os.path.exists(os.environ[HOLD]):  # the engine was killed: the next one is to find this job alive
        time.sleep(0.01)
    code = 3 if kind == "fails" else 0
    journal.write("end", code=code)
    return code


def saved_step(checkpoint: str) -> int:
    with open(checkpoint) as file:
        return int(file.read())


def save_and_leave(journal: Journal) -> None:
    """Exit code 0 without the work being done: no completion."""
    time.sleep(0.15)
    journal.write("saved")
    os._exit(0)


def print_much() -> None:
    for block in range(60):
        text = "".join(
            f"iter {block * 500 + line}: loss 0.1234, and some more to fill the pipe\n" for line in range(500)
        )
        (sys.stdout if block % 3 else sys.stderr).write(text)
    sys.stdout.flush()


def leave_children() -> None:
    """One that holds our pipes, one that does not, one that ignores what is polite; each in a session of its own."""
    null = os.open(os.devnull, os.O_WRONLY)
    away = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    deaf = 'trap "" INT TERM HUP; exec sleep 300'
    for argv, actions in ((["sleep", "300"], []), (["sleep", "300"], away), (["sh", "-c", deaf], away)):
        os.posix_spawn(f"/bin/{argv[0]}", argv, os.environ, file_actions=actions, setsid=True)
    time.sleep(0.1)  # until the last one is deaf


def train(journal: Journal, folder: str, step: int) -> None:
    """Measure at every step, save now and then."""
    while step < STEPS:
        time.sleep(0.03)
        step += 1
        with open(os.path.join(folder, "metrics.jsonl"), "a") as file:
            file.write(json.dumps({"step": step, "val/loss": 1 / step}) + "\n")
        if step % SAVE_EVERY == 0:
            path = os.path.join(folder, f"ckpt_{step:04d}.pt")
            with open(path + ".part", "w") as file:
                file.write(str(step))
            os.replace(path + ".part", path)
            journal.write("checkpoint", step=step)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
