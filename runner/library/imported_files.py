"""Which files of the project a source text imports. Nothing is imported: modules are found step by step."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

OWN_PACKAGE = Path(__file__).resolve().parents[1]


def imported(tree: ast.AST, package: str, file: Path | None) -> Iterator[Path]:
    """The project's files that are imported somewhere in `tree`."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                outer = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*outer, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            yield from _located(name, file)


def imported_by_call(tree: ast.AST, file: Path | None) -> Iterator[Path]:
    """The project's files that `import_module("name")` imports somewhere in `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            name = node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str):
                yield from _located(name, file)


def bound(tree: ast.Module, package: str, file: Path | None) -> dict[str, set[Path]]:
    """The names that a file's own import statements bind -> the project's files behind each; `*` is one of them."""
    found: dict[str, set[Path]] = {}
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            paths = set(imported(node, package, file))
            for alias in node.names:
                name = alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else alias.name.split(".")[0])
                found.setdefault(name, set()).update(paths)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return found


def _located(name: str, file: Path | None) -> Iterator[Path]:
    """The files of a module and of the packages around it. Step by step: find_spec would import them."""
    places: list[str] | None = None
    pieces = name.split(".")
    for depth in range(len(pieces)):
        dotted = ".".join(pieces[: depth + 1])
        spec = _spec(dotted, places if depth else [*([str(file.parent)] if file else []), *sys.path])
        if spec is None:
            return
        path = own(spec.origin)
        if path is not None:
            yield path
        places = list(spec.submodule_search_locations or [])
        if path is None and _foreign(spec):
            return


def _spec(dotted: str, places: list[str] | None) -> ModuleSpec | None:
    try:
        found = PathFinder.find_spec(dotted, places)
    except (ImportError, ValueError, AttributeError):
        found = None
    loaded = sys.modules.get(dotted)
    return found or (loaded.__spec__ if loaded is not None else None)


def _foreign(spec: ModuleSpec) -> bool:
    return spec.origin is not None and own(spec.origin) is None


def package(path: Path) -> str:
    """The dotted name of the package that a file lies in."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


def own(origin: str | None) -> Path | None:
    """The file, if it is Python source of the project: not installed, not of the standard library, not this library."""
    if not origin or not origin.endswith(".py"):
        return None
    path = Path(origin).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(OWN_PACKAGE):
        return None
    return None if any(path.is_relative_to(place) for place in _STANDARD) else path


_STANDARD = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
