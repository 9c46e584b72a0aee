"""The form of rules: what a file of them may have, and the sentence for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core.causes import CAUSES
from runner.supervisor import cause_rules, classification, error_cause
from runner.supervisor.classification import Output, classify


def classified(rules: cause_rules.Rules, stderr: str, code: int = 1, seconds: float = 0.0) -> tuple[str, bool]:
    lines = stderr.split("\n")
    found = classify(rules, Output((lines, []), error_cause.find(lines, []), code, seconds))
    return found.cause, found.sure


def test_our_rules_use_our_words_and_every_word_has_advice() -> None:
    rules = cause_rules.load()
    assert {rule.cause for rule in rules.rules} <= set(CAUSES) == set(rules.advice)
    assert all(text.endswith(".") and "\n" not in text for text in rules.advice.values())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = ", "mine.toml: Invalid value"),
        ("rules = []", "mine.toml: unknown key 'rules'"),
        ('[rule]\ncause = "disk"', "rule must be written as [[rule]]"),
        ('[[rule]]\ncause = "disk"', "rule 1: pattern must be a regular expression"),
        ('[[rule]]\ncause = "disk"\npattern = ".*"', "rule 1: pattern must be a regular expression that does not fit"),
        (
            '[[rule]]\ncause = "disk"\npattern = "a"\n[[rule]]\ncause = "A b"\npattern = "a"',
            "rule 2: cause must be one word",
        ),
        ('[[rule]]\ncause = "disk"\npattern = "a"\nshure = true', "rule 1: unknown key 'shure'"),
        ('[[rule]]\ncause = "disk"\npattern = "a"\nexit = "1"', "rule 1: exit has a value of another type"),
        ('[[rule]]\ncause = "disk"\npattern = "a"\nexit = true', "rule 1: exit has a value of another type"),
        ('[[rule]]\ncause = "disk"\npattern = "a"\nwhere = "top"', "rule 1: where must be"),
        (
            '[[rule]]\ncause = "disk"\npattern = "a"\nwhere = "output"',
            "rule 1: a rule for the whole output needs 'end'",
        ),
        ('[[consequence]]\npattern = "("', "consequence: pattern is not a regular expression"),
        ("[advice]\ndisk = 1", "[advice] must have a sentence for each cause"),
    ],
)
def test_an_error_in_a_file_is_one_sentence(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ValueError) as raised:
        cause_rules.load(str(tmp_path / "mine.toml"))
    assert str(tmp_path / "mine.toml") in str(raised.value) and error in str(raised.value)


def test_a_file_that_cannot_be_read_any_more_is_left_out(tmp_path: Path) -> None:
    assert cause_rules.for_job(str(tmp_path / "none.toml")) == cause_rules.load()
    (tmp_path / "torn.toml").write_text("[[rule")
    assert cause_rules.for_job(str(tmp_path / "torn.toml")) == cause_rules.load()


def test_each_key_of_a_rule_counts(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[rule]]\ncause = "one"\npattern = "E77"\nunless = "retry"\n'
        '[[rule]]\ncause = "two"\npattern = "E78"\nexit = 9\n'
        '[[rule]]\ncause = "three"\npattern = "E79"\nwithin = 60\n'
        '[[rule]]\ncause = "four"\npattern = "quota: refused"\nwhere = "output"\nend = "OSError"\n'
        '[[rule]]\ncause = "five"\npattern = "E80"\nsure = false\nadvice = "Wait."\n'
    )
    rules = cause_rules.load(str(path))
    trace = "Traceback (most recent call last):\n  File 'a.py', line 1\n"
    assert classified(rules, f"{trace}ValueError: E77") == ("one", True)
    assert classified(rules, f"{trace}ValueError: E77, retry") == ("code", True)
    assert classified(rules, f"{trace}ValueError: E78", code=9) == ("two", True)
    assert classified(rules, f"{trace}ValueError: E78") == ("code", True)
    assert classified(rules, f"{trace}ValueError: E79", seconds=59) == ("three", True)
    assert classified(rules, f"{trace}ValueError: E79", seconds=61) == ("three", False)
    assert classified(rules, f"quota: refused\n{trace}OSError: it failed") == ("four", True)
    assert classified(rules, f"quota: refused\n{trace}KeyError: 'x'") == ("code", True)
    assert classified(rules, f"{trace}ValueError: E80") == ("five", False)
    assert rules.advice_on("five", "ValueError: E80") == "Wait."


def test_only_the_last_lines_are_looked_at() -> None:
    rules = cause_rules.load()
    filler = "step 1 of a long log\n" * (classification.LOOKED_AT // 20)
    trace = "Traceback (most recent call last):\n  File 'a.py', line 1\n"
    end = f"{trace}RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED"
    sign = "Indexing.cu:1290: Assertion `srcIndex < srcSelectDimSize` failed.\n"
    assert classified(rules, sign + end) == ("code", True)
    assert classified(rules, sign + filler + end) == ("gpu_oom", False)
