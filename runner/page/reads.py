"""What a browser may read: each route is a question to one module, and its answer becomes JSON."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from runner.core.errors import UserError
from runner.core.job import Job
from runner.disk.atomic import as_json
from runner.page import attempts_view, axes, logs, resource_view
from runner.page.batch_view import BatchView, details
from runner.page.curves import Curves, View
from runner.page.fan import Fans
from runner.page.files import Files
from runner.page.gpu_view import Gpus
from runner.page.hub import Hub
from runner.page.source import Source
from runner.page.sparks import Sparks
from runner.page.tags import is_known
from runner.page.watches import Watches

API = "/api/v1"
BATCH = API + "/batches/{batch}"
JOB = BATCH + "/jobs/{job:int}"
Handler = Callable[[Request], Any]


class Reads:
    """The routes that change nothing."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._views: dict[Path, BatchView] = {}
        self._lock = threading.Lock()
        self.curves = Curves()
        self._fans = Fans(self.curves.store)
        self._sparks = Sparks(self.curves.store)
        self._gpus = Gpus()
        self._files = Files()
        self._watches = Watches(self._rows, self.view_named)
        self.hub = Hub(self._watches)

    def routes(self) -> list[Route]:
        reads: list[tuple[str, Handler]] = [
            (f"{API}/batches", self._batches),
            (f"{API}/gpus", lambda request: self._gpus.look()),
            (BATCH, self._batch),
            (f"{BATCH}/curves", self._curve),
            (f"{BATCH}/fan", self._fan),
            (f"{BATCH}/sparks", self._spark),
            (f"{BATCH}/compare", self._compare),
            (JOB, self._job),
            (f"{JOB}/attempts", lambda request: {"attempts": attempts_view.earlier(self._job_of(request))}),
            (f"{JOB}/resources", self._resources),
            (f"{JOB}/files", lambda request: {"files": self._files.listed(self._job_of(request))}),
            (f"{JOB}/log/{{name}}", self._log),
            (f"{JOB}/log/{{name}}/search", self._search),
        ]  # fmt: skip
        found = [Route(path, answered(handler), methods=["GET"]) for path, handler in reads]
        found.append(Route(f"{JOB}/files/{{name:path}}", answered(self._file), methods=["GET"]))
        found.append(Route(f"{API}/events", self._events, methods=["GET"]))
        return found

    def view_named(self, name: str) -> BatchView:
        """The batch with this name, out of those that there are. Raises UserError."""
        root = next((root for root in self._source.batches() if root.name == name), None)
        if root is None:
            raise UserError(f"{name}: no such batch")
        with self._lock:
            if root not in self._views:
                self._views[root] = BatchView(self._source, root)
            return self._views[root]

    def view(self, request: Request) -> BatchView:
        """The batch that the path names. Raises UserError."""
        return self.view_named(request.path_params["batch"])

    def _job_of(self, request: Request) -> Job:
        jobs: Sequence[Job] = self.view(request).plan().jobs
        wanted = int(request.path_params["job"])
        if wanted >= len(jobs):
            raise UserError(f"{wanted}: no such job; the batch has {len(jobs)}")
        return jobs[wanted]

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": row.name,
                "state": row.state,
                "created_at": row.created_at,
                "seconds": row.seconds,
                "counts": row.counts,
                "best": None if row.best is None else row.best.to_json(),
                "note": row.note,
                "tags": list(row.tags),
                "error": row.error,
            }
            for row in self._source.rows()
        ]

    def _batches(self, request: Request) -> Any:
        base, read_only = str(self._source.base), self._source.read_only
        return {"schema": 1, "base": base, "read_only": read_only, "batches": self._rows()}

    def _batch(self, request: Request) -> Response:
        """The batch, or what changed of it; its version is the ETag, so one that asks again gets nothing twice."""
        found = self.view(request).look(int(number(request, "since", 0)))
        tag = f'"{found["version"]}"'
        return (
            Response(status_code=304, headers={"etag": tag}) if is_known(request, tag) else sent(found, {"etag": tag})
        )

    def _chosen(self, request: Request) -> list[tuple[int, Job]]:
        jobs = self.view(request).plan().jobs
        words = request.query_params.get("jobs", "").split(",")
        chosen = [int(word) for word in words if word.isdecimal() and len(word) < 7 and int(word) < len(jobs)]
        return [(one, jobs[one]) for one in dict.fromkeys(chosen)]

    def _curve(self, request: Request) -> Any:
        query = request.query_params
        view = View(int(number(request, "px", 600)), _window(request), number(request, "smooth", 0.0), _axis(request))
        after = _after(query.get("after", ""))
        return self.curves.answer(self._chosen(request), query.get("key", ""), view, after)

    def _fan(self, request: Request) -> Any:
        view = self.view(request)
        return self._fans.of(view.plan().jobs, request.query_params.get("key", ""), _axis(request))

    def _spark(self, request: Request) -> Any:
        return self._sparks.of(self._chosen(request), request.query_params.get("key", ""))

    def _compare(self, request: Request) -> Any:
        query = request.query_params
        root = self.view(request).plan().root
        compare_view = import_module("runner.page.compare_view")  # a fifth of the start of the server
        return compare_view.of(root, query.get("metric"), query.get("goal"), query.get("over"))

    def _job(self, request: Request) -> Any:
        return details(self.view(request).plan(), self._job_of(request))

    def _resources(self, request: Request) -> Any:
        view = View(int(number(request, "px", 400)), _window(request))
        return resource_view.of(self._job_of(request), view)

    def _file(self, request: Request) -> Response:
        return self._files.served(self._job_of(request), request.path_params["name"], request.headers.get("range"))

    def _log(self, request: Request) -> Any:
        begin, size = int(number(request, "from", -1)), int(number(request, "size", 1 << 16))
        return logs.part(self._job_of(request), request.path_params["name"], None if begin < 0 else begin, size)

    def _search(self, request: Request) -> Any:
        query = request.query_params
        job, name, place = self._job_of(request), request.path_params["name"], int(number(request, "at", 0))
        backward, expression = query.get("back") == "1", query.get("re") == "1"
        return logs.find(job, name, query.get("q", ""), place, backward=backward, expression=expression)

    async def _events(self, request: Request) -> Response:
        if self.hub.is_full:
            return JSONResponse({"error": "too many open pages"}, 503)
        topics = request.query_params.getlist("topic")
        try:
            watches = await run_in_threadpool(self.hub.prepared, topics)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 404)
        last = request.headers.get("last-event-id") or request.query_params.get("last", "")
        return StreamingResponse(
            self.hub.stream(watches, last), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )


