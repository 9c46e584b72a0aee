"""What a settings class says of its keys: the comments of its source, as a text for --help. Never imports torch."""

from __future__ import annotations

import ast
import inspect
import io
import textwrap
import tokenize
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

WIDTH = 100


@dataclass
class Group:
    """Keys that follow one comment."""

    comment: str
    keys: dict[str, str] = field(default_factory=dict)  # name -> the comment at the end of its line


def groups(cls: type[BaseModel]) -> list[Group]:
    """The keys of a settings class in the order of its source. A comment above a key is about all that follow until
    an empty line or the next comment. Inherited keys come last, without one, as do all where there is no source."""
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):
        source = "class Unknown: pass"
    comments = {
        token.start: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    above = {line: text for (line, column), text in comments.items() if column == 4}
    beside = {line: text for (line, column), text in comments.items() if column > 4}
    found, last = [Group("")], 0
    for statement in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        first, name = statement.lineno, statement.target.id
        begin = first
        while begin - 1 in above:
            begin -= 1
        if begin < first:
            found.append(Group(" ".join(above[line] for line in range(begin, first))))
        elif first > last + 1:
            found.append(Group(""))
        last = statement.end_lineno or first
        if name in cls.model_fields:
            lines = range(first, last + 1)
            found[-1].keys[name] = " ".join(beside[line] for line in lines if line in beside)
    known = {name for group in found for name in group.keys}
    found.append(Group("", {name: "" for name in cls.model_fields if name not in known}))
    return [group for group in found if group.keys]


def explained(cls: type[BaseModel], written: Any) -> str:
    """All keys with their defaults (`written` makes a text of a default), their values and their comments."""
    lines: list[str] = []
    for group in groups(cls):
        lines += ["", *textwrap.wrap(group.comment, WIDTH)]
        for key, comment in group.keys.items():
            about = cls.model_fields[key]
            default = f"--{key}={written(about.get_default(call_default_factory=True))}"
            rest = "; ".join(filter(None, (choices(about.annotation), comment)))
            lines += textwrap.wrap(
                f"{default:<34} {rest}".rstrip(), WIDTH, initial_indent="  ", subsequent_indent=" " * 37,
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    return "\n".join(lines[1:])


def choices(annotation: Any) -> str:
    """The words that a key may be: "a, b or c"; empty where any value is allowed."""
    words = [str(word) for word in get_args(annotation)] if get_origin(annotation) is Literal else []
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else ""
