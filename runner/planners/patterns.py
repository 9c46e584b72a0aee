"""Patterns on the command line -> config files, in natural order, with notices and errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.configs.config_file import SUFFIXES, kind
from runner.core.errors import UserError, nearest
from runner.core.names import natural
from runner.core.text import listed, shown
from runner.planners import pattern_words
from runner.planners.exclusion import Exclusion
from runner.planners.matching import Matches, has_magic, is_private, matches
from runner.planners.pattern_words import Pattern

FIRST_OF_MANY = 5  # names in a notice
MOST_FOLDERS = 100  # in which names like a mistyped one are searched for


@dataclass(frozen=True, slots=True)
class Search:
    """Where configs are searched for.

    Files in `own` are scripts of the project: they are named in a notice and left out. A bare name that is not in `cwd`
    is searched below `library`. `exclude` has patterns of files to leave out. `visit` is called with each folder.
    """

    cwd: Path
    own: Sequence[Path] = ()
    library: Path | None = None
    exclude: Sequence[str] = ()
    visit: Callable[[Path], None] = lambda folder: None


@dataclass(slots=True)
class Found:
    """`files` are absolute, each once, in the order given; the rest is for the user."""

    files: list[Path] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Sorted:
    """What is done with each file that was found."""

    files: dict[Path, Path] = field(default_factory=dict)  # resolved -> as found: one file under two names runs once
    own: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)


def expand(words: Sequence[str], search: Search) -> Found:
    """The files that the words of --configs mean. A pattern's own matches are in natural order."""
    given, errors = pattern_words.patterns(words, search.cwd)
    found = Found(errors=errors)
    sorted_ = _Sorted()
    exclusion = Exclusion(search.exclude, search.cwd)
    own = {path.resolve() for path in search.own}
    expanded = _expanded_by_a_shell([pattern.text for pattern in given], search.cwd)
    for pattern in given:
        try:
            matched = _found(pattern, search, found.notices)
        except UserError as error:
            found.errors += error.problems
            continue
        sorted_.private += [shown(path, search.cwd) for path in matched.private if path not in exclusion]
        for path in matched.files:
            if path in exclusion:
                sorted_.excluded.append(shown(path, search.cwd))
            elif path.resolve() in own:
                sorted_.own.append(shown(path, search.cwd))
            elif path in expanded and is_private(path.name):
                sorted_.private.append(shown(path, search.cwd))
            else:
                sorted_.files.setdefault(path.resolve(), path)
    found.files = list(sorted_.files.values())
    found.notices += [*_notices(sorted_), *exclusion.unused()]
    if not found.files and not found.errors:
        found.errors += _nothing_left(sorted_, search)
    return found


def _found(pattern: Pattern, search: Search, notices: list[str]) -> Matches:
    """The files that one pattern means. Raises UserError where there is none."""
    found = _matched(pattern, search)
    if found.files or found.private:
        return found
    if "," in pattern.text:  # a.py,b.py: as lists are written elsewhere
        parts = [Pattern(text.strip(), pattern.place) for text in pattern.text.split(",") if text.strip()]
        several = [_found(part, search, notices) for part in parts]
        return Matches([p for one in several for p in one.files], [p for one in several for p in one.private])
    text, library = pattern.text, search.library
    if library is not None and not has_magic(text) and "/" not in text:
        below = sorted(library.rglob(text))
        if len(below) == 1:
            notices.append(f"{text} is not in this folder; taking {shown(below[0], search.cwd)}")
            return Matches(below)
        if below:
            names = listed([shown(path, search.cwd) for path in below], FIRST_OF_MANY)
            raise UserError(f"{pattern.place}{text}: several configs have this name: {names}; name one of them")
    raise UserError(f"{pattern.place}{_nothing(text, search.cwd, library)}")


def _matched(pattern: Pattern, search: Search) -> Matches:
    try:
        return matches(pattern.text, search.cwd, search.visit)
    except (OSError, RuntimeError, ValueError) as error:
        # a name that is too long, a folder that cannot be read, an unknown ~user, a null character
        cause = getattr(error, "strerror", None) or error
        raise UserError(f"{pattern.place}{pattern.text}: {cause}; check the path") from None


