"""The common code of the programs in this folder, and a call for one config. runner/ and pipelines/ do the work."""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
CONFIGS = "config"


def run_all(script: str) -> int:
    """Run the configs of all subdirectories. `script`: the calling program; others in its folder are used."""
    purpose = f"Run the configs of all subdirectories of {CONFIGS}/."
    return _run([f"--runners={Path(script).absolute().parent}"], purpose)


def run_subdirectory(script: str, **settings: object) -> int:
    """Run the configs of the subdirectory that `script` is named after, run_<subdirectory>.py.

    `settings` take precedence over the configs, as in `run_subdirectory(__file__, dataset_name="VECTOR")`, and the
    command line takes precedence over both.
    """
    subdir = _subdirectory(Path(script).stem.removeprefix("run_"))
    flags = [f"--{key}={value}" for key, value in settings.items()]
    return _run([f"--subdir={subdir}", *flags], f"Run the configs of {CONFIGS}/{subdir}/.")


def run_pipeline_from_config(
    *, config_path: str | os.PathLike[str], output_dir: str | os.PathLike[str], **settings: object
) -> dict[str, Any]:
    """Run one config in this process and write its artifacts into `output_dir`; returns the content of metadata.json.

    `settings` take precedence over the config. Raises runner.UserError for errors in it, and those of its pipeline.
    """
    import configurator
    from runner.configs import inheritance
    from runner.disk import layout
    from runner.disk.reading import LARGEST_OF_BATCH, read_json

    config = inheritance.read(Path(config_path))
    texts = {key: str(value) for key, value in settings.items()}
    resolved = configurator.resolve(config, {**texts, "out_dir": os.fspath(output_dir)})
    code = importlib.import_module(f"pipelines.{resolved.pipeline}.train").run(resolved)
    content = read_json(Path(output_dir, layout.RUN_METADATA), LARGEST_OF_BATCH)
    return {"status": "completed" if code == 0 else "failed", **content}


def _subdirectory(name: str) -> str:
    """The subdirectory for the name of a program; run_my_set.py may mean my-set."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-root", "--config_root", default=CONFIGS)
    root = Path(parser.parse_known_args()[0].config_root)
    dashed = name.replace("_", "-")
    return dashed if (root / dashed).is_dir() and not (root / name).is_dir() else name


def _name(word: str) -> str:
    """The name of an option: --config-root, --config_root and --config-root=x are one."""
    return word.partition("=")[0].replace("_", "-")


def _run(options: Sequence[str], purpose: str) -> int:
    """Call run_experiments.py with the arguments of the command line, and with those `options` that it does not give.

    Subdirectories add up.
    """
    arguments_given = sys.argv[1:]
    if {"-h", "--help"} & set(arguments_given):
        from runner.cli import options
        from runner.core.checkout import load_plugins

        load_plugins()  # a setting of the pipelines is in the help
        print(options.help_for_trees(Path(sys.argv[0]).name, purpose))
        return 0
    given = {_name(word) for word in arguments_given} - {"--subdir"}
    own = [option for option in (f"--config-root={CONFIGS}", *options) if _name(option) not in given]
    sys.argv = [str(PROJECT / "run_experiments.py"), *own, *arguments_given]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0
