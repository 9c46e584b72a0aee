"""Which function a result belongs to: its name, and its file as a path from the output folder's project."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.core.canonical import home
from runner.library.imported_files import own


@dataclass(frozen=True, slots=True)
class Identity:
    """`function` is module and name. `file` is None where it is not known: at a prompt, in an installed package."""

    function: str
    name: str
    file: str | None

    @classmethod
    def of(cls, function: Callable[..., Any], root: Path) -> Identity:
        """That of a function whose output folder is `root`."""
        path = _file(inspect.unwrap(function))
        file = None if path is None else Path(os.path.relpath(path, root.parent.resolve())).as_posix()
        return cls(home(function), function.__qualname__, file)

    def is_of(self, meta: Mapping[str, Any]) -> bool:
        """Whether a record is one of this function. Those of version 0.1.0 do not have a file."""
        file = meta.get("file")
        if self.file is not None and file is not None:  # `python -m package.main` is the same as `python main.py`
            return bool(file == self.file) and str(meta.get("function")).endswith(f".{self.name}")
        return meta.get("function") == self.function

    def __str__(self) -> str:
        return described(self.function, self.file)


def described(function: Any, file: Any) -> str:
    return f"{function} in {file}" if file else str(function)


def _file(function: Any) -> Path | None:
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    if Path(code.co_filename).exists():
        return own(code.co_filename)
    # The text is that of a cell: Jupyter and VS Code say of which notebook.
    notebook = function.__globals__.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return (Path.cwd() / Path(notebook).name).resolve() if isinstance(notebook, str) and notebook else None
