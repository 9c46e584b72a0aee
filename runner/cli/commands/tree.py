"""`tree DIR`: run a folder of configs. The words that follow are options of every batch."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from runner.cli import batch, options
from runner.cli.arguments import with_flag

HELP = "run a folder of configs"


def add_arguments(parser: ArgumentParser) -> None:
    options.add_options(parser)


def main(words: Sequence[str]) -> int:
    return batch.main(with_flag("--config-root", words))
