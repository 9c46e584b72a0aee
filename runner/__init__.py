"""The engine of the experiment runner, and its library. Public names only; each is imported when it is first used."""

__version__ = "0.2.0"

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from runner.core.config import Config
    from runner.core.errors import ConfigError, UserError
    from runner.core.job import Job, Plan
    from runner.core.state import Outcome, Record
    from runner.library.decorator import Experiment, Incomplete, experiment
    from runner.reports.load_results import load_results

# name -> module: `import runner` must stay cheap, since every supervisor does it.
_HOMES = {
    "Config": "core.config",
    "ConfigError": "core.errors",
    "UserError": "core.errors",
    "Experiment": "library.decorator",
    "Incomplete": "library.decorator",
    "Job": "core.job",
    "Outcome": "core.state",
    "Plan": "core.job",
    "Record": "core.state",
    "experiment": "library.decorator",
    "load_results": "reports.load_results",
}

__all__ = [
    "Config",
    "ConfigError",
    "Experiment",
    "Incomplete",
    "Job",
    "Outcome",
    "Plan",
    "Record",
    "UserError",
    "experiment",
    "load_results",
]  # fmt: skip


if not TYPE_CHECKING:  # a type checker knows the names from above, and finds one that is misspelt

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'runner' has no attribute {name!r}")
        from importlib import import_module  # here: a supervisor, which needs no name, starts a millisecond earlier

        return getattr(import_module(f"runner.{_HOMES[name]}"), name)
