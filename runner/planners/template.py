"""A --command template: its placeholders, its braces, and how values are put into its words. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from runner.core.errors import UserError, nearest
from runner.planners.shell import RUNS_A_COMMAND, SHELLS, inserted

_TOKEN = re.compile(r"\{\{|\}\}|\{(\w*(?::\w*)?)\}")


def _flag(key: str, text: str) -> tuple[str, ...]:
    """`--key value`; a boolean is a flag alone, and one that is false has the name that argparse and click give it."""
    if text.lower() in ("true", "false"):
        return (f"--{key}" if text.lower() == "true" else f"--no-{key}",)
    return (f"--{key}={text}",) if text.startswith("-") else (f"--{key}", text)


#: Ways to write the overrides -> the words of one of them.
STYLES: Mapping[str, Callable[[str, str], tuple[str, ...]]] = {
    "overrides": lambda key, text: (f"--{key}={text}",),
    "overrides:flags": _flag,
    "overrides:hydra": lambda key, text: (f"{key}={text}",),
}
PLACEHOLDERS = ("config", "out_dir", "name", "python", *STYLES)


@dataclass(frozen=True, slots=True)
class Field:
    """A placeholder. One that follows a slash stands for a path relative to the working folder."""

    name: str
    relative: bool = False


Word = tuple[str | Field, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """What the placeholders stand for. `overrides` are words of the form --key=value."""

    config: str
    out_dir: str
    name: str
    python: str
    cwd: Path
    overrides: Sequence[str] = ()
    takes_config: bool = True  # of a script; else the overrides are all of its settings

    def of(self, field: Field) -> str:
        """The value of a placeholder, except those for overrides."""
        text = str(getattr(self, field.name))
        below = field.relative and Path(text).is_relative_to(self.cwd)
        return str(Path(text).relative_to(self.cwd)) if below else text

    def words(self, field: Field) -> list[str]:
        """The overrides in the style of a placeholder."""
        pairs = (word.removeprefix("--").partition("=") for word in self.overrides)
        return [word for key, _, text in pairs for word in STYLES[field.name](key, text)]


def parsed(template: Sequence[str]) -> list[Word]:
    """The words of a template in pieces. `{{` is a brace, and so is the `}}` that closes it."""
    words, depth = [], 0
    for text in template:
        pieces: list[str | Field] = []
        end = 0
        for token in _TOKEN.finditer(text):
            pieces.append(text[end : token.start()])
            end = token.end()
            if token[0] == "{{":
                depth += 1
                pieces.append("{")
            elif token[0] == "}}":
                pieces.append("}" if depth else "}}")
                depth = max(depth - 1, 0)
            else:
                pieces.append(Field(token[1], relative=text[: token.start()].endswith("/")))
        words.append(tuple(piece for piece in (*pieces, text[end:]) if piece != ""))
    return words


def fields(template: Sequence[str]) -> list[Field]:
    """The placeholders of a template."""
    return [piece for word in parsed(template) for piece in word if isinstance(piece, Field)]


def takes_overrides(template: Sequence[str]) -> bool:
    """Whether overrides reach the program."""
    return any(field.name in STYLES for field in fields(template))


def rendered(template: Sequence[str], values: Values, place: str = "--command") -> tuple[str, ...]:
    """The command. Raises UserError where a value cannot be written safely. `place` is where the template is given."""
    words = parsed(template)
    found: list[str] = []
    for index, word in enumerate(words):
        match word:
            case (Field(name) as field,) if name in STYLES:
                found += values.words(field)
            case (Field() as field,):
                found.append(values.of(field))
            case _:
                found.append(_written(word, values, place, shell=_is_shell(words, index)))
    return tuple(found)


def _written(word: Word, values: Values, place: str, *, shell: bool) -> str:
    """A word that holds more than one placeholder. One that is a shell command gets quoted values."""
    texts = [piece if isinstance(piece, str) else "x" for piece in word]
    for number, piece in enumerate(word):
        if isinstance(piece, str):
            continue
        several = piece.name in STYLES
        given = values.words(piece) if several else [values.of(piece)]
        if not shell:
            texts[number] = shlex.join(given) if several else given[0]
            continue
        before, after = "".join(texts[:number]), "".join(texts[number + 1 :])
        written = [inserted(text, before, after) for text in given]
        if None in written:
            text = given[written.index(None)]
            cause = f"{text!r} cannot be written for {{{piece.name}}} within quotes or a nested command"
            raise UserError(f"{place}: {cause}; put {{{piece.name}}} outside of them")
        texts[number] = " ".join(filter(None, written))
    return "".join(texts)


def _is_shell(words: Sequence[Word], index: int) -> bool:
    """Whether a word is a command that another program reads: it holds spaces, or follows `sh -c`."""
    spaces = any(isinstance(piece, str) and re.search(r"\s", piece) for piece in words[index])
    return spaces or index == _shell_command(words)


def errors(template: Sequence[str], place: str) -> Iterator[str]:
    """Sentences on the errors in the placeholders of a template."""
    found = fields(template)
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for field in found:
        if field.name not in PLACEHOLDERS:
            near = nearest(field.name, PLACEHOLDERS)
            hint = f"did you mean {{{near}}}?" if near else f"there are {known}"
            yield f"{place}: {{{field.name}}} is not a placeholder; {hint}; write {{{{{field.name}}}}} for the braces"
            return
    if not any(field.name in ("config", "name") for field in found):
        fix = "put it where the config's path belongs, or {name} where its name does"
        yield f"{place}: every job would be the same without {{config}}; {fix}"
    yield from _swallowed(parsed(template), place)


def _swallowed(words: Sequence[Word], place: str) -> Iterator[str]:
    """Places of {overrides} from which they would not reach the program as separate words."""
    command = _shell_command(words)
    if command is None:
        return
    for index, word in enumerate(words[command:], command):
        for number, piece in enumerate(word):
            if not isinstance(piece, Field) or piece.name not in STYLES:
                continue
            named = f"{place}: {{{piece.name}}}"
            before = "".join(part if isinstance(part, str) else "x" for part in word[:number])
            if index > command:
                yield from _as_parameters(words, command, index, named)
            elif inserted("a b", before, "") != "'a b'":
                yield f"{named} is within quotes or a nested command; put it outside of them"
            elif re.search(r"(^|\s)#[^\n]*$", before):
                yield f"{named} is in a comment, so it would not reach the job; put it before the #"


def _as_parameters(words: Sequence[Word], command: int, index: int, named: str) -> Iterator[str]:
    """`sh -c COMMAND {overrides}`: the words after the command are $0, $1 and so on, which it has to use."""
    text = "".join(piece if isinstance(piece, str) else "x" for piece in words[command])
    if not re.search(r"\$[@*1-9]|\$\{[@*1-9]", text):
        cause = f"follows a command of {words[command - 2][0]} that does not use its arguments"
        yield f"{named} {cause}, so it would not reach the job; put it inside the quotes"
    elif index == command + 1 and not re.search(r"\$0|\$\{0", text):
        cause = 'is the first word after the command, $0, which "$@" leaves out'
        yield f"{named} {cause}; write a word such as _ before it"


def _shell_command(words: Sequence[Word]) -> int | None:
    """The index of the command in `bash -c COMMAND`; None where there is none."""
    texts = ["".join(piece if isinstance(piece, str) else "{}" for piece in word) for word in words]
    for index, (shell, option) in enumerate(pairwise(texts)):
        if Path(shell).name in SHELLS and RUNS_A_COMMAND.fullmatch(option) and index + 2 < len(texts):
            return index + 2
    return None
