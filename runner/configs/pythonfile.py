"""Read a Python config: from its text where that is enough, else in a short-lived child. Never executes it here."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner.configs import bindings, textual
from runner.configs.evaluate import UnsupportedValue, is_setting, plain
from runner.configs.evaluator import Answer, Context, Evaluator, Task
from runner.configs.static import NotStatic, Static, TooLarge
from runner.core.errors import UserError, one_line

FIXES = {
    "NameError": "define it above, or put quotes around it if it is text",
    "ModuleNotFoundError": "install it, or do without the import",
    "ImportError": "check the import",
    "FileNotFoundError": "check the path; relative ones start at {folder}",
    "SystemExit": "a config must not exit",
    "MemoryError": "make it smaller",
}
#: A text without any of these is a list of plain assignments, or an error.
_CODE = re.compile(r"^[ \t\f]*(?:import|from|for|while|if|with|def|async|class|try|del|@)\b|[\w\])]\(|@", re.MULTILINE)


class Read(NamedTuple):
    """What a Python config sets. `evaluated`: it was executed; `volatile` are the names that have another value each
    time; `partial` is why not all of it is known."""

    values: dict[str, Any]
    lines: dict[str, int]
    evaluated: bool = False
    volatile: tuple[str, ...] = ()
    partial: str | None = None


def read(path: Path, text: str, evaluator: Evaluator, context: Context) -> Read:
    tree = parse(path, text)
    lines = assigned_lines(tree)
    try:
        values, unsupported = _settings(_static(path, tree, context.names))
        found = Read(values, lines)
    except NotStatic:
        answer = evaluator.answer(_task(path, text, tree, context))
        if answer.missing in context.unknown:
            return _as_text(tree, lines, context, f"reads {answer.missing}, which only the running script knows")
        _refuse_error(path, answer, evaluator.time_limit, context)
        unsupported = dict(answer.unsupported)
        found = Read(dict(answer.values), lines, True, answer.volatile)
    if unsupported:
        raise UserError(*(f"{path}:{lines.get(name, 1)}: {name} {cause}" for name, cause in unsupported.items()))
    return found._replace(lines={name: line for name, line in lines.items() if name in found.values})


def read_text(path: Path, text: str) -> Read:
    """What its text alone certainly says; nothing is executed. Raises UserError for a syntax error."""
    tree = parse(path, text)
    return _as_text(tree, assigned_lines(tree), Context(), None)


def task(path: Path, text: str, context: Context) -> Task | None:
    """What has to be executed to read this config; None if nothing has to be, or if it cannot be parsed."""
    if not _CODE.search(text):
        return None
    try:
        tree = parse(path, text)
        _static(path, tree, context.names)
    except NotStatic:
        return _task(path, text, tree, context)
    except UserError:
        pass
    return None


def _task(path: Path, text: str, tree: ast.Module, context: Context) -> Task:
    assigned = frozenset(name for statement in tree.body for name in bindings.bound(statement))
    return Task(path, text, context, assigned, bindings.read(tree), bindings.modules(tree))


def _as_text(tree: ast.Module, lines: Mapping[str, int], context: Context, why: str | None) -> Read:
    names, whole = textual.values(tree, context.names)
    values, unsupported = _settings(names)
    if why is None and unsupported:
        name = next(iter(unsupported))
        why = f"line {lines.get(name, 1)}: {name} {unsupported[name].partition(',')[0].partition(';')[0]}"
    elif why is None and not whole:
        why = "more than plain assignments, and not executed"
    return Read(values, {name: line for name, line in lines.items() if name in values}, partial=why)


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


def _static(path: Path, tree: ast.Module, names: Mapping[str, Any]) -> dict[str, Any]:
    """The names that it assigns; `names` are set before."""
    reader = Static(names)
    assigned: set[str] = set()
    for statement in tree.body:
        try:
            reader.run(statement)
        except TooLarge:
            cause = "the value is too large for a config; make it smaller"
            raise UserError(f"{path}:{statement.lineno}: {cause}") from None
        assigned |= bindings.bound(statement)
    return {name: value for name, value in reader.names.items() if name in assigned}


def _settings(names: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    values, unsupported = {}, {}
    for name, value in names.items():
        if is_setting(name, value):
            try:
                values[name] = plain(value)
            except UnsupportedValue as error:
                unsupported[name] = str(error)
    return values, unsupported


def _refuse_error(path: Path, answer: Answer, time_limit: float, context: Context) -> None:
    if answer.late:
        cause = f"did not finish within {time_limit:g} s"
        fix = "let it only assign values, or give the batch a longer --config_timeout"
        raise UserError(f"{path}: {cause}; {fix}")
    if (kind := answer.error) is not None:
        place = f"{path}:{answer.line}" if answer.line else str(path)
        message = one_line(answer.message)
        cause = f"{kind}: {message}" if message else kind
        fix = FIXES.get(kind, "correct this line").format(folder=context.folder or "the current directory")
        raise UserError(f"{place}: {cause}; {fix}")


def _invalid(error: SyntaxError) -> str:
    detail = "" if error.msg == "invalid syntax" else f": {one_line(error.msg)}"
    near = f" in {one_line(error.text)!r}" if error.text and error.text.strip() else ""
    return f"invalid syntax{detail}{near}; correct this line"
