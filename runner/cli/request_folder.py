"""The requests of one batch for its engine: taken from the disk and answered there, and plan.json kept up to date."""

from __future__ import annotations

from dataclasses import replace

from runner.cli import inspect
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.requests import AddJobs, Answer, Incoming, MoveJobs, Request, SkipJobs, StopJobs
from runner.core.state import PENDING
from runner.disk import plan_file, requests
from runner.planners import order, recorded


class RequestFolder:
    """Requests of the engine. `plan` is the one in plan.json; jobs that are added to it are on disk before they start.

    So a crash loses none of them, and a resumed batch has the order that was requested.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = replace(plan, files={})  # these were written when the batch began

    def take(self) -> list[Incoming]:
        """The requests that came since the last call; those that cannot be carried out are answered here."""
        found = []
        for ticket in requests.waiting(self._plan.root):
            try:
                request = requests.take(self._plan.root, ticket, recorded.kind_named)
                if isinstance(request, AddJobs):
                    self._write(order.joined(self._plan, request.jobs, self._pending(), first=request.first))
                if request is not None:
                    found.append(Incoming(ticket, request))
            except UserError as error:
                self._refuse(ticket, str(error))
            except ValueError as error:  # a name that another request took meanwhile
                self._refuse(ticket, f"{error}; request it again")
            except OSError as error:
                self._refuse(ticket, f"plan.json cannot be written ({error.strerror}); nothing was added")
        return found

    def append(self, job: Job) -> None:
        """Write down a further job. Raises OSError."""
        self._write(replace(self._plan, jobs=(*self._plan.jobs, job)))

    def answer(self, incoming: Incoming, answer: Answer) -> None:
        if not answer.refused:
            self._keep(incoming.request)
        requests.answer(self._plan.root, incoming.ticket, answer)

    def _keep(self, request: Request) -> None:
        """Write down what was done, as far as it outlives this process."""
        match request:
            case StopJobs(names):
                requests.note(self._plan.root, names, "stopped by request")
            case SkipJobs(names):
                requests.note(self._plan.root, names, "skipped by request")
            case MoveJobs(names, first):
                try:
                    self._write(order.moved(self._plan, names, self._pending(), first=first))
                except OSError:  # the order is that of this run only
                    pass

    def _pending(self) -> set[str]:
        return {job.name for job in self._plan.jobs if inspect.job(job).status == PENDING}

    def _write(self, plan: Plan) -> None:
        plan_file.write(plan)
        self._plan = plan

    def _refuse(self, ticket: str, why: str) -> None:
        requests.answer(self._plan.root, ticket, Answer((why,), refused=True))
