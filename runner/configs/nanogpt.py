"""Scripts by nanoGPT's convention: top-level assignments are the keys, then a configurator. Read, never run."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.configs import bindings, overrides, pythonfile
from runner.configs.config_file import DIGEST, ConfigFile, read_text
from runner.configs.evaluate import UnsupportedValue, plain
from runner.configs.evaluator import Context
from runner.configs.overrides import InvalidValue
from runner.configs.static import NotStatic, Static, TooLarge
from runner.configs.training_script import RESUME, Checked, TrainingScript, changes, normalized, renamed
from runner.core.errors import UserError, did_you_mean
from runner.processes import process_tree

#: Variables of a job's environment that differ from job to job: to read them is to have another value each time.
ENVIRON = (
    "WANDB_DIR", "WANDB_RUN_GROUP", "WANDB_NAME", "TORCHINDUCTOR_CACHE_DIR", process_tree.MARK, process_tree.FOLDER,
)  # fmt: skip


class _Unknown:
    """The default of a key whose value only the running script knows."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class Key:
    """`kind` is None where the text does not show the type."""

    kind: type | None = None
    default: Any = UNKNOWN


@dataclass(frozen=True, slots=True)
class NanoGptScript(TrainingScript):
    """A script, and the keys that its text defines."""

    script: Path
    known: Mapping[str, Key]
    imports: Mapping[str, str]  # name -> statement

    def context(self) -> Context:
        """The config is executed among the script's own names, in the folder where the job will run."""
        return Context(
            folder=self._folder(),
            file=str(self.script.resolve()),
            names=self._defaults(),
            imports=self.imports,
            unknown=frozenset(name for name, key in self.known.items() if key.default is UNKNOWN),
            environ=ENVIRON,
        )

    def keys(self, config: ConfigFile) -> set[str]:
        return set(self.known)

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        errors, warnings = _check_file(self.script, self.known, config)
        texts: dict[str, str] = {}
        values: dict[str, Any] = {}
        for key, text in renamed(normalized(overrides), self.known).items():
            try:
                texts[key], values[key] = self._argument(key, text)
            except InvalidValue as error:
                errors.append(f"--{key}{'' if str(error).startswith(':') else ' '}{error}")
        if errors:
            raise UserError(*errors)
        before = self._defaults() | config.values
        resolved = before | values
        resume = RESUME if "init_from" in self.known else ()
        differences = changes(before, resolved, texts)
        return Checked(resolved, texts, differences, tuple(warnings), resume_args=resume, folder=self._folder())

    def _defaults(self) -> dict[str, Any]:
        return {name: key.default for name, key in self.known.items() if key.default is not UNKNOWN}

    def _argument(self, key: str, text: str) -> tuple[str, Any]:
        if key not in self.known:
            hint = did_you_mean(key, self.known, dashes="--")
            raise InvalidValue(f": unknown key; {hint or f'{self.script} does not define it'}")
        return argument(text, self.known[key].kind)

    def _folder(self) -> Path | None:
        """The convention is exec(open('configurator.py').read()): from another folder it would find another one."""
        folder = self.script.resolve().parent
        return folder if (folder / "configurator.py").is_file() else None


def recognize(script: Path) -> NanoGptScript | None:
    """The adapter, if the script follows the convention. Raises UserError for a script that cannot be parsed."""
    tree = _parsed(script)
    known = None if tree is None else keys(tree)
    if tree is None or known is None:
        return None
    before = itertools.takewhile(lambda statement: not _configures(statement), tree.body)
    return NanoGptScript(script, known, bindings.imported(before))


def _check_file(script: Path, keys: Collection[str], config: ConfigFile) -> tuple[list[str], list[str]]:
    """Errors and warnings. A key that is nearly one of the script's is a typo; any other may be the config's own."""
    errors: list[str] = []
    warnings: list[str] = []
    if config.path.suffix != ".py":
        errors.append(f"{config.path}: {script} executes its config as Python; write a .py config")
    for key in config.values:
        if key in keys or key == DIGEST:
            continue
        if (hint := did_you_mean(key, keys)) is not None:
            errors.append(f"{config.place(key)}: unknown key {key!r}; {hint}")
        else:
            warnings.append(f"{config.place(key)}: {script} does not know the key {key!r}")
    return errors, warnings


def _parsed(script: Path) -> ast.Module | None:
    """The text of a Python script; None for another kind of program."""
    if script.suffix not in (".py", ""):
        return None
    text = read_text(script)
    if script.suffix == "" and "python" not in text.partition("\n")[0]:
        return None
    return pythonfile.parse(script, text)


def keys(tree: ast.Module) -> dict[str, Key] | None:
    """The script's keys; None when it does not follow the convention."""
    found: dict[str, Key] = {}
    reader = Static()
    for statement in tree.body:
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
            raise InvalidValue("must be a number that Python can write, not nan")
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
    """Whether this statement calls a configurator: exec of its text, an import, or the same written out."""
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
    """The names that a top-level statement sets, with their values where the text shows them."""
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
    """`'bfloat16' if torch.cuda.is_available() else 'float16'`: which one is not known, but it is a text."""
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
