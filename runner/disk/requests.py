"""Requests to a running batch, and its answers: one JSON file each in `requests/`, in the batch's folder.

A request is `<ticket>.request.json`. The runner claims it by renaming it to `<ticket>.taken.json`; until then a command
can withdraw it. The runner writes `<ticket>.answer.json`, which the command removes. `done.json` has the jobs that were
stopped or skipped by request, until the batch is resumed.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.core.errors import UserError
from runner.core.fields import Fields
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.requests import AddJobs, Answer, MoveJobs, Request, SkipJobs, StopJobs
from runner.disk import atomic, layout, plan_file, record_file
from runner.disk.place import Place
from runner.disk.reading import LARGEST_OF_BATCH, read_json
from runner.disk.record_file import Unreadable
from runner.processes import process_id

SCHEMA = 1
REQUEST, TAKEN, ANSWER = ".request.json", ".taken.json", ".answer.json"
_WORDS: Mapping[str, type[Request]] = {"stop": StopJobs, "skip": SkipJobs, "move": MoveJobs, "add": AddJobs}
_numbers = itertools.count()


def send(plan: Plan, request: Request) -> str:
    """Write a request to the runner of this batch; returns its ticket. Raises OSError."""
    folder = _folder(plan.root)
    folder.make()
    ticket = f"{time.time_ns()}-{os.getpid()}-{next(_numbers)}"
    atomic.write_json(folder / f"{ticket}{REQUEST}", _to_json(plan, request), durable=False)
    return ticket


def withdraw(root: Path, ticket: str) -> bool:
    """Remove a request again; False if the runner has it already."""
    return (_folder(root) / f"{ticket}{REQUEST}").remove()


def waiting(root: Path) -> list[str]:
    """The tickets of the requests that were not taken yet, the earliest first. Quick: asked at every tick."""
    try:
        names = os.listdir(_folder(root))  # noqa: PTH208 - at every tick
    except OSError:
        return []
    found = [name.removesuffix(REQUEST) for name in names if name.endswith(REQUEST)]
    return sorted(found, key=lambda ticket: (len(ticket.partition("-")[0]), ticket))


def take(root: Path, ticket: str, kind_named: Callable[[str], PlanKind]) -> Request | None:
    """Claim a request; None if it was withdrawn. Raises UserError for one that cannot be read, to be answered too."""
    path = _folder(root) / f"{ticket}{TAKEN}"
    try:
        (_folder(root) / f"{ticket}{REQUEST}").move(path)
    except OSError:
        return None
    record = read_json(path, LARGEST_OF_BATCH)
    try:
        fields = Fields(record)
        if (schema := fields.whole("schema")) != SCHEMA:
            raise UserError(f"the request was written by another version (schema {schema}); use that one")
        return _from_json(fields, root, kind_named)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"the request cannot be read ({error})") from None


def answer(root: Path, ticket: str, answer: Answer) -> None:
    """Write the answer to a request that was taken. A disk that fails leaves the command without one."""
    record = {"schema": SCHEMA, "refused": answer.refused, "lines": list(answer.lines)}
    with contextlib.suppress(OSError):
        atomic.write_json(_folder(root) / f"{ticket}{ANSWER}", record, durable=False)
        (_folder(root) / f"{ticket}{TAKEN}").remove()


def read_answer(root: Path, ticket: str) -> Answer | None:
    """The answer to a request, once; None if there is none yet."""
    path = _folder(root) / f"{ticket}{ANSWER}"
    found = record_file.look(str(path), _answer_from_json)
    if found is None:
        return None
    path.remove()
    return Answer((f"the answer cannot be read ({found.why})",)) if isinstance(found, Unreadable) else found


def _answer_from_json(record: dict[str, Any]) -> Answer:
    """Raises ValueError for what is not an answer."""
    fields = Fields(record)
    return Answer(fields.words("lines", ()), fields.flag("refused", False))


def clean_up(root: Path) -> None:
    """Remove what earlier runs of the batch left, but no request whose command still waits."""
    folder = _folder(root)
    try:
        names = folder.names_in()
    except OSError:  # there are none, or something else has the name of their folder
        return
    for name in names:
        left = name.endswith(REQUEST) and not _sender_waits(folder / name)
        if left or name.endswith((TAKEN, ANSWER)) or name in (layout.DONE, layout.WAITING):
            with contextlib.suppress(OSError):  # not a file of ours: it is in nobody's way
                (folder / name).remove()


def _sender_waits(request: Place) -> bool:
    return process_id.alive(read_json(request, LARGEST_OF_BATCH).get("sender"))


def note(root: Path, names: Iterable[str], what: str) -> None:
    """Keep what was done with these jobs by request, for all that show the batch. A disk that fails loses it."""
    path = _folder(root) / layout.DONE
    with contextlib.suppress(OSError):
        atomic.write_json(path, {"schema": SCHEMA, "jobs": {**noted(root), **dict.fromkeys(names, what)}})


def noted(root: Path) -> dict[str, str]:
    """Name of a job -> what was done with it by request since the batch was started or resumed."""
    found = record_file.look(str(_folder(root) / layout.DONE), lambda record: Fields(record).texts("jobs", {}))
    return found if isinstance(found, dict) else {}


def note_reasons(root: Path, found: Mapping[str, str]) -> None:
    """Keep for what jobs wait that could be started otherwise: name -> reason. A disk that fails loses it."""
    folder = _folder(root)
    with contextlib.suppress(OSError):
        folder.make()
        atomic.write_json(folder / layout.WAITING, {"schema": SCHEMA, "jobs": dict(found)}, durable=False)


def reasons(root: Path) -> dict[str, str]:
    """Name of a job -> for what it waited when that was last noted."""
    found = record_file.look(str(_folder(root) / layout.WAITING), lambda record: Fields(record).texts("jobs", {}))
    return found if isinstance(found, dict) else {}


def _folder(root: Path) -> Place:
    return Place(root, layout.REQUESTS)


def _to_json(plan: Plan, request: Request) -> dict[str, Any]:
    word = next(word for word, kind in _WORDS.items() if isinstance(request, kind))
    record: dict[str, Any] = {"schema": SCHEMA, "request": word, "sender": process_id.own()}
    match request:
        case AddJobs(jobs, first):
            added = plan_file.to_json(replace(plan, jobs=jobs))
            return {**record, "first": first, "plan": added, "files": {job.name: _contents(job) for job in jobs}}
        case MoveJobs(names, first):
            return {**record, "jobs": list(names), "first": first}
        case StopJobs(names, kill):
            return {**record, "jobs": list(names), "kill": kill}
        case SkipJobs(names):
            return {**record, "jobs": list(names)}


def _from_json(fields: Fields, root: Path, kind_named: Callable[[str], PlanKind]) -> Request:
    """Raises ValueError for what is not a request."""
    kind = _WORDS.get(fields.text("request"))
    if kind is None:
        raise fields.odd("request", "one of " + ", ".join(_WORDS))
    if kind is AddJobs:
        plan = plan_file.from_json(fields.mapping("plan"), root, kind_named)
        files = Fields(fields.mapping("files"), "files.")
        jobs = tuple(_with_contents(job, Fields(files.mapping(job.name), f"files.{job.name}.")) for job in plan.jobs)
        return AddJobs(jobs, fields.flag("first"))
    names = fields.words("jobs")
    if kind is MoveJobs:
        return MoveJobs(names, fields.flag("first"))
    return StopJobs(names, fields.flag("kill")) if kind is StopJobs else SkipJobs(names)


def _contents(job: Job) -> dict[str, dict[str, str]]:
    """The exact bytes that the job was planned from: its inputs, and the files that its config builds on."""
    bases = {str(path): content for path, content in job.bases.items()}
    return {"files": _encoded(job.files), "bases": _encoded(bases)}


def _with_contents(job: Job, record: Fields) -> Job:
    files, bases = (_decoded(record.texts(key)) for key in ("files", "bases"))
    return replace(job, files=files, bases={Path(path): content for path, content in bases.items()})


def _encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def _decoded(record: Mapping[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(text) for name, text in record.items()}
