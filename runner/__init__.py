"""The engine of the experiment runner, and its library. Public names only; each is imported when it is first used."""

from importlib import import_module

TYPE_CHECKING = False  # what typing.TYPE_CHECKING says, without the cost of its import
if TYPE_CHECKING:
    from runner.aggregate import load_results
    from runner.config import Config
    from runner.configfiles import ConfigError
    from runner.decorator import Experiment, Incomplete, experiment
    from runner.job import Job, Plan
    from runner.state import Outcome, Record

# name -> module: `import runner` must stay cheap, since every supervisor does it.
_HOMES = {
    "Config": "config",
    "ConfigError": "configfiles",
    "Experiment": "decorator",
    "Incomplete": "decorator",
    "Job": "job",
    "Outcome": "state",
    "Plan": "job",
    "Record": "state",
    "experiment": "decorator",
    "load_results": "aggregate",
}

__all__ = [
    "Config", "ConfigError", "Experiment", "Incomplete", "Job", "Outcome", "Plan", "Record", "experiment",
    "load_results",
]  # fmt: skip


if not TYPE_CHECKING:  # a type checker knows the names from above, and finds one that is misspelt

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'runner' has no attribute {name!r}")
        return getattr(import_module(f"runner.{_HOMES[name]}"), name)
