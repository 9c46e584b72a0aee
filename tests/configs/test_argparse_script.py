"""Scripts with argparse as people write them: what is read off their text, and what reaches them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.configs import argparse_reader
from runner.configs.argparse_arguments import UNKNOWN, Argument, Arguments, config_option, out_dir_option, render
from runner.core.errors import UserError


def read(folder: Path, text: str, name: str = "train.py") -> Arguments | None:
    script = folder / name
    script.write_text(text)
    return argparse_reader.read(script)


def arguments(folder: Path, text: str) -> Arguments:
    found = read(folder, text)
    assert found is not None
    return found


def problems(found: Arguments, provided: tuple[str, ...] = (), **overrides: str) -> list[str]:
    with pytest.raises(UserError) as raised:
        render(found, overrides, script="train.py", provided=provided)
    return list(raised.value.problems)


# Shapes. Each script prints what argparse made of its command line; `cases` are overrides that it accepts.

SHOW = "import json\nprint(json.dumps(vars(args), default=str))\n"
#: name -> (text, complete, passes unknown, overrides to try)
SHAPES: dict[str, tuple[str, bool, bool, list[dict[str, str]]]] = {
    "at the top level": (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', type=float, default=1e-3)\n"
        "parser.add_argument('--batch-size', type=int, default=8)\n"
        "parser.add_argument('--name', default='x')\nargs = parser.parse_args()\n" + SHOW,
        True, False, [{}, {"lr": "3e-4", "batch_size": "1e2", "name": "-a b=c"}, {"lr": "-.5"}, {"lr": "inf"}],
    ),
    "under main": (
        "from argparse import ArgumentParser\nif __name__ == '__main__':\n    p = ArgumentParser('x')\n"
        "    p.add_argument('-b', '--batch_size', type=int, default=1)\n    p.add_argument('-e', type=int, default=1)\n"
        "    args = p.parse_args()\n    " + SHOW.replace("\n", "\n    "),
        True, False, [{"batch_size": "4", "e": "-3"}, {"b": "4"}],
    ),
    "a function that builds a parser, as a parent": (
        "import argparse\n"
        "def get_args_parser():\n"
        "    parser = argparse.ArgumentParser('training and evaluation', add_help=False)\n"
        "    parser.add_argument('--model', default='base', type=str, metavar='MODEL', help='which')\n"
        "    parser.add_argument('--opt-betas', default=None, type=float, nargs='+')\n"
        "    parser.add_argument('--repeated-aug', action='store_true')\n"
        "    parser.add_argument('--no-repeated-aug', action='store_false', dest='repeated_aug')\n"
        "    parser.set_defaults(repeated_aug=True)\n    return parser\n"
        "def main(args):\n    " + SHOW.replace("\n", "\n    ") + "\n"
        "if __name__ == '__main__':\n"
        "    parser = argparse.ArgumentParser('script', parents=[get_args_parser()])\n"
        "    args = parser.parse_args()\n    main(args)\n",
        True, False,
        [{"opt_betas": "[0.9, 0.95]", "repeated_aug": "false"}, {"opt-betas".replace("-", "_"): "0.9,-1e-5"},
         {"repeated_aug": "true", "model": "large"}, {"no_repeated_aug": "true"}, {"opt_betas": "-1e-5"}],
    ),
    "groups, exclusive ones too": (
        "import argparse\ndef parse_args():\n    parser = argparse.ArgumentParser()\n"
        "    group = parser.add_argument_group('optimizer', 'its settings')\n"
        "    group.add_argument('--weight_decay', type=float, default=0.0)\n"
        "    data = group.add_mutually_exclusive_group()\n"
        "    data.add_argument('--dataset', default='a')\n    data.add_argument('--data_file')\n"
        "    parser.add_argument_group('more').add_argument('--seed', type=int, default=1337)\n"
        "    return parser.parse_args()\nargs = parse_args()\n" + SHOW,
        True, False, [{"weight_decay": "0.1", "dataset": "b", "seed": "1"}, {"data_file": "f"}],
    ),
    "helper functions that take the parser": (
        "import argparse\n"
        "def add_model_args(parser, width=64):\n    parser.add_argument('--width', type=int, default=width)\n"
        "    add_more(group=parser)\n    return parser\n"
        "def add_more(group):\n    add = group.add_argument\n    add('--depth', default=2, type=int)\n"
        "def main(argv=None):\n    parser = add_model_args(argparse.ArgumentParser())\n"
        "    args = parser.parse_args(argv)\n    " + SHOW.replace("\n", "\n    ") + "\nmain()\n",
        True, False, [{"width": "128", "depth": "3"}],
    ),
    "choices": (
        "import argparse\nMODELS = ['mlp', 'cnn']\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--model', choices=MODELS, default=MODELS[0])\n"
        "parser.add_argument('--depth', type=int, choices=[18, 34, 50], default=18)\n"
        "parser.add_argument('--level', type=int, choices=range(3))\n"
        "parser.add_argument('--blocks', type=int, nargs='*', choices=(1, 2, 4), default=[])\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False, [{"model": "cnn", "depth": "34", "level": "2"}, {"depth": "5e1", "blocks": "1 2 4"},
                      {"blocks": "[]"}],
    ),
    "words for booleans": (
        "import argparse\n"
        "def str2bool(v):\n    if v.lower() in ('yes', 'true', 't', '1'):\n        return True\n"
        "    if v.lower() in ('no', 'false', 'f', '0'):\n        return False\n"
        "    raise argparse.ArgumentTypeError('expected a boolean')\n"
        "parser = argparse.ArgumentParser()\nparser.add_argument('--amp', type=str2bool, default=True)\n"
        "parser.add_argument('--ema', type=str2bool, nargs='?', const=True, default=False)\n"
        "parser.add_argument('--trap', type=bool, default=True)\n"
        "parser.add_argument('--cuda', type=lambda text: text == 'yes', default=False)\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False, [{"amp": "False", "ema": "yes", "trap": "false", "cuda": "no"}, {"trap": "1"}],
    ),
    "flags": (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--amp', action='store_true')\n"
        "parser.add_argument('--no-cuda', action='store_true', default=False)\n"
        "parser.add_argument('--shuffle', action='store_false')\n"
        "parser.add_argument('--no-compile', dest='compile', action='store_false')\n"
        "parser.add_argument('--fast', action='store_const', const='fast', default='slow', dest='mode')\n"
        "parser.add_argument('-v', '--verbose', action='count', default=0)\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False,
        [{"amp": "true", "no_cuda": "yes", "shuffle": "false", "compile": "false", "verbose": "2", "mode": "fast"},
         {"amp": "false", "no_cuda": "0", "shuffle": "true", "compile": "true", "mode": "slow", "v": "true"},
         {"no_compile": "true", "fast": "true"}, {"no_compile": "false", "fast": "false"}],
    ),
    "an optional boolean": (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--compile-model', '-c', action=argparse.BooleanOptionalAction, default=True)\n"
        "parser.add_argument('--log', action=argparse.BooleanOptionalAction)\nargs = parser.parse_args()\n" + SHOW,
        True, False, [{"compile_model": "false", "log": "true"}, {"no_log": "true"}, {"no_log": "false", "c": "off"}],
    ),
    "lists": (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--betas', type=float, nargs=2, default=(0.9, 0.999))\n"
        "parser.add_argument('--layers', type=int, nargs='+', default=[1])\n"
        "parser.add_argument('--one', nargs=1)\n"
        "parser.add_argument('--tag', action='append', default=['first'])\n"
        "parser.add_argument('--more', action='extend', nargs='+', type=int, default=[0])\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False,
        [{"betas": "(0.9, 0.95)", "layers": "-1 2 3"}, {"tag": "a", "one": "-x", "more": "1 2"},
         {"tag": "['b', '-c']", "layers": "-7", "betas": "-1e-7 2e-3"}],
    ),
    "a dest of another name": (
        "import argparse\nparser = argparse.ArgumentParser(allow_abbrev=False)\n"
        "parser.add_argument('--lr', '--learning-rate', dest='rate', type=float, default=0.1)\n"
        "parser.add_argument('-bs', type=int, default=4, dest='batch')\nargs = parser.parse_args()\n" + SHOW,
        True, False, [{"lr": "1"}, {"learning_rate": "2"}, {"rate": "3", "bs": "7"}, {"batch": "9"}],
    ),
    "abbreviations": (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--warmup-iters', type=int)\n"
        "parser.add_argument('--warm', type=int)\nargs = parser.parse_args()\n" + SHOW,
        True, False, [{"warm": "1", "warmup": "2"}],
    ),
    "required ones": (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--data', required=True)\n"
        "parser.add_argument('--seed', type=int, default='7')\nargs = parser.parse_args()\n" + SHOW,
        True, False, [{"data": "folder"}],
    ),
    "known arguments only": (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr', type=float, default=1.0)\n"
        "args, rest = parser.parse_known_args()\n" + SHOW,
        True, True, [{"lr": "2", "other": "3"}],
    ),
    "a parser for the config and another one for the rest": (
        "import argparse\n"
        "config_parser = parser = argparse.ArgumentParser(add_help=False)\n"
        "parser.add_argument('-c', '--config', default='', type=str)\n"
        "parser = argparse.ArgumentParser()\ngroup = parser.add_argument_group('data')\n"
        "group.add_argument('--workers', type=int, default=4)\n"
        "def _parse_args():\n    early, remaining = config_parser.parse_known_args()\n"
        "    if early.config:\n        with open(early.config) as file:\n"
        "            parser.set_defaults(**{'a': file.read()})\n"
        "    args = parser.parse_args(remaining)\n    args.config = early.config\n    return args\n"
        "def main():\n    args = _parse_args()\n    " + SHOW.replace("\n", "\n    ") + "\n"
        "if __name__ == '__main__':\n    main()\n",
        True, False, [{"workers": "0"}],
    ),
    "an argument for other words": (
        "import argparse\ndef parse_args(input_args=None):\n    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--rank', type=int, default=4)\n"
        "    if input_args is not None:\n        args = parser.parse_args(input_args)\n"
        "    else:\n        args = parser.parse_args()\n    return args\nargs = parse_args()\n" + SHOW,
        True, False, [{"rank": "8"}],
    ),
    "a method of a class": (
        "import argparse\nclass Options:\n    def __init__(self):\n"
        "        self.parser = argparse.ArgumentParser()\n        self.initialize()\n"
        "    def initialize(self):\n        self.parser.add_argument('--size', type=int, default=1)\n"
        "    @staticmethod\n    def more(parser):\n        parser.add_argument('--zoom', type=float, default=1.0)\n"
        "    def parse(self):\n        self.more(self.parser)\n        return self.parser.parse_args()\n"
        "class TrainOptions(Options):\n    def initialize(self):\n        Options.initialize(self)\n"
        "        self.parser.add_argument('--epochs', type=int, default=2)\n"
        "args = TrainOptions().parse()\n" + SHOW,
        True, False, [{"size": "2", "zoom": "2", "epochs": "9"}],
    ),
    "a positional config": (
        "import argparse\nfrom pathlib import Path\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('config', type=Path, nargs='?')\nparser.add_argument('--out', type=Path)\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False, [{"out": "a/b"}],
    ),
    "a loop": (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr', type=float, default=1.0)\n"
        "i = 0\nfor name in ('a', 'b'):\n    parser.add_argument(f'--{name}{i}', type=int, default=i)\n    i += 1\n"
        "args = parser.parse_args()\n" + SHOW,
        False, False, [{"lr": "2", "a0": "3"}],
    ),
    "a loop over a dict, in a comprehension": (
        "import argparse\nparser = argparse.ArgumentParser()\nDEFAULTS = {'lr': 1.0}\nkey = 'seed'\n"
        "parser.add_argument('--' + key, type=int)\n"
        "[parser.add_argument('--' + key, type=type(value), default=value) for key, value in DEFAULTS.items()]\n"
        "args = parser.parse_args()\n" + SHOW,
        False, False, [{"lr": "2", "seed": "5"}],
    ),
    "keywords from elsewhere": (
        "import argparse\nparser = argparse.ArgumentParser()\nterms = dict(type=float)\n"
        "parser.add_argument('--lr', **terms)\nparser.add_argument('--seed', **{'default': 3, 'help': 'x'})\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False, [{"lr": "2.5", "seed": "x"}],
    ),
    "arguments from elsewhere": (
        "import argparse\nclass Library:\n    add = staticmethod(lambda parser: parser.add_argument('--extra'))\n"
        "parser = argparse.ArgumentParser()\nparser.add_argument('--seed', type=int, default=1)\n"
        "Library.add(parser)\nargs = parser.parse_args()\n" + SHOW,
        False, False, [{"seed": "2", "extra": "e"}],
    ),
    "subparsers": (
        "import argparse, sys\nparser = argparse.ArgumentParser()\nparser.add_argument('--seed', type=int, default=1)\n"
        "sub = parser.add_subparsers(dest='command')\nsub.add_parser('train').add_argument('--lr', type=float)\n"
        "args = parser.parse_args()\n" + SHOW,
        False, False, [{"seed": "3"}],
    ),
    "a condition": (
        "import argparse, os\nparser = argparse.ArgumentParser()\n"
        "if 'NEVER_SET_HERE' in os.environ:\n    parser.add_argument('--scale', type=float, required=True)\n"
        "else:\n    parser.add_argument('--scale', type=int, default=3)\nargs = parser.parse_args()\n" + SHOW,
        True, False, [{}, {"scale": "4"}],
    ),
    "a subclass": (
        "import argparse\nclass Parser(argparse.ArgumentParser):\n"
        "    def error(self, message):\n        raise SystemExit(3)\n"
        "parser = Parser()\nparser.add_argument('--seed', type=int)\nargs = parser.parse_args()\n" + SHOW,
        False, False, [{"seed": "3"}],
    ),
    "a function that a launcher calls": (
        "from argparse import ArgumentParser as AP\nimport functools\n"
        "def record(function):\n    return function\n"
        "@record\ndef main():\n    parser = AP()\n    parser.add_argument('--n', type=int, default=1)\n"
        "    args = parser.parse_args()\n    " + SHOW.replace("\n", "\n    ") + "\n"
        "functools.partial(main)()\n",
        True, False, [{"n": "5"}],
    ),
    "other prefixes": (
        "import argparse\nparser = argparse.ArgumentParser(prefix_chars='+-', fromfile_prefix_chars='@')\n"
        "parser.add_argument('++gamma', type=float, default=0.1)\nparser.add_argument('--files', nargs='+')\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False, [{"gamma": "0.5", "files": "a b"}, {"files": "@a"}],
    ),
    "resolved conflicts": (
        "import argparse\nparser = argparse.ArgumentParser(conflict_handler='resolve')\n"
        "parser.add_argument('--lr', type=float, default=1.0)\nparser.add_argument('--lr', type=int, default=2)\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False, [{"lr": "4"}],
    ),
    "an action of its own": (
        "import argparse\nclass KeyValue(argparse.Action):\n"
        "    def __call__(self, parser, space, value, option=None):\n"
        "        setattr(space, self.dest, dict([value.split('=')]))\n"
        "parser = argparse.ArgumentParser()\nparser.add_argument('--pair', action=KeyValue)\n"
        "args = parser.parse_args()\n" + SHOW,
        True, False, [{"pair": "a=b"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_script_is_read_as_far_as_its_text_is_static(tmp_path: Path, shape: str) -> None:
    text, complete, passes, _ = SHAPES[shape]
    found = arguments(tmp_path, text)
    assert (found.complete, found.passes_unknown) == (complete, passes)
    assert found.arguments


CASES = [(shape, case) for shape, (_, _, _, cases) in SHAPES.items() for case in cases]


@pytest.mark.parametrize(
    ("shape", "overrides"), CASES, ids=[f"{shape} {number}" for number, (shape, _) in enumerate(CASES)]
)
def test_argparse_makes_of_the_words_what_was_predicted(tmp_path: Path, shape: str, overrides: dict[str, str]) -> None:
    found = arguments(tmp_path, SHAPES[shape][0])
    rendered = render(found, overrides)
    assert set(rendered.words) == set(overrides)
    parsed = run(tmp_path, rendered.line)
    known = {one.dest: one for one in found.arguments if one.kind is not None}
    predicted = {dest: value for dest, value in rendered.values.items() if dest in known}
    untouched = {dest: one.default for dest, one in known.items() if dest not in rendered.values}
    for dest, value in (untouched | predicted).items():
        if value is not UNKNOWN:
            assert parsed[dest] == json.loads(json.dumps(value)), dest


def run(folder: Path, words: tuple[str, ...]) -> dict[str, Any]:
    command = [sys.executable, "-S", "train.py", *words]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (words, ran.stderr)
    parsed: dict[str, Any] = json.loads(ran.stdout)
    return parsed


# Where the config and the outputs go

CONFIGS = [
    ("p.add_argument('data')\np.add_argument('--config-file')", "config_file"),
    ("p.add_argument('config')\np.add_argument('--cfg')", "config"),
    ("p.add_argument('-c', '--cfg', dest='settings')", "settings"),
    ("p.add_argument('recipe')", "recipe"),
    ("p.add_argument('--config', action='store_true')", None),
    ("p.add_argument('--lr')", None),
]


@pytest.mark.parametrize(("text", "dest"), CONFIGS)
def test_how_the_config_is_passed(tmp_path: Path, text: str, dest: str | None) -> None:
    found = arguments(tmp_path, f"import argparse\np = argparse.ArgumentParser()\n{text}\np.parse_args()\n")
    option = config_option(found)
    assert (option.dest if option else None) == dest


def test_where_the_outputs_go() -> None:
    folder = Argument("folder", ("-o", "--output-dir"))
    assert out_dir_option(Arguments((Argument("out_dir"), Argument("lr", ("--lr",)), folder))) is folder
    assert out_dir_option(Arguments((Argument("lr", ("--lr",)),))) is None
