"""nanoGPT's convention: top-level assignments are the keys, then a configurator. Read off the text, never run."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.configs import overrides, pythonfile
from runner.configs.config_file import read_text
from runner.configs.evaluate import UnsupportedValue, plain
from runner.configs.static import NotStatic, Static, TooLarge


class _Unknown:
    """The default of a key whose value only the running script knows."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class Key:
    """`kind` is None where the text does not tell the type."""

    kind: type | None = None
    default: Any = UNKNOWN


def keys(script: Path) -> dict[str, Key] | None:
    """The script's keys; None when it does not follow the convention. Raises UserError if unreadable."""
    if script.suffix not in (".py", ""):
        return None
    text = read_text(script)
    if script.suffix == "" and "python" not in text.partition("\n")[0]:
        return None
    found: dict[str, Key] = {}
    reader = Static()
    for statement in pythonfile.parse(script, text).body:
        if _configures(statement):
            if isinstance(statement, (ast.If, ast.Try)):
                found = dict.fromkeys(_stored(statement), Key()) | found
            return {key: value for key, value in found.items() if not key.startswith("_")}
        found.update(_assigned(statement, reader))
    return None


def argument(text: str, kind: type | None) -> tuple[str, Any]:
    """The text to pass and the value that the script makes of it; raises InvalidValue.

    nanoGPT's configurator takes literal_eval(text), or the text itself where that fails, and demands exactly the
    default's type: `1` for a float key, `false` for a bool and `123` for a text would all stop the job.
    """
    if kind in (bool, int):
        value = overrides.parse(text, kind)
        return str(value), value
    if kind is float:
        value = overrides.parse(text, float)
        if math.isnan(value):
            raise overrides.InvalidValue("must be a number that Python can write, not nan")
        return repr(value).replace("inf", "1e999"), value  # literal_eval knows no inf
    if kind is str:
        return _text(text)
    try:
        return text, overrides.literal(text)
    except ValueError:
        return text, text


def _text(text: str) -> tuple[str, str]:
    value = _evaluated(text)
    if not isinstance(value, str):
        value, text = text, repr(text)  # '123' with its quotes is a text, 123 a number
    if "=" in text:
        # The original splits the argument at every '=' and fails at the second one.
        text = repr(value).replace("=", r"\x3d")
    return text, value


def _evaluated(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _configures(statement: ast.stmt) -> bool:
    """Whether this statement hands over to a configurator: exec of its text, an import, or the same written out."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return False
        case ast.Import(names=aliases):
            return any("configurator" in alias.name for alias in aliases)
        case ast.ImportFrom(module=module, names=aliases):
            return "configurator" in (module or "") or any("configurator" in alias.name for alias in aliases)
    nodes = list(ast.walk(statement))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    executes = bool(names & {"exec", "runpy"}) and any("configurator" in text for text in texts)
    reads_arguments = any(isinstance(node, ast.Attribute) and node.attr == "argv" for node in nodes)
    written_out = "globals" in names and (reads_arguments or "config_keys" in names)
    return executes or written_out


def _assigned(statement: ast.stmt, reader: Static) -> dict[str, Key]:
    """The names that a top-level statement sets, with their values where the text tells them."""
    stored = _stored(statement)
    try:
        reader.run(statement)
    except (NotStatic, TooLarge):
        for name in stored:
            reader.names.pop(name, None)
        return dict.fromkeys(stored, Key(_kind(statement, reader)))
    return {name: _key(reader.names[name]) for name in stored if name in reader.names}


def _key(value: Any) -> Key:
    try:
        return Key(type(value), plain(value))
    except UnsupportedValue:
        return Key(type(value))


def _kind(statement: ast.stmt, reader: Static) -> type | None:
    """`'bfloat16' if torch.cuda.is_available() else 'float16'`: which of them is not known, but it is a text."""
    value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
    if not isinstance(value, ast.IfExp):
        return None
    try:
        kinds = {type(reader.value(value.body)), type(reader.value(value.orelse))}
    except (NotStatic, TooLarge):
        return None
    return kinds.pop() if len(kinds) == 1 else None


def _stored(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return set()
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
