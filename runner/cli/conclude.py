"""The last job of a batch on Slurm that nobody watches: it writes the summary, the report and the notifications.

Started as `python -I conclude.py BATCH`. It runs no job.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Last on the path: no file of ours may hide the standard library or an installed package.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from runner.cli.batch import conclude
from runner.cli.options import parser
from runner.core import program
from runner.core.errors import UserError, print_error


def main(words: list[str]) -> int:
    """End the batch as a runner does that has watched it; another one that watches does so itself."""
    given = parser().parse_args(["--resume", words[0]])
    try:
        return conclude(Path(words[0]), given)
    except UserError as error:
        return print_error(error, program.name())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
