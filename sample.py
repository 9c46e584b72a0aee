#!/usr/bin/env python3
"""Draw text from a trained model: python sample.py PATH --sampler=first_hitting --count=4 --prompt="ROMEO:"

PATH is a checkpoint (ckpt_*.pt), a job's folder or a batch's. Samples go to stdout, all else to stderr.
Exit codes: 0 done, 1 failed, 2 an error in the command, 130 stopped by Ctrl+C after printing the finished samples.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with PYTHONSAFEPATH

import configurator
from pipelines.diffusion.sampling.load import require_model
from pipelines.diffusion.sampling.options import SampleSettings, described
from pipelines.shared.errors import InputError
from runner.configs.overrides import split
from runner.core.errors import UserError

FLAGS = ("--show", "--quality")  # without a value they mean true


def main(argv: Sequence[str]) -> int:
    if any(word in ("-h", "--help") for word in argv):
        print(f"{(__doc__ or '').strip()}\n\nOptions and their defaults:\n{described()}")
        return 0
    try:
        path, settings = read(argv)
        require_model(path)
        if settings.corrector:
            require_model(Path(settings.corrector), corrector=True)
        if settings.perplexity and not (Path(settings.perplexity) / "config.json").is_file():  # that of GPT-2
            require_model(Path(settings.perplexity))
        # Only now that the command is valid: torch alone takes seconds to import.
        from pipelines.diffusion.sampling import samples

        return samples.run(path, settings)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def read(argv: Sequence[str]) -> tuple[Path, SampleSettings]:
    """The path and the settings of a command line; raises one UserError with all its errors."""
    words, overrides, problems = split([f"{word}=true" if word in FLAGS else word for word in argv])
    problems += [f"{word}: one model at a time; options are written --key=value" for word in words[1:]]
    if not words:
        problems.append("no model; name a checkpoint, a job's folder or a batch's, such as experiments/latest")
    try:
        settings = configurator.resolve_for(SampleSettings, None, overrides)
    except UserError as error:
        raise UserError(*problems, *error.problems) from None
    if problems:
        raise UserError(*problems)
    return Path(words[0]), settings


if __name__ == "__main__":
    # A model may produce characters that the terminal's encoding does not have.
    sys.stdout.reconfigure(errors="replace")
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before anything was drawn
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:  # a full disk, for example
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
