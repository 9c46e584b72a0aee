"""A job of the torture of leases: claims its GPUs in a journal, looks whether somebody else has one, works a moment.

`python -I -S gpu_job.py CONFIG OUT_DIR`. It relies on nothing that the runner records: who lives is seen in /proc.
"""

import json
import os
import sys
import time

JOURNAL = "TORTURE_JOURNAL"
PERIOD = 0.1  # seconds of work


def main(config: str) -> int:
    name = os.path.splitext(os.path.basename(config))[0]
    about = {"pid": os.getpid(), "start": started(os.getpid()), "user": os.getuid()}
    gpus = [uuid for uuid in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if uuid]
    write("claim", gpus=gpus, **about)
    with open(os.environ[JOURNAL]) as file:
        lines = [json.loads(line) for line in file]
    for line in lines:
        shared = [uuid for uuid in line["gpus"] if uuid in gpus]
        if line["event"] == "claim" and shared and line["pid"] != os.getpid() and started(line["pid"]) == line["start"]:
            write("overlap", gpus=shared, other=line["pid"], **about)
    if name.endswith("leaves"):  # a process in a session of its own, which has the lease too
        os.posix_spawn("/bin/sleep", ["sleep", "300"], os.environ, setsid=True)
    time.sleep(PERIOD * (1 + int(name[:2]) % 4))
    write("end", gpus=gpus, **about)
    return 0


def write(event: str, **more: object) -> None:
    """One write with O_APPEND: a kill leaves the line whole or absent."""
    descriptor = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, json.dumps({"event": event, "at": time.monotonic(), **more}).encode() + b"\n")
    os.close(descriptor)


def started(pid: int) -> str | None:
    """The start time of a process; None if there is none, or only its zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
