"""What a script with argparse would refuse is an error before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.configs.argparse_arguments import render
from runner.configs.overrides import several
from tests.configs.test_argparse_script import SHAPES, arguments, problems

REFUSING = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('--batch-size', type=int)
parser.add_argument('--lr', type=float)
parser.add_argument('--model', choices=['small', 'large'])
parser.add_argument('--depth', type=int, choices=[18, 34])
parser.add_argument('--amp', action='store_true', default=True)
parser.add_argument('--ema', action='store_true')
parser.add_argument('--mode', action='store_const', const='fast', default='slow')
parser.add_argument('-v', action='count')
parser.add_argument('--betas', type=float, nargs=2)
parser.add_argument('--layers', type=int, nargs='+')
parser.add_argument('--names', nargs='*')
parser.add_argument('--rest', nargs=argparse.REMAINDER)
parser.add_argument('--pairs', nargs=2, action='append')
parser.add_argument('--version', action='version', version='1')
either = parser.add_mutually_exclusive_group()
either.add_argument('--a')
either.add_argument('--b')
args = parser.parse_args()
"""
REFUSED = [
    ("batchsize", "3", "--batchsize: unknown key; did you mean --batch_size?"),
    ("zzz", "3", "--zzz: unknown key; train.py does not define it"),
    ("batch_size", "abc", "--batch_size must be a whole number, not 'abc'"),
    ("batch_size", "none", "--batch_size must be a whole number, not 'none'"),
    ("batch_size", "1.5", "--batch_size must be a whole number, not '1.5'"),
    ("lr", "fast", "--lr must be a number, not 'fast'"),
    ("lr", "0.1,0.2", f"--lr must be a number, not '0.1,0.2'; {several()}"),
    ("model", "larg", "--model must be one of 'small', 'large', not 'larg'; did you mean 'large'?"),
    ("depth", "20", "--depth must be one of 18, 34, not '20'"),
    ("amp", "false", "--amp cannot be set to False: the script has only --amp; leave it out"),
    ("ema", "maybe", "--ema must be true or false, not 'maybe'"),
    ("mode", "odd", "--mode cannot be set to 'odd': the script has only --mode; give one of ['fast']"),
    ("v", "99", "--v must be from 0 to 20, not 99"),
    ("betas", "0.9", "--betas must be 2 values, not 1"),
    ("betas", "0.9 x", "--betas must be a number, not 'x'"),
    ("layers", "[]", "--layers must be at least one value, not none"),
    ("names", "a -b", "--names: argparse would not take '-b' for a value; pass it with --command"),
    ("rest", "a", "--rest: takes the rest of the command line; pass it with --command"),
    ("pairs", "a b", "--pairs: takes lists of values, which an override cannot express; pass it with --command"),
    ("version", "true", "--version: ends the script at once; leave it out"),
    ("config", "x.yaml", "--config: is the positional argument 'config', not an option; pass it with --command"),
]


@pytest.mark.parametrize(("key", "text", "expected"), REFUSED, ids=[f"{key}={text}" for key, text, _ in REFUSED])
def test_what_argparse_would_refuse_is_an_error_before_the_start(
    tmp_path: Path, key: str, text: str, expected: str
) -> None:
    assert problems(arguments(tmp_path, REFUSING), ("config",), **{key: text}) == [expected]


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    expected = problems(arguments(tmp_path, REFUSING), lr="x", zzz="1", a="1", b="2")
    assert expected == [
        "--lr must be a number, not 'x'",
        "--zzz: unknown key; train.py does not define it",
        "--b and --a exclude each other; give one of them",
        "train.py requires the positional argument 'config'; pass it with --command",
    ]


def test_a_required_option_that_is_not_given_is_an_error_before_the_start(tmp_path: Path) -> None:
    found = arguments(tmp_path, SHAPES["required ones"][0])
    assert problems(found) == ["--data: train.py requires it; give it a value"]
    assert render(found, {}, provided=("data",)).line == ()


def test_an_unknown_key_passes_where_the_script_lets_it_or_where_the_text_does_not_show_it(tmp_path: Path) -> None:
    for shape, expected in (
        ("known arguments only", "--lrr: train.py does not define it, but accepts it; did you mean --lr?"),
        ("a loop", "--lrr: passed as it is, since the text of train.py does not show all of its arguments"),
    ):
        found = arguments(tmp_path, SHAPES[shape][0])
        rendered = render(found, {"lrr": "[1, 2]"}, script="train.py")
        assert (rendered.line, rendered.warnings) == (("--lrr=[1, 2]",), (expected,))
        assert problems(found, lr="x") == ["--lr must be a number, not 'x'"]


def test_a_flag_whose_default_is_not_known_is_not_left_out_for_false(tmp_path: Path) -> None:
    text = (
        "import argparse, os\np = argparse.ArgumentParser()\np.add_argument('--amp', action='store_true', default=%s)\n"
    )
    found = arguments(tmp_path, text % "os.cpu_count() > 1" + "p.parse_args()\n")
    assert len(problems(found, amp="false")) == 1
    assert render(found, {"amp": "true"}).line == ("--amp",)


def test_options_are_written_as_the_script_spells_them(tmp_path: Path) -> None:
    found = arguments(tmp_path, SHAPES["a dest of another name"][0])
    assert render(found, {"learning_rate": "1e-3", "batch": "2"}).line == ("--lr=1e-3", "-bs=2")
    assert set(found.options) == {"--lr", "--learning-rate", "-bs"}
