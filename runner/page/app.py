"""The page as an application: what may be read, the orders, and the gate before both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.core.errors import UserError
from runner.page import assets
from runner.page.orders import Orders
from runner.page.reads import API, BATCH, Reads, answered
from runner.page.security import Gate
from runner.page.source import Source


class Page:
    """The routes over one folder of batches. `place` names the cookie: the port, or the socket."""

    def __init__(self, source: Source, token: str, place: str | int) -> None:
        self._source = source
        self.reads = Reads(source)
        self._orders = Orders(source.order_words)
        routes = self.reads.routes()
        routes += [Route("/", assets.index), Route("/assets/{name}", assets.asset)]
        routes.append(Route("/assets/{version}/{name}", assets.kept_asset))
        routes.append(Route("/login", self._login, methods=["POST"]))
        routes.append(Route(f"{API}/orders/{{order:int}}", answered(self._order), methods=["GET"]))
        if not source.read_only:
            routes.append(Route(f"{BATCH}/orders", self._give, methods=["POST"]))
        application = Starlette(routes=routes)
        application.router.redirect_slashes = False
        self.app = Gate(application, token, place)

    def close(self) -> None:
        """End the streams and the process that reads metrics."""
        self.reads.hub.close()
        self.reads.curves.store.filler.close()

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
            plan = self.reads.view(request).plan()
            jobs, numbers, key = plan.jobs, given.get("jobs"), given.get("key")
            named = isinstance(numbers, list) and all(type(one) is int and 0 <= one < len(jobs) for one in numbers)
            if not named or not isinstance(key, str) or not 8 <= len(key) <= 100:
                raise UserError("an order needs `jobs`, numbers of the batch, and a `key` of 8 to 100 characters")
            names = [jobs[one].name for one in numbers or ()]
            return JSONResponse({"order": self._orders.give(str(given.get("what")), plan.root, names, key)}, 202)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 400)


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; empty for all else. Its size is limited by the gate."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
