"""Read a YAML config as its author expects.

- `1e-3`, `.5`, `2.` are floats; `1_000` is an int; `.inf`, `-.inf`, `.nan` as in YAML.
- Only true and false (in any case) are booleans; on, off, yes and no are text. null, ~ and nothing are None.
- `12:30:45` is text, dates are text. A number with a leading zero is text (`007`, `010`): it is a name more often
  than an octal number. `0x1f`, `0o17`, `0b1` are ints.
- A key that occurs twice is an error. Anchors, aliases and `<<` work.
"""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import Any

import yaml

from runner.configs.evaluate import UnsupportedValue, plain
from runner.core.errors import UserError, one_line

MOST_NODES = 100_000  # keys and values of a config
LONGEST = 1000  # digits of a whole number; Python itself reads a few thousand
_DIGITS = r"[0-9](?:_?[0-9])*"
_WHOLE = r"(?:0|[1-9](?:_?[0-9])*)"
MERGE, MERGE_TAG = object(), "tag:yaml.org,2002:merge"
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(?:true|false)\Z", re.IGNORECASE)
_INT = re.compile(rf"[-+]?(?:{_WHOLE}|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)\Z")
_FLOAT = re.compile(
    rf"(?:[-+]?(?:{_WHOLE}\.(?:{_DIGITS})?(?:[eE][-+]?[0-9]+)?|\.{_DIGITS}(?:[eE][-+]?[0-9]+)?|{_WHOLE}[eE][-+]?[0-9]+)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)


class _Loader(yaml.SafeLoader):
    """PyYAML's reader with the rules above in place of YAML 1.1's."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012, PyYAML's attribute

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.count(1, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        found: yaml.Node | None = super().compose_node(parent, index)
        return found

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """As PyYAML's, with a limit: by `<<` lists of lists of mappings, a few lines can mean any number of keys."""
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(part, yaml.MappingNode):
                        self.flatten_mapping(part)
                        self.count(len(part.value), key.start_mark)
        super().flatten_mapping(node)

    def count(self, number: int, place: Any) -> None:
        """Raise an error for more than any config needs: what comes after it may take hours."""
        self.nodes += number
        if self.nodes > MOST_NODES:
            problem = f"more than {MOST_NODES} keys and values, those that << brings included; make it smaller"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=place)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self._refuse_duplicates(node)
        return super().construct_mapping(node, deep)

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        """Two keys of one name, and keys that Python or the config takes for one: 1, 1.0, true and "1"."""
        seen: dict[Any, yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name = MERGE if key.tag == MERGE_TAG else self.construct_object(key)
            names = {name, dumps(name)} if isinstance(name, int | float | None) else {name}
            if (first := next((seen[it] for it in names if it in seen), None)) is not None:
                raise _twice(key, first)
            seen |= dict.fromkeys(names, key)

    def construct_yaml_bool(self, node: yaml.ScalarNode) -> bool:
        return _matching(node, _BOOL, "true or false").lower() == "true"

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = _matching(node, _INT, "a whole number")
        if len(text) > LONGEST:
            problem = f"a whole number of {len(text)} digits; make it shorter than {LONGEST}"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return int(text, 0)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        text = _matching(node, re.compile(f"{_FLOAT.pattern}|{_INT.pattern}"), "a number")
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


_Loader.add_constructor("tag:yaml.org,2002:bool", _Loader.construct_yaml_bool)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_implicit_resolver(MERGE_TAG, re.compile(r"<<\Z"), ["<"])


def _quick_loader() -> Any:
    """The same rules over libyaml's parser, if that is there: several times as fast, with other words for errors."""
    if not yaml.__with_libyaml__:
        return _Loader

    class Quick(yaml.cyaml.CParser, _Loader):  # type: ignore[name-defined, misc]
        def __init__(self, text: str) -> None:
            yaml.cyaml.CParser.__init__(self, text)  # type: ignore[attr-defined]
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Quick


_QUICK = _quick_loader()


def values(text: str) -> dict[str, Any]:
    """The values of a file that a program wrote, quickly and without lines. Raises ValueError for another value."""
    loader = _QUICK(text)
    try:
        found = loader.get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(one_line(error)) from None
    finally:
        loader.dispose()
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError("is not a mapping")
    return found


def read(path: Path, text: str) -> tuple[dict[str, Any], dict[str, int]]:
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return ({}, {}) if node is None else _top(path, node, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: {_cause(error)}") from None
    except yaml.YAMLError as error:  # a control character
        raise UserError(f"{path}: invalid YAML: {one_line(str(error).splitlines()[0])}; remove it") from None
    except RecursionError:
        raise UserError(f"{path}:1: is nested too deeply for a config; make it flatter") from None
    finally:
        if loader is not None:
            loader.dispose()


def readable(source: bytes) -> dict[str, Any]:
    """What is understood at the top of a file that `read` refuses; nothing where its keys are not certain."""
    try:
        loader = _Loader(source.decode("utf-8-sig"))
    except (UnicodeDecodeError, yaml.YAMLError):
        return {}
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode) or not all(_is_name(key) for key, _ in node.value):
            return {}
        counts = Counter(key.value for key, _ in node.value)
        return {
            key.value: value
            for key, inner in node.value
            if counts[key.value] == 1 and (value := _value(loader, inner)) is not _NOT_READABLE
        }
    except (yaml.YAMLError, RecursionError):
        return {}
    finally:
        loader.dispose()


_NOT_READABLE = object()


def _is_name(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.tag != MERGE_TAG


def _value(loader: _Loader, node: yaml.Node) -> Any:
    try:
        return plain(loader.construct_document(node))
    except (yaml.YAMLError, UnsupportedValue, RecursionError):
        loader.constructed_objects, loader.recursive_objects = {}, {}  # of what it could not finish
        loader.state_generators, loader.deep_construct = [], False
        return _NOT_READABLE


def _top(path: Path, node: yaml.Node, loader: _Loader) -> tuple[dict[str, Any], dict[str, int]]:
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}:{node.start_mark.line + 1}: must be a mapping; write lines such as 'batch_size: 8'")
    lines = _lines(node)
    values: dict[str, Any] = {}
    for key, value in loader.construct_document(node).items():
        line = lines.get(str(key), node.start_mark.line + 1)
        if not isinstance(key, str):
            raise UserError(f"{path}:{line}: the key {key!r} is not text; put quotes around it")
        try:
            values[key] = plain(value)
        except UnsupportedValue as error:
            raise UserError(f"{path}:{line}: {key} {error}") from None
    return values, lines


def _lines(node: yaml.Node) -> dict[str, int]:
    """The line of each key and each item of a list, three levels deep: `sweep`, `sweep.lr`, `sweep.lr[2]`.

    Of no more than MOST_NODES: by aliases, a few lines can mean any number.
    """
    return dict(itertools.islice(_places(node, "", 3), MOST_NODES))


def _places(node: yaml.Node, place: str, depth: int) -> Iterator[tuple[str, int]]:
    inside: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        keys = [
            (key.value, key, value)
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode) and key.value != "<<"
        ]
        inside = [(f"{place}.{name}" if place else name, key, value) for name, key, value in keys]
    elif isinstance(node, yaml.SequenceNode):
        inside = [(f"{place}[{number}]", item, item) for number, item in enumerate(node.value)]
    for name, begin, value in inside if depth else []:
        yield name, begin.start_mark.line + 1
        yield from _places(value, name, depth - 1)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around whatever the reader above, or one of YAML 1.1, would not read as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012, PyYAML's attribute
        sign: [*_Loader.yaml_implicit_resolvers.get(sign, []), *yaml.SafeDumper.yaml_implicit_resolvers.get(sign, [])]
        for sign in {**_Loader.yaml_implicit_resolvers, **yaml.SafeDumper.yaml_implicit_resolvers}
    }


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes these signs as they are within single quotes, where they mean an end of line.
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if set(text) & set("\x85\u2028\u2029") else None
    )


