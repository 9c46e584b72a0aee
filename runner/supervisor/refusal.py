"""Recognize that a program refused its command line: which words of it, and which command line it may take. Pure.

Such a failure is the command line's, not the config's: every other job with the same command line fails likewise.
"""

from __future__ import annotations

import os
import re
import sys

from runner.core.argument_names import CONFIG_NAMES, OUT_DIR_NAMES

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: How parsers say which words they refuse: argparse, getopt, click, absl, fire, tyro, HfArgumentParser, nanoGPT's
#: configurator, clap, Go's flag, commander, yargs, optparse.
REFUSED = (
    r"unrecognized (?:arguments?|options?)\b:?(.*)",
    r"no such option\b:?(.*)",
    r"unknown (?:command[- ]line )?(?:flag|option|argument|config key|parameter)s?\b:?(.*)",
    r"unexpected (?:extra )?(?:argument|option|parameter)s?\b:?(.*)",
    r"could not consume arg:(.*)",
    r"not used by the HfArgumentParser:(.*)",
    r"flag provided but not defined:(.*)",
    r"long flag (.*) is invalid",
)
#: How they say that a value does not suit: the argument, and why.
UNSUITED = (
    r"error: argument ([^:]+): (invalid .*)",
    r"invalid value for ([^:]+): (.*)",
    r"flag ([^:]+): (?:unable to parse|couldn't be parsed|invalid)\b()",
)
IGNORED = r"\b(?:ignor|warn)"  # a program that says so goes on
CONFIG = "a config as its first argument"


def refused(cause: str, argv: Sequence[str], config: str | None, own: Collection[str] = ()) -> list[str]:
    """The words of `argv` that the program refuses, as `cause` says: names of options, or CONFIG; none if it does not.

    `config` is the word of the config, where it is a word of its own. `own` are values that only this job has: that one
    of them does not suit says nothing about other jobs.
    """
    unsuited = _said(cause, REFUSED) is None
    said = _said(cause, UNSUITED if unsuited else REFUSED)
    if said is None or re.search(IGNORED, cause, re.IGNORECASE):
        return []
    named = [part for word in re.findall(r"[^\s'\"‘’`\[\](),]+", said[1]) for part in (word, *word.split("/"))]
    keys = {_key(word) for word in named}
    found = [CONFIG] if config is not None and (config in named or f"'{config}'" in cause) else []
    for word, following in zip(argv[1:], [*argv[2:], ""], strict=False):
        option, _, value = word.partition("=")
        if word == config or not (option.startswith("-") or "=" in word) or _key(word) not in keys:
            continue
        if not unsuited or not {value, following} & set(own):
            found.append(option)
    return list(dict.fromkeys(found))


def sentence(
    words: Sequence[str], cause: str, usage: Sequence[str], argv: Sequence[str], config: str | None, script: str | None
) -> str:
    """What the program does not take, and what to do. `usage` is its output, which may show other options."""
    names = " or ".join(words)
    program = os.path.basename(script or next((word for word in argv if re.search(r"\.\w{1,3}$", word)), argv[0]))
    if _said(cause, REFUSED) is None and (unsuited := _said(cause, UNSUITED)) is not None:
        why = f": {unsuited[2]}" if unsuited[2] else ""
        return f"{program} does not take this value of {names}{why}; give another one"
    cause = f"{program} does not take {names}"
    out_dir = [word for word in words if _key(word) in OUT_DIR_NAMES]
    if script is None or config is None or not (out_dir or CONFIG in words):
        return f"{cause}; leave it out of the command line"
    options = {_key(option): option for line in usage for option in re.findall(r"--?\w[\w-]*", line)}
    place = "{config}"
    if CONFIG in words:
        if (option := _known(CONFIG_NAMES, options)) is None:
            return f"{cause}; give its parser an argument for the config file"
        place = f"{option} {{config}}"
    template = [_shown(word) for word in argv[: list(argv).index(config)]] + [place]
    if not out_dir:
        given = next((word for word in argv if "=" in word and _key(word) in OUT_DIR_NAMES), "--out_dir=")
        template.append(f"{given.partition('=')[0]} {{out_dir}}")
    elif (option := _known([name for name in OUT_DIR_NAMES if name not in map(_key, out_dir)], options)) is not None:
        template.append(f"{option} {{out_dir}}")
    return f'{cause}; start it with --command "{" ".join([*template, "{overrides}"])}"'


def _said(cause: str, phrases: Sequence[str]) -> re.Match[str] | None:
    return next(filter(None, (re.search(phrase, cause, re.IGNORECASE) for phrase in phrases)), None)


def _key(word: str) -> str:
    return word.lstrip("-").partition("=")[0].replace("-", "_")


def _known(names: Sequence[str], options: dict[str, str]) -> str | None:
    return next((options[name] for name in names if name in options), None)


def _shown(word: str) -> str:
    if "/" in word and sys.executable.endswith(word):
        return "python"
    return word if re.fullmatch(r"[\w./=:,@%+-]+", word) else "'" + word.replace("'", "'\\''") + "'"
