"""What a job of a Hydra sweep returned, as its process wrote it down: plain values only, and no code is run."""

from __future__ import annotations

from typing import Any

from runner.reports import plainpickle

_MODULE = "hydra_plugins.runner_launcher._order"
_COMPLETED = 1  # hydra.core.utils.JobStatus


class _Returned:
    """Stands for the launcher's class of this name."""

    status: Any = None
    value: Any = None

    def __setstate__(self, fields: list[Any]) -> None:
        self.status, self.value, *_ = fields


def read(content: bytes) -> dict[str, Any]:
    """What it returned as columns, a value that is not a dict as `return_value`; empty if there is no plain value."""
    try:
        found = plainpickle.loads(content, {(_MODULE, "Returned"): _Returned, ("hydra.core.utils", "JobStatus"): int})
        if not isinstance(found, _Returned) or found.status != _COMPLETED or found.value is None:
            return {}
        value = plainpickle.bounded(found.value, len(content))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {"return_value": value}
