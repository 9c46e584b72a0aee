"""A program that refuses its command line: which words, and what the user can do. Lines of many parsers."""

from __future__ import annotations

import sys

import pytest

from runner.supervisor import error_cause, refusal
from runner.supervisor.refusal import CONFIG

ARGV = (sys.executable, "t.py", "c/a.py", "--out_dir=/x/a", "--lr=0.1", "--batch-size=8", "model.depth=4")
TRACE = 'Traceback (most recent call last):\n  File "t.py", line 3, in <module>\n'
OUT, LR = "--out_dir", "--lr"

#: the last output of a program with another command line, and the words of ours that it refuses
REFUSALS = [
    ("usage: t.py [-h] config\nt.py: error: unrecognized arguments: --out_dir=/x/a", [OUT]),
    ("usage: t.py [-h]\nt.py: error: unrecognized arguments: c/a.py --out_dir=/x/a", [CONFIG, OUT]),
    ("usage: t.py [-h]\nt.py: error: unrecognized arguments: --lr=0.1 --batch-size=8", [LR, "--batch-size"]),
    ("Usage: t.py [OPTIONS] CONFIG\nTry 't.py --help' for help.\n\nError: No such option: --out_dir", [OUT]),
    ("Usage: t.py [OPTIONS]\n\nError: No such option '--out_dir'. Did you mean --output-dir?", [OUT]),
    ("Usage: t.py [OPTIONS]\n\nError: Got unexpected extra argument (c/a.py)", [CONFIG]),
    ("╭─ Error ──────────────────────────╮\n│ No such option: --out_dir        │\n╰──────────────────╯", [OUT]),
    ("╭─ Unrecognized options ─────╮\n│ Unrecognized options: --out-dir │\n╰──────╯", [OUT]),
    ("FATAL Flags parsing error:\n  Unknown command line flag 'out_dir'\nPass --helpshort or --helpfull to see help "
     "on flags.", [OUT]),
    ("ERROR: Could not consume arg: --out_dir=/x/a\nUsage: t.py c/a.py\n\nFor detailed information on this command, "
     "run:\n  t.py c/a.py --help", [OUT]),
    (TRACE + "ValueError: Some specified arguments are not used by the HfArgumentParser: ['c/a.py', '--out_dir=/x/a']",
     [CONFIG, OUT]),
    (TRACE + "ValueError: Unknown config key: lr", [LR]),
    ("error: unexpected argument '--out_dir' found\n\nUsage: t [FLAGS]\n\nFor more information, try '--help'.", [OUT]),
    ("flag provided but not defined: -out_dir\nUsage of ./t:\n  -lr float\n    \trate", [OUT]),
    ("error: unknown option '--out_dir=/x/a'", [OUT]),
    ("t: unrecognized option '--out_dir=/x/a'", [OUT]),
    ("Error in getopt(spec = spec, opt = args) : \n  long flag \"out_dir\" is invalid\nExecution halted", [OUT]),
    ("usage: t.py [-h]\nt.py: error: unrecognized arguments: model.depth=4", ["model.depth"]),
    ("usage: t.py [-h] [--lr LR]\nt.py: error: argument -l/--lr: invalid float value: '0.1'", [LR]),
    ("Usage: t.py\n\nError: Invalid value for '--lr': '0.1' is not a valid integer.", [LR]),
    ("usage: t.py [-h] {train,test}\nt.py: error: argument mode: invalid choice: 'c/a.py' (choose from train, test)",
     [CONFIG]),
    # what only looks like it
    ("usage: t.py\nt.py: error: unrecognized arguments: --verbose", []),  # of another program, which the job calls
    ("WARNING: ignoring unrecognized arguments: --out_dir=/x/a", []),
    ("usage: t.py\nt.py: error: argument config: can't open 'c/a.py': No such file or directory: 'c/a.py'", []),
    ("unrecognized arguments: --out_dir=/x/a\n" + TRACE + "ValueError: x", []),
    ("KeyError: 'out_dir'", []),
    ("", []),
]  # fmt: skip


@pytest.mark.parametrize(("output", "words"), REFUSALS)
@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_refused_words_are_recognized(output: str, words: list[str], stream: str) -> None:
    lines = output.split("\n")
    cause = error_cause.find(lines if stream == "stderr" else [], lines if stream == "stdout" else []).text
    assert refusal.refused(cause, ARGV, "c/a.py") == words
    assert "usage" not in cause.lower()


def test_a_value_that_only_this_job_has_says_nothing_about_others() -> None:
    argv = ("t.py", "--seed", "a", "--tag=b")
    cause = "t.py: error: argument --seed: invalid int value: 'a'"
    assert refusal.refused(cause, argv, None, own=("a",)) == [] and refusal.refused(cause, argv, None) == ["--seed"]


@pytest.mark.parametrize(
    ("words", "usage", "script", "said"),
    [
        ([OUT], [], "/x/t.py",
         't.py does not take --out_dir; start it with --command "python t.py {config} {overrides}"'),
        ([OUT], ["  [--output-dir DIR]"], "/x/t.py", "python t.py {config} --output-dir {out_dir} {overrides}"),
        ([CONFIG, OUT], ["[--lr LR] [-c CONFIG, --config CONFIG]"], "/x/t.py",
         't.py does not take a config as its first argument or --out_dir; start it with --command '
         '"python t.py --config {config} {overrides}"'),
        ([CONFIG], ["[--cfg CFG] [--out_dir DIR]"], "/x/t.py",
         "python t.py --cfg {config} --out_dir {out_dir} {overrides}"),
        ([CONFIG], ["[--lr LR]"], "/x/t.py", "; give its parser an argument for the config file"),
        ([LR], [], "/x/t.py", "t.py does not take --lr; leave it out of the command line"),
        ([OUT], [], None, "t.py does not take --out_dir; leave it out of the command line"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_to_type(words: list[str], usage: list[str], script: str | None, said: str) -> None:
    sentence = refusal.sentence(words, "unrecognized arguments: --x", usage, ARGV, "c/a.py", script)
    assert said in sentence and sentence.count(";") == 1


def test_the_words_of_a_launcher_stay_in_front_of_the_script() -> None:
    argv = ("torchrun", "--nproc_per_node=2", "t.py", "c/a.py", "--out_dir=/x/a")
    sentence = refusal.sentence([CONFIG], "unrecognized arguments", ["[--config FILE]"], argv, "c/a.py", "t.py")
    command = "torchrun --nproc_per_node=2 t.py --config {config} --out_dir {out_dir} {overrides}"
    assert sentence.endswith(f'start it with --command "{command}"')


def test_a_word_with_blanks_is_quoted_in_the_command() -> None:
    argv = (sys.executable, "my dir/t.py", "c/a.py", "--out_dir=x")
    sentence = refusal.sentence([OUT], "no such option", [], argv, "c/a.py", "my dir/t.py")
    assert "python 'my dir/t.py' {config}" in sentence
