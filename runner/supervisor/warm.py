"""Import what jobs need, once, and fork supervisors whose jobs are forks as well: they start without an import.

A program of its own, started as a job would be: with its Python, the options of that, its environment and its folder.
Its first argument is what runner/supervisor/preload.py reads. The end of this file is the end of a job too, since a job
that is a fork of this process ends as any Python program does: with its threads, its exit handlers and its destructors.
"""

from __future__ import annotations

import os
import sys

# Ours are imported from the standard library alone: what the user has must not hide it, and is imported afterwards.
# The first entry is the folder of this file, unless Python was told to leave it out.
PATH = sys.path if getattr(sys.flags, "safe_path", False) else sys.path[1:]
STANDARD = os.path.dirname(os.__file__)
sys.path = [path for path in PATH if path.startswith(STANDARD) and "-packages" not in path]
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from runner.supervisor import preload  # noqa: E402 - it needs the path above

if __name__ == "__main__":
    preload.serve(sys.argv[1], PATH).run()  # what follows is in a job, and is its end
