"""Hooks of mkdocs: pages that are made from the code, and links that lead out of docs/."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
LINK = re.compile(r"\[([^\]\n]+)\]\(((?!\w+:)[^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the reference of the commands and of the Python names."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "cli.md", content="\n".join(commands())))
    files.append(File.generated(config, "api.md", content="\n".join(names())))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """A link to a file beside docs/ leads to the repository, if its address is known, and else is its text."""
    folder = (Path(config.docs_dir) / page.file.src_uri).parent

    def target(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match[2]))
        if path.is_relative_to(config.docs_dir) and not path.is_dir():
            return match[0]
        inside = path.relative_to(PROJECT)
        return f"[{match[1]}]({config.repo_url.rstrip('/')}/blob/main/{inside})" if config.repo_url else match[1]

    blocks = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(block if block.startswith("```") else LINK.sub(target, block) for block in blocks)


def commands() -> Iterator[str]:
    """A section for each command, with its help."""
    from runner.cli.commands.registry import BATCHES, COMMANDS, NAMES
    from runner.cli.options import help_for
    from runner.cli.parser import command_parser

    started, sys.argv[0] = sys.argv[0], "overnight"
    os.environ["COLUMNS"] = "80"
    try:
        yield "# Every option\n\nThis page is what `overnight COMMAND --help` prints.\n"
        for name in BATCHES:
            yield f"## {name}\n\n```text\n{help_for(name)}```\n"
        for name in NAMES:
            command = COMMANDS.get(name)
            parser = command_parser(name, command.HELP)
            command.add_arguments(parser)
            yield f"## {name}\n\n```text\n{parser.format_help()}```\n"
    finally:
        sys.argv[0] = started


def names() -> Iterator[str]:
    """A section for each public name, from its signature and its docstring."""
    import runner

    shown = "[The library](library.md) and [the table](table.md) show them in use."
    yield f"# Python\n\nThe public names of `import runner`. {shown}\n"
    for name in runner.__all__:
        value = getattr(runner, name)
        yield f"## {name}\n\n```python\n{signature(name, value)}\n```\n\n{text(value)}\n"
        for method in sorted(vars(value)) if inspect.isclass(value) else ():
            found = inspect.getattr_static(value, method)
            if (
                not method.startswith("_")
                and (inspect.isfunction(found) or isinstance(found, property | classmethod))
                and text(found)
            ):
                shown = getattr(value, method) if not isinstance(found, property) else None
                called = signature(method, shown) if shown is not None else method
                yield f"- `{called}`: {' '.join(text(found).split())}"
        yield ""


def signature(name: str, value: Any) -> str:
    """`name(arguments)`; the name alone where that is not known."""
    try:
        return name + re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(value)))
    except (TypeError, ValueError):
        return name


def text(value: Any) -> str:
    return inspect.cleandoc(value.__doc__ or "").replace("<", "&lt;")