def answered(handler: Handler) -> Callable[[Request], Response]:
    """An endpoint, run in a thread, whose value is sent as JSON. Errors of the user become 404 with their sentence."""

    def endpoint(request: Request) -> Response:
        try:
            found = handler(request)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 404)
        return found if isinstance(found, Response) else sent(found)

    return endpoint


def sent(found: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    try:
        text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a number that JSON does not have
        text = as_json(found)
    return Response(text, headers=headers, media_type="application/json")


def _window(request: Request) -> tuple[float, float]:
    return number(request, "from", -math.inf), number(request, "to", math.inf)


def _axis(request: Request) -> str:
    wanted = request.query_params.get("x", axes.STEP)
    return wanted if wanted in axes.AXES else axes.STEP


def _after(text: str) -> dict[int, int] | None:
    """`0:120,3:80` -> how many points of each job the browser has; None for what is not that."""
    pairs = [pair.split(":") for pair in text.split(",")]
    if not all(len(pair) == 2 and all(word.isdecimal() and len(word) < 12 for word in pair) for pair in pairs):
        return None
    return {int(job): int(points) for job, points in pairs}


def number(request: Request, name: str, default: float) -> float:
    try:
        found = float(request.query_params[name])
    except (KeyError, ValueError):
        return default
    return found if math.isfinite(found) and abs(found) < 1e15 else default
