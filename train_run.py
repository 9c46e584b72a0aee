"""Run one training job: python train_run.py CONFIG --out_dir=out --key=value ...

Exit codes: 0 done, 1 failed, 2 an error in the config or in what it names, 130 or 143 stopped by SIGINT or SIGTERM
after saving a checkpoint.
"""

import errno
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with PYTHONSAFEPATH

# A short job is mostly start-up. Loading modules produces no garbage, and collecting takes a tenth of the time;
# pydantic searches all installed packages for plugins, which are not needed.
gc.disable()
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
from pipelines.shared import thread_waiting  # noqa: E402

BEGUN = thread_waiting.look()

import configurator  # noqa: E402
from pipelines.shared import heap, stacks  # noqa: E402
from pipelines.shared.errors import Diverged, InputError, NotSaved  # noqa: E402


def main(argv: Sequence[str]) -> int:
    stacks.show_on_request()
    try:
        _, settings = configurator.from_command_line(argv)
        thread_waiting.choose(os.environ, BEGUN, thread_waiting.look())
        heap.keep_freed(os.environ)
        # Only now that the config is valid: torch alone takes seconds to import.
        pipeline = importlib.import_module(f"pipelines.{settings.pipeline}.train")
        gc.freeze()
        gc.enable()
        return pipeline.run(settings)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was saved after the last checkpoint", file=sys.stderr)
        return 130
    except Exception as error:
        if message := foreseen(error):
            print(f"error: {message}", file=sys.stderr)  # error.json has the traceback
        else:
            traceback.print_exc()
        return 1


def foreseen(error: Exception) -> str:
    """What to say of an error that a training may meet without a fault in any program; "" for any other."""
    text = ". ".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, Diverged):
        return text
    if isinstance(error, NotSaved) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return f"{text}. Make room and repeat the command with --init_from=resume"
    return ""


def leave(code: int) -> NoReturn:
    """End the process now. All files are written by then; exit hooks of libraries could only hang."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # the reader of the pipe is gone, which does not affect the job
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
