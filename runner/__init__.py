"""The engine of the experiment runner. Public names only; each is imported when it is first used."""

from importlib import import_module

# name -> module: `import runner` must stay cheap, since every supervisor does it.
_HOMES = {
    "Job": "job",
    "Plan": "job",
    "Outcome": "state",
    "Record": "state",
    "ConfigError": "configfiles",
}

__all__ = ["ConfigError", "Job", "Outcome", "Plan", "Record"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'runner' has no attribute {name!r}")
    return getattr(import_module(f"runner.{_HOMES[name]}"), name)
