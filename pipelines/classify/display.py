"""Show figures in windows where there is a display; one line where there is none. Never makes a job fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TOOLKITS = ("QtAgg", "TkAgg", "GTK3Agg", "MacOSX")


def has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(paths: Sequence[Path], stop: Callable[[], bool]) -> str | None:
    """Open a window for each figure and wait until all are closed or `stop` returns True. The reason if none opens."""
    if not has_display():
        return "there is no display here"
    try:
        import matplotlib.pyplot as plt

        if not any(usable(plt.switch_backend, name) for name in TOOLKITS):
            return f"matplotlib finds none of {', '.join(TOOLKITS)} to open windows with"
        for path in paths:
            picture = plt.imread(path)
            figure = plt.figure(path.stem, figsize=(picture.shape[1] / 100, picture.shape[0] / 100))
            figure.figimage(picture)
        while plt.get_fignums() and not stop():
            plt.pause(0.2)
        plt.close("all")
    except Exception as error:  # with a display that does not respond, each toolkit raises its own errors
        return f"no window can be opened ({(str(error).strip() or type(error).__name__).splitlines()[0]})"
    return None


def usable(switch: Callable[[str], None], name: str) -> bool:
    try:
        switch(name)
    except ImportError:
        return False
    return True
