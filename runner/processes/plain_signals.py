"""The functions of `signal` by numbers: those of the module look for the name of each number and of each handler.

That touches a hundred pages of memory where a supervisor starts and in its job before the exec, 0.3 ms each.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # that of C, which `signal` wraps
import signal

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

SIGHUP, SIGINT, SIGTERM, SIGKILL, SIGCHLD, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ = (
    int(number)
    for number in (
        signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2,
        signal.SIGPIPE, signal.SIGXFSZ,
    )
)  # fmt: skip
DEFAULT, IGNORED = int(signal.SIG_DFL), int(signal.SIG_IGN)
BLOCK, UNBLOCK, SET = int(signal.SIG_BLOCK), int(signal.SIG_UNBLOCK), int(signal.SIG_SETMASK)

handle: Callable[[int, Any], Any] = _signal.signal
handler: Callable[[int], Any] = _signal.getsignal
mask: Callable[[int, Iterable[int]], set[int]] = _signal.pthread_sigmask
