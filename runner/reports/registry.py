"""Views: files that sum up a batch, made from its records alone, so they can be deleted and made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from runner.core.registry import Registry

if TYPE_CHECKING:  # a checkout registers its views for every command, --help too
    from runner.core.job import Plan
    from runner.core.plan_kind import PlanKind
    from runner.core.state import Record


class View(Protocol):
    """One view of one batch. It may cache what it read of a job that has ended."""

    on_start: bool  # made again when a job starts, too, and not only when one ends

    def files(self, records: Sequence[Record], timestamp: str) -> Mapping[str, Mapping[str, Any] | bytes]:
        """Path below the batch's folder -> content: a JSON object, or bytes."""


class ViewFactory(Protocol):
    def __call__(self, plan: Plan) -> View: ...


VIEWS: Registry[ViewFactory] = Registry(
    "runner.reports.views",
    "view",
    {"summary": "runner.reports.summary:SummaryView", "experiment": "runner.reports.experiment:ExperimentView",
     "search": "runner.reports.search:SearchView"},
)  # fmt: skip
_ADDED: dict[str, list[str]] = {}  # name of a kind -> views beyond its own


def add_view(kind: str, name: str) -> None:
    """Let batches of this kind have this view as well."""
    names = _ADDED.setdefault(kind, [])
    if name not in names:
        names.append(name)


def views_of(plan: Plan) -> list[View]:
    """The views of a batch: those of its kind, and those that were added to it. Raises UserError for an unknown one."""
    return [VIEWS.get(name)(plan) for name in names_of(plan.kind)]


def names_of(kind: PlanKind) -> tuple[str, ...]:
    return (*kind.views, *_ADDED.get(kind.name, ()))
