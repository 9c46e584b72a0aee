"""The files of a batch in slurm/: what was submitted, under which id, and what the task with each index runs.

For submission 3 these are submit_3.sh, the script; tasks_3.jsonl, a line of offsets and then one for each task; and
submit_3.json, written before sbatch is called, as the intent, and again with Slurm's id.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.core.fields import Fields, parsed
from runner.core.job import Job
from runner.core.options import RunOptions
from runner.disk import atomic, layout, plan_file, record_file
from runner.disk.opening import open_file
from runner.disk.place import Place

SCHEMA = 1
LONGEST = 1 << 26  # bytes of one line


@dataclass(frozen=True, slots=True)
class Submission:
    """One call of sbatch. `names` are those of its jobs, by index; of pilots all that they may run.

    `comment` is what Slurm shows of it, so that it is found although sbatch gave no answer. `slurm_id` is empty until
    it is known.
    """

    number: int
    names: tuple[str, ...]
    slurm_id: str = ""
    pilots: int = 0
    comment: str = field(default_factory=lambda: f"overnight-{uuid.uuid4().hex}")

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "slurm_id": self.slurm_id or None,
            "comment": self.comment,
            "pilots": self.pilots,
            "jobs": list(self.names),
        }

    @classmethod
    def from_json(cls, number: int, record: dict[str, Any]) -> Submission:
        """Raises ValueError for what is not the record of one."""
        fields = Fields(record)
        return cls(
            number, fields.words("jobs"), fields.text("slurm_id", None) or "", fields.whole("pilots", 0, least=0),
            fields.text("comment"),
        )  # fmt: skip

    def task(self, index: int) -> str:
        """Slurm's id of the task that runs the job with this index."""
        return f"{self.slurm_id}_{index}"


@dataclass(frozen=True, slots=True)
class Task:
    """What one task of an array runs. `about` is the provenance, `code` the snapshot that is run instead of `project`.

    `fresh`: a user started it, so that earlier requeues do not count.
    """

    job: Job
    about: Mapping[str, Any]
    options: RunOptions
    comment: str
    fresh: bool
    project: Path | None = None
    code: Path | None = None


def folder(root: Path) -> Place:
    """The folder of all that concerns Slurm in a batch."""
    return Place(root) / layout.SLURM


def script(root: Path, number: int) -> Path:
    return root / layout.SLURM / f"submit_{number}.sh"


def tasks(root: Path, number: int) -> Path:
    return root / layout.SLURM / f"tasks_{number}.jsonl"


def read_all(root: Path) -> list[Submission]:
    """Every submission of the batch, the first one first; what cannot be read is left out."""
    numbers = sorted(int(found[1]) for name in _names(root) if (found := re.fullmatch(r"submit_(\d{1,9})\.json", name)))
    read = ((number, record_file.look(_record(root, number), lambda record: record)) for number in numbers)
    found_records = []
    for number, record in read:
        try:
            found_records += [Submission.from_json(number, record)] if isinstance(record, dict) else []
        except ValueError:
            continue
    return found_records


def next_number(root: Path) -> int:
    numbers = [int(found[1]) for name in _names(root) if (found := re.match(r"submit_(\d{1,9})\.", name))]
    return max(numbers, default=0) + 1


def _names(root: Path) -> list[str]:
    try:
        return folder(root).names_in()
    except FileNotFoundError:
        return []


def _record(root: Path, number: int) -> str:
    return str(root / layout.SLURM / f"submit_{number}.json")


def write(root: Path, submission: Submission) -> None:
    """Write the record of a submission: the intent, or with Slurm's id. Raises OSError."""
    atomic.write_json(folder(root) / f"submit_{submission.number}.json", submission.to_json())


def forget(root: Path, submission: Submission) -> None:
    """Remove the files of a submission that Slurm refused: a resumed batch would look for it in the queue."""
    for name in (f"submit_{submission.number}.json", f"tasks_{submission.number}.jsonl"):
        with contextlib.suppress(OSError):
            (folder(root) / name).remove()
    with contextlib.suppress(OSError):  # the last: until then its number is in use
        (folder(root) / f"submit_{submission.number}.sh").remove()


def write_inputs(
    root: Path, number: int, text: str, header: Mapping[str, Any], jobs: Sequence[tuple[Job, int]]
) -> None:
    """Write the script and the tasks, each job with the index of its provenance. Raises OSError."""
    lines = [json.dumps(_entry(job, about)).encode() + b"\n" for job, about in jobs]
    offsets, at = [], 0
    for line in lines:
        offsets.append(at)
        at += len(line)
    first = json.dumps({"schema": SCHEMA, **header, "offsets": [*offsets, at]}, default=str).encode() + b"\n"
    place = folder(root)
    place.make()
    atomic.write_bytes(place / f"tasks_{number}.jsonl", b"".join([first, *lines]))
    atomic.write_bytes(place / f"submit_{number}.sh", text.encode())


def _entry(job: Job, about: int) -> dict[str, Any]:
    files = {name: base64.b64encode(content).decode() for name, content in job.files.items()}
    return {**plan_file.job_to_json(job), "files": files, "about": about}


def read_task(root: Path, number: int, index: int) -> Task:
    """What the task with this index runs. Reads its own line only. Raises OSError or ValueError."""
    return _read(root, number, [index])[0]


def read_tasks(root: Path, number: int) -> list[Task]:
    """What the pilots of a submission run. Raises OSError or ValueError."""
    return _read(root, number, None)


def _read(root: Path, number: int, indices: Sequence[int] | None) -> list[Task]:
    descriptor = open_file(str(tasks(root, number)))
    with os.fdopen(descriptor, "rb") as file:
        header = parsed(file.readline(LONGEST))
        begin, offsets = file.tell(), header["offsets"]
        found = []
        for index in range(len(offsets) - 1) if indices is None else indices:
            file.seek(begin + offsets[index])
            found.append(_task(root, header, parsed(file.read(offsets[index + 1] - offsets[index]))))
    return found


def _task(root: Path, header: Mapping[str, Any], entry: dict[str, Any]) -> Task:
    options = RunOptions.from_json(header["options"])
    job = plan_file.job_alone(entry, root, options)
    files = {name: base64.b64decode(text) for name, text in entry["files"].items()}
    project, code = header.get("project"), header.get("code")
    return Task(
        replace(job, files=files).with_fingerprint(job.fingerprint),
        header["about"][entry["about"]],
        options,
        header["comment"],
        bool(header["fresh"]),
        Path(project) if project else None,
        Path(code) if code else None,
    )