def _expanded_by_a_shell(words: Sequence[str], cwd: Path) -> set[Path]:
    """The files of words that look like a pattern without quotes: all files of a folder with one suffix."""
    given: dict[tuple[Path, str], set[Path]] = {}
    for word in words:
        path = cwd / word
        given.setdefault((path.parent, path.suffix), set()).add(path)
    return {
        path
        for (folder, suffix), paths in given.items()
        if any(not is_private(path.name) for path in paths)
        and paths == {path for path in _files(folder) if path.suffix == suffix and not path.name.startswith(".")}
        for path in paths
    }


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except (OSError, ValueError):  # the second: a null character
        return []


def _notices(sorted_: _Sorted) -> Iterator[str]:
    if sorted_.own:
        yield f"left out, since they are the project's own scripts, not configs: {', '.join(sorted_.own)}"
    if sorted_.private:
        names = listed(list(dict.fromkeys(sorted_.private)), FIRST_OF_MANY)
        yield f"left out, since configs are not called so (name one alone to run it): {names}"


def _nothing_left(sorted_: _Sorted, search: Search) -> Iterator[str]:
    """Why no config is left, although something was found."""
    if sorted_.own:
        where = f"; configs belong in {shown(search.library, search.cwd)}/" if search.library else ""
        yield f"--configs matched nothing but the project's own scripts ({', '.join(sorted_.own)}){where}"
    elif sorted_.excluded:
        names = listed(sorted_.excluded, FIRST_OF_MANY)
        yield f"--exclude leaves out every config ({names}); change it, or do without it"
    elif sorted_.private:
        names = listed(sorted_.private, FIRST_OF_MANY)
        yield f"--configs matched nothing but files that are not called as configs are ({names}); name one to run it"


def _nothing(text: str, cwd: Path, library: Path | None) -> str:
    path = cwd / text
    if path.is_dir():
        return f"{text}: is a folder; {_pattern_in(path, text.rstrip('/'))}"
    near = _near(text, cwd, library)
    hint = f"; nearest: {', '.join(near)}" if near else "; check the path"
    return f"{text}: no file {'matches' if has_magic(text) else 'has this name'}{hint}"


def _pattern_in(folder: Path, name: str) -> str:
    """How to name the configs in a folder: by the suffix that most of them have."""
    for where, files in (("", _files(folder)), ("**/", [file for below in _folders(folder) for file in _files(below)])):
        suffixes = Counter(file.suffix for file in files if _is_config(file))
        if suffixes:
            return f'to run the configs in it, give "{name}/{where}*{suffixes.most_common(1)[0][0]}"'
    others = Counter(file.suffix or file.name for file in _files(folder) if not is_private(file.name))
    cause = f"no config ({', '.join(SUFFIXES)}) is in it"
    if not others:
        return f"{cause}; name another folder, or the files to run"
    return f'{cause}; give a pattern of the files to run, such as "{name}/*{others.most_common(1)[0][0]}"'


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except (OSError, ValueError):
        return []


def _near(text: str, cwd: Path, library: Path | None) -> list[str]:
    """Existing configs, or patterns of them, that are like the text; without one, some of the folder that it names."""
    folder = (cwd / text).parent
    place = folder if folder.is_dir() else folder.parent
    # Not deeper: it may be the root of a disk.
    beside = [*_files(place), *(path for below in _folders(place)[:MOST_FOLDERS] for path in _files(below))]
    candidates = [*beside, *(library.rglob("*") if library else [])]
    by_file = {path.resolve(): path for path in reversed(candidates) if _is_config(path)}
    files = sorted((shown(path, cwd) for path in by_file.values()), key=natural)
    # What is elsewhere is offered only if it is like the text.
    around = [folder] if folder != cwd else [library] if library and library.is_relative_to(cwd) else []
    some = [name for name in files if any((cwd / name).is_relative_to(path) for path in around)]
    if has_magic(text):
        best = nearest(text, set(map(_kind, files)))
        return [f'"{best}"'] if best else [f'"{kind}"' for kind in sorted(set(map(_kind, some)))[:3]]
    by_stem = {Path(name).name: name for name in files}
    best = nearest(text, files) or by_stem.get(nearest(Path(text).name, by_stem) or "")
    return [best] if best else some[:3]


def _is_config(path: Path) -> bool:
    return kind(path) in SUFFIXES and not is_private(path.name)


def _kind(name: str) -> str:
    """The pattern of the files with this suffix in this folder."""
    return str(Path(name).parent / f"*{Path(name).suffix}")