_Dumper.add_representer(str, _text)


def write(values: dict[str, Any]) -> str:
    """YAML from which `read`, and any other reader, makes the same values; short lists are written on one line."""
    node = _Dumper(io.StringIO(), sort_keys=False, default_flow_style=None).represent_data(values)
    assert isinstance(node, yaml.MappingNode)
    node.flow_style = False  # a line for each key, whatever the values are
    return str(yaml.serialize(node, Dumper=_Dumper, allow_unicode=True, width=110))


def _twice(key: yaml.ScalarNode, first: yaml.Node) -> yaml.MarkedYAMLError:
    line = first.start_mark.line + 1
    if key.tag == MERGE_TAG:
        problem = f"'<<' is there twice (first on line {line}); write one with a list, as in '<<: [*a, *b]'"
    elif (key.tag, key.value) == (first.tag, first.value):
        problem = f"{key.value!r} is there twice (first on line {line}); remove one"
    else:
        problem = f"{key.value} is the same key as {first.value} on line {line}; rename one"
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)


def _matching(node: yaml.ScalarNode, shape: re.Pattern[str], expected: str) -> str:
    """The text of a scalar, which an explicit tag such as !!int may have brought here without that shape."""
    if not shape.match(node.value):
        problem = f"{node.value!r} is not {expected}; correct the value or its tag"
        raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
    return str(node.value)


def _cause(error: yaml.MarkedYAMLError) -> str:
    problem = one_line(error.problem or error.context or "invalid YAML")
    if ";" in problem:  # a sentence of this module, with its fix
        return problem
    if "\\t" in problem:
        return f"invalid YAML: {problem}; indent with spaces"
    return f"invalid YAML: {problem}; correct this line"
