"""Let the runner see where the threads of a training stand before it stops it for a limit. Starts nothing."""

from __future__ import annotations

import faulthandler
import os
import signal

from runner.supervisor.witness import NAME


def show_on_request() -> None:
    """On SIGUSR2 write the stacks of all threads into a file in memory, where the runner looks (Linux)."""
    if hasattr(os, "memfd_create"):
        faulthandler.register(signal.SIGUSR2, file=os.memfd_create(NAME), all_threads=True)
