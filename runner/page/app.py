"""The routes of the page: what a browser may ask for, and what it gets as JSON."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.core.errors import UserError
from runner.core.job import Job
from runner.page import assets, attempts_view, axes, logs, resource_view
from runner.page.batch_view import BatchView, details
from runner.page.curves import Curves, View
from runner.page.orders import Orders
from runner.page.security import Gate
from runner.page.source import Source

API = "/api/v1"
BATCH = API + "/batches/{batch}"
JOB = BATCH + "/jobs/{job:int}"
Handler = Callable[[Request], Any]


class Page:
    """The routes over one folder of batches."""

    def __init__(self, source: Source, token: str, port: int) -> None:
        self._source = source
        self._views: dict[Path, BatchView] = {}
        self._lock = threading.Lock()
        self._curves = Curves()
        self._orders = Orders(source.order_words)
        reads: list[tuple[str, Handler]] = [
            (f"{API}/batches", self._batches),
            (BATCH, self._batch),
            (f"{BATCH}/curves", self._curve),
            (JOB, self._job),
            (f"{JOB}/attempts", self._attempts),
            (f"{JOB}/resources", self._resources),
            (f"{JOB}/log/{{name}}", self._log),
            (f"{JOB}/log/{{name}}/search", self._search),
            (f"{API}/orders/{{order:int}}", self._order),
        ]
        routes = [Route(path, _json(handler), methods=["GET"]) for path, handler in reads]
        routes += [Route("/", assets.index), Route("/assets/{name}", assets.asset)]
        routes.append(Route("/login", self._login, methods=["POST"]))
        if not source.read_only:
            routes.append(Route(f"{BATCH}/orders", self._give, methods=["POST"]))
        application = Starlette(routes=routes)
        application.router.redirect_slashes = False
        self.app = Gate(application, token, port)

    def _view(self, request: Request) -> BatchView:
        """The batch with the name in the path, out of those that there are. Raises UserError."""
        name = request.path_params["batch"]
        root = next((root for root in self._source.batches() if root.name == name), None)
        if root is None:
            raise UserError(f"{name}: no such batch")
        with self._lock:
            return self._views.setdefault(root, BatchView(self._source, root))

    def _job_of(self, request: Request) -> Job:
        jobs: Sequence[Job] = self._view(request).plan().jobs
        number = int(request.path_params["job"])
        if number >= len(jobs):
            raise UserError(f"{number}: no such job; the batch has {len(jobs)}")
        return jobs[number]

    def _batches(self, request: Request) -> Any:
        rows = self._source.rows()
        found = [
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
            for row in rows
        ]
        return {"schema": 1, "base": str(self._source.base), "read_only": self._source.read_only, "batches": found}

    def _batch(self, request: Request) -> Any:
        return self._view(request).look(int(_number(request, "since", 0)))

    def _curve(self, request: Request) -> Any:
        jobs = self._view(request).plan().jobs
        words = request.query_params.get("jobs", "").split(",")
        chosen = [int(word) for word in words if word.isdecimal() and len(word) < 7 and int(word) < len(jobs)]
        window = (_number(request, "from", -math.inf), _number(request, "to", math.inf))
        wanted = request.query_params.get("x", axes.STEP)
        axis = wanted if wanted in axes.AXES else axes.STEP
        view = View(int(_number(request, "px", 600)), window, _number(request, "smooth", 0.0), axis)
        key = request.query_params.get("key", "")
        return self._curves.answer([(one, jobs[one]) for one in dict.fromkeys(chosen)], key, view)

    def _job(self, request: Request) -> Any:
        return details(self._view(request).plan(), self._job_of(request))

    def _attempts(self, request: Request) -> Any:
        return {"attempts": attempts_view.earlier(self._job_of(request))}

    def _resources(self, request: Request) -> Any:
        return resource_view.of(self._job_of(request), int(_number(request, "px", 400)))

    def _log(self, request: Request) -> Any:
        begin = int(_number(request, "from", -1))
        size = int(_number(request, "size", 1 << 16))
        return logs.part(self._job_of(request), request.path_params["name"], None if begin < 0 else begin, size)

    def _search(self, request: Request) -> Any:
        query = request.query_params
        place = int(_number(request, "at", 0))
        job, name = self._job_of(request), request.path_params["name"]
        return logs.find(job, name, query.get("q", ""), place, backward=query.get("back") == "1")

    def _order(self, request: Request) -> Any:
        found = self._orders.look(request.path_params["order"])
        if found is None:
            raise UserError("no such order")
        return found

    async def _login(self, request: Request) -> Response:
        given = await _body(request)
        return self.app.login(given.get("token"))

    async def _give(self, request: Request) -> Response:
        given = await _body(request)
        return await run_in_threadpool(self._given, request, given)

    def _given(self, request: Request, given: Mapping[str, Any]) -> Response:
        try:
            view = self._view(request)
            jobs, numbers, key = view.plan().jobs, given.get("jobs"), given.get("key")
            named = isinstance(numbers, list) and all(type(one) is int and 0 <= one < len(jobs) for one in numbers)
            if not named or not isinstance(key, str) or not 8 <= len(key) <= 100:
                raise UserError("an order needs `jobs`, numbers of the batch, and a `key` of 8 to 100 characters")
            root = next(root for root in self._source.batches() if root.name == request.path_params["batch"])
            names = [jobs[one].name for one in numbers or ()]
            return JSONResponse({"order": self._orders.give(str(given.get("what")), root, names, key)}, 202)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 400)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; empty for all else. Its size is limited by the gate."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _json(handler: Handler) -> Callable[[Request], Response]:
    """An endpoint, run in a thread, whose value is sent as JSON. Errors of the user become 404 with their sentence."""

    def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(handler(request))
        except UserError as error:
            return JSONResponse({"error": str(error)}, 404)

    return endpoint


def _number(request: Request, name: str, default: float) -> float:
    try:
        found = float(request.query_params[name])
    except (KeyError, ValueError):
        return default
    return found if math.isfinite(found) and abs(found) < 1e15 else default
