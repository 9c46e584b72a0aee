"""Read a Python config: from its text where that is enough, else in a short-lived child. Never executes it here."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

from runner.configs.evaluate import UnsupportedValue, is_setting, plain
from runner.configs.static import NotStatic, Static, TooLarge
from runner.core.errors import UserError, one_line

Values = tuple[dict[str, Any], dict[str, int]]

FIXES = {
    "NameError": "define it above, or put quotes around it if it is text",
    "ModuleNotFoundError": "install it, or do without the import",
    "ImportError": "check the import",
    "FileNotFoundError": "check the path; relative ones start at the current directory",
    "SystemExit": "a config must not exit",
    "MemoryError": "make it smaller",
}


def read(path: Path, text: str, time_limit: float) -> Values:
    tree = parse(path, text)
    lines = assigned_lines(tree)
    try:
        values, unsupported = _settings(_static(path, tree))
    except NotStatic:
        from runner.configs import child  # subprocess and tempfile, which most configs do not need

        values, unsupported = _from_child(path, child.evaluate(path, text, time_limit), time_limit)
    if unsupported:
        raise UserError(*(f"{path}:{lines.get(name, 1)}: {name} {cause}" for name, cause in unsupported.items()))
    return values, {name: line for name, line in lines.items() if name in values}


def parse(path: Path, text: str) -> ast.Module:
    """Raise UserError for a syntax error, with its line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a string is not an error here
            tree = ast.parse(text, filename=str(path))
            compile(tree, str(path), "exec", dont_inherit=True)  # finds what parsing does not, such as a lone return
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno or 1}: {_invalid(error)}") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise UserError(f"{path}:1: cannot be parsed ({one_line(error)}); make it simpler") from None
    return tree


def assigned_lines(tree: ast.Module) -> dict[str, int]:
    """Where each name got its value: the last line that assigns it."""
    stores = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {node.id: node.lineno for node in sorted(stores, key=lambda node: node.lineno)}


def _static(path: Path, tree: ast.Module) -> dict[str, Any]:
    reader = Static()
    for statement in tree.body:
        try:
            reader.run(statement)
        except TooLarge:
            cause = "the value is too large for a config; make it smaller"
            raise UserError(f"{path}:{statement.lineno}: {cause}") from None
    return reader.names


def _settings(names: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    values, unsupported = {}, {}
    for name, value in names.items():
        if is_setting(name, value):
            try:
                values[name] = plain(value)
            except UnsupportedValue as error:
                unsupported[name] = str(error)
    return values, unsupported


def _from_child(path: Path, answer: dict[str, Any] | None, time_limit: float) -> tuple[dict[str, Any], dict[str, str]]:
    if answer is None:
        raise UserError(f"{path}: did not finish within {time_limit:g} s; a config should only assign values")
    if (kind := answer.get("error")) is not None:
        place = f"{path}:{answer['line']}" if answer.get("line") else str(path)
        message = one_line(answer.get("message", ""))
        cause = f"{kind}: {message}" if message else kind
        raise UserError(f"{place}: {cause}; {FIXES.get(kind, 'correct this line')}")
    return answer["values"], answer["unsupported"]


def _invalid(error: SyntaxError) -> str:
    detail = "" if error.msg == "invalid syntax" else f": {one_line(error.msg)}"
    near = f" in {one_line(error.text)!r}" if error.text and error.text.strip() else ""
    return f"invalid syntax{detail}{near}; correct this line"
