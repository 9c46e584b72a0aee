"""Every error in a sweep spec is one sentence with its place and its fix, and nothing is started."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace
from tests.sweeps import SCRIPT, prepare

GOOD = "name: a\nmode: training\nbase_config: configs/base.yaml\n"
CONFIGS = "name: a\nmode: training\nconfigs: [configs/base.yaml]\n"
FOLDER = "cannot be the name of a folder; use up to 100 letters, digits and . _ + = @ -, a letter or digit first"
WHOLE = (
    "configs/base.yaml has no section 'net', and without one a key is replaced as a whole; "
    "give the full value of 'net' instead"
)
NESTED = GOOD.replace("base.yaml", "nested.yaml")
ONE_OF = "cannot be used with configs, which lists each run; use one of the two"
CUBE = "sweep:\n" + "".join(f"  {key}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for key in "abcdef")
SECRET = (
    "looks like a secret, and configs are copied beside their results; put it into the environment, "
    "or give --not_secret hf_token"
)
ALL_AT_ONCE = """\
name: a/b
mode: trainin
base_confg: configs/base.yaml
configs: [configs/none.yaml]
sweep:
  lr: 0.1
  width: []
  net.depth: 1
sample: {n: 1}
repeat: often
lr: 1
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "sweeps: {lr: [1]}\n", "4: unknown key 'sweeps'; did you mean 'sweep'?"),
        (GOOD + "lr: 1\n", "4: unknown key 'lr'; settings of the runs belong below sweep or fixed_overrides"),
        (GOOD + "sweep:\n  lr: 0.1\n", "5: sweep.lr must be a list of candidates, not 0.1; write [0.1]"),
        (GOOD + "sweep:\n  kind: cosine\n", "5: sweep.kind must be a list of candidates, not 'cosine'; write [cosine]"),
        (GOOD + "sweep:\n  lr: []\n", "5: sweep.lr has no candidates; give it some, or remove it"),
        (GOOD + "sweep: [1]\n", "4: sweep must hold a line for each setting, such as 'lr: [0.1, 0.01]', not [1]"),
        (GOOD + "sweep:\n  net.depth: [1]\n", f"5: sweep.net.depth: {WHOLE}"),
        (GOOD + "fixed_overrides:\n  net.depth: 1\n", f"5: fixed_overrides.net.depth: {WHOLE}"),
        (GOOD + "sweep:\n  lr.x: [1]\n",
         f"5: sweep.lr.x: {WHOLE}".replace("'net'", "'lr'")),
        (NESTED + "sweep:\n  net.depth: [1]\n  net: [{depth: 2}]\n",
         "5: sweep.net.depth: sweep.net replaces all of it; set it in one of them"),
        (NESTED + "fixed_overrides: {net.depth: 1}\nsweep: {net: [{depth: 2}]}\n",
         "4: fixed_overrides.net.depth: sweep.net replaces all of it; set it in one of them"),
        (GOOD + "sweep:\n  lr: {values: [1, 2]}\n",
         "5: sweep.lr must be a list of candidates; write the list alone, 'lr: [1, 2]'"),
        (GOOD + "sweep:\n  lr: {value: 1}\n",
         "5: sweep.lr must be a list of candidates; write the value in a list, 'lr: [1]'"),
        (GOOD + "sweep:\n  lr: {min: 1, max: 2}\n",
         "5: sweep.lr must be a list of candidates; a range is not searched; list its values, as in 'lr: [1, 2]'"),
        (GOOD + "parameters: {lr: {values: [1]}}\n",
         "4: unknown key 'parameters'; write sweep, with a list of candidates for each setting"),
        (GOOD + "sweep: {flag: [true, false]}\nexclude:\n  - {flag: 1}\n",
         "6: exclude[0].flag: 1 is not a candidate of flag, so it excludes nothing; correct or remove it"),
        (NESTED + "sweep: {net.depth: [1]}\nexclude:\n  - {net.width: 1}\n",
         "6: exclude[0].net.width: is not swept, so it excludes nothing; did you mean 'net.depth'?"),
        (GOOD + "configs: [configs/base.yaml]\n", f"3: base_config {ONE_OF}"),
        (CONFIGS + "sweep: {lr: [1]}\n", f"4: sweep {ONE_OF}"),
        ("name: a\nmode: training\nconfigs: []\n", "3: configs names no config; name the ones to run"),
        ("name: a\nmode: training\n",
         " neither base_config nor configs is given; name the config that the runs start from"),
        ("mode: training\nbase_config: configs/base.yaml\n", " name is missing; add it"),
        (GOOD.replace("name: a", "name: ../a"), f"1: name: '../a' {FOLDER}"),
        (GOOD.replace("name: a", "name: a/b"), f"1: name: 'a/b' {FOLDER}"),
        (GOOD.replace("name: a", "name: 7"), "1: name must be text, not 7"),
        (GOOD.replace("training", "train"),
         "2: mode must be one of 'training', 'simulation', not 'train'; did you mean 'training'?"),
        (GOOD.replace("base.yaml", "bas.yaml"), "3: configs/bas.yaml: no such file; check the name"),
        (GOOD + "zip:\n  a: [1, 2]\n  b: [1]\n",
         "4: zip: its lists are taken together and must have equal lengths, but a has 2, b has 1"),
        (GOOD + "sweep: {a: [1]}\nzip: {a: [1]}\n", "5: zip.a: is in sweep too; vary it in one of them"),
        (GOOD + "sweep: {seed: [1]}\nrepeat: 2\n",
         "5: repeat sets the seed, which is set elsewhere too; use one of the two"),
        (GOOD + "sweep: {lr: [1]}\nexclude:\n  - {lrr: 1}\n",
         "6: exclude[0].lrr: is not swept, so it excludes nothing; did you mean 'lr'?"),
        (GOOD + "sweep: {lr: [1]}\nexclude:\n  - {lr: 1}\n", "5: exclude leaves no run; exclude less"),
        (GOOD + "sample: {n: 0}\n", "4: sample.n must be greater than or equal to 1, not 0"),
        (GOOD + "sample: {n: 1, sead: 2}\n", "4: sample.sead: unknown key; did you mean 'seed'?"),
        (GOOD + "sweep: {lr: [1]}\nsweep: {lr: [2]}\n",
         "5: 'sweep' is there twice (first on line 4); remove one"),
        (GOOD + CUBE, "4: makes 1000000 runs, and at most 10000 are allowed; vary less, or take a sample"),
        (GOOD + "include: [{seed: 7}]\nrepeat: 2\n",
         "5: repeat sets the seed, which is set elsewhere too; use one of the two"),
        (GOOD + "repeat: 0\n", "4: repeat must be a list of seeds, or how many, from 1; not 0"),
        (GOOD + "repeat: [0, -1]\n", "4: repeat must be a list of seeds, or how many, from 1; not [0, -1]"),
        (GOOD + "sweep: {lr: [1, 2]}\nexclude:\n  - {lr: 3}\n",
         "6: exclude[0].lr: 3 is not a candidate of lr, so it excludes nothing; correct or remove it"),
        ("name: a\nmode: training\nbase_config:\n",
         " neither base_config nor configs is given; name the config that the runs start from"),
        (GOOD.replace("base.yaml", ""), "3: configs/: is a folder; name a config in it"),
        (GOOD.replace("configs/base.yaml", "specs/s.yaml"), "3: specs/s.yaml: is a sweep spec itself; name a config"),
        (GOOD + f"sweep: {{seed: [{'9' * 5000}]}}\n",
         "4: a whole number of 5000 digits; make it shorter than 1000"),
        (GOOD + "fixed_overrides: {hf_token: abc}\n", f"4: 'hf_token' {SECRET}"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_and_nothing_is_written(work: Workspace, text: str, expected: str) -> None:
    prepare(work, text)
    done = work.run("--exp", "specs/s.yaml", *SCRIPT, code=2)
    assert done.stderr == f"run_experiments.py: specs/s.yaml:{expected}\n" and done.stdout == ""
    assert not (work / "experiments").exists()


def test_every_config_that_is_missing_is_named(work: Workspace) -> None:
    prepare(work, CONFIGS.replace("[configs/base.yaml]", "[none.yaml, configs/base.yaml, no.yaml]"))
    stderr = work.run("--exp", "specs/s.yaml", *SCRIPT, code=2).stderr
    assert [name for name in ("none.yaml", "no.yaml") if f"specs/s.yaml:3: {name}: no such file" not in stderr] == []


@pytest.mark.parametrize("key", ["sweep", "zip", "exclude", "include", "fixed_overrides", "sample"])
def test_a_key_with_nothing_below_it_is_ignored(work: Workspace, key: str) -> None:
    prepare(work, f"{GOOD}{key}:\n")
    assert "1 job would run" in work.run("--exp", "specs/s.yaml", *SCRIPT, "--dry-run", code=0).stdout


def test_a_setting_that_is_varied_cannot_be_overridden(work: Workspace) -> None:
    prepare(work)
    stderr = work.run("--exp", "specs/s.yaml", *SCRIPT, "--lr", "3", code=2).stderr
    assert stderr == "run_experiments.py: --lr: the spec varies lr; change it there, or leave this out\n"


def test_ten_errors_get_ten_sentences(work: Workspace) -> None:
    prepare(work, ALL_AT_ONCE)
    *sentences, last = work.run("--exp", "specs/s.yaml", *SCRIPT, code=2).stderr.splitlines()
    assert len(sentences) == 10 and last == "run_experiments.py: 10 errors; nothing was started"
    assert [int(sentence.split(":")[2]) for sentence in sentences] == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--configs", "configs/base.yaml"], "--configs does not go with --exp: the spec names its configs"),
        (["--name", "b"], "--name does not go with --exp: the spec names the experiment"),
        (["--mode", "train"], "argument --mode: invalid choice"),
        (["--limit", "0"], "--limit: '0' is not a whole number above 0"),
        (["--show", "perhaps"], "--show perhaps: is neither true nor false"),
        (["--only", "failed"], "--only, --accept_changes and --accept_moved need --resume"),
    ],
)
def test_options_of_other_commands_are_refused(work: Workspace, options: list[str], expected: str) -> None:
    prepare(work)
    assert expected in work.run("--exp", "specs/s.yaml", *SCRIPT, *options, code=2).stderr
    assert not (work / "experiments").exists()


def test_a_spec_that_is_not_there(work: Workspace) -> None:
    assert work.run("--exp", "specs/s.yaml", code=2).stderr == (
        "run_experiments.py: specs/s.yaml: no such file; check the name\n"
    )
