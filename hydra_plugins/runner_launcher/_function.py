"""The program of a job whose task function was sent to it: reads its job specification and runs it."""

from __future__ import annotations

import os
import pickle
import sys
from typing import BinaryIO


def main() -> None:
    """Exit code 1, after a traceback, if the task function raises."""
    # Not by the runner's reader, which can be imported only when the path below is known.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(os.environ["RUNNER_HYDRA_JOB"], flags), "rb") as file:
        sys.path[:] = pickle.load(file)  # first: the rest can be read only where its modules are found
        _perform(file)


def _perform(file: BinaryIO) -> None:
    import cloudpickle
    from hydra.core.singleton import Singleton

    from hydra_plugins.runner_launcher import _order

    _order.given()
    specification, context, task, state = pickle.load(file)
    Singleton.set_state(state)
    done = _order.perform(specification, context, task, cloudpickle.dumps)
    _ = done.return_value  # raises what the task function raised


if __name__ == "__main__":
    main()
