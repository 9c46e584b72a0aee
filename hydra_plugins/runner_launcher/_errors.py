"""Exceptions for Hydra: a sweep that cannot start, and a job without a return value."""

from __future__ import annotations

from hydra.errors import CompactHydraException


class LaunchError(CompactHydraException):
    """Errors that the user can fix, a sentence a line. Hydra prints it without a traceback."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))


class JobFailed(CompactHydraException):
    """A job ended without a return value and without an exception: killed, timeout, stopped, not started."""
