"""What Hydra is told when a sweep cannot begin, or a job did not come to a return value."""

from __future__ import annotations

from hydra.errors import CompactHydraException


class Mistake(CompactHydraException):
    """Something the user can mend, a sentence a line. Hydra prints it without a traceback."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))


class JobFailed(CompactHydraException):
    """A job ended without a return value and without an exception: killed, out of time, stopped, never begun."""
