"""The measures of samples against numbers worked out by hand on texts of a few letters."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from pipelines.diffusion.evaluation.ngrams import NGrams
from pipelines.diffusion.evaluation.quality import Measures, Quality, distinct, entropy, known_fraction, table, words
from pipelines.diffusion.sampling import infill_template
from pipelines.diffusion.sampling.infill_template import Gap

TEXT = "the cat sat on the mat, and the rat that saw the cat ran. "


def test_bigrams_are_those_worked_out_by_hand():
    """In abab: a twice, b twice, two kinds; so p(a) = (2 + 2/3) / 6. After a: b twice; after b: a once."""
    found = np.exp(NGrams.of("abab", order=2).log_probabilities("aba?aa"))
    alone = 4 / 9
    assert found == pytest.approx([
        alone, (2 + alone) / 3, (1 + alone) / 2,
        (1 / 9) / 3,  # unknown after a
        alone,  # after an unknown character only the frequencies are left
        alone / 3,
    ])  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("context", ["", "t", "the ", "the c", " cat ran. ", "zq", "thz", TEXT])
def test_the_probabilities_of_what_may_follow_sum_to_one(order, context):
    ngrams = NGrams.of(TEXT, order)
    following = [ngrams.log_probabilities(context + character)[-1] for character in [*sorted(set(TEXT)), "\N{SNOWMAN}"]]
    assert np.exp(following).sum() == pytest.approx(1)


def test_counts_agree_with_counting_by_hand_in_a_longer_text():
    ngrams = NGrams.of(TEXT * 3, order=4)
    for length, level in enumerate(ngrams.levels):
        assert level.counts.sum() == level.totals.sum() == len(TEXT) * 3 - length
        assert len(level.keys) == len({(TEXT * 3)[at : at + length + 1] for at in range(len(TEXT) * 3 - length)})


def test_a_text_is_less_surprising_to_its_own_model_than_to_another():
    own, other = NGrams.of(TEXT * 20), NGrams.of("".join(sorted(TEXT)) * 20)
    assert own.log_probabilities(TEXT).mean() > other.log_probabilities(TEXT).mean() + 1


def test_entropy_words_and_repeats():
    assert entropy("aaaa") == 0
    assert entropy("aab") == pytest.approx(-(2 / 3 * log(2 / 3) + 1 / 3 * log(1 / 3)))
    assert words("Thou'rt, O! a2b 3") == ["thou", "rt", "o", "a", "b"]
    assert distinct(["a b a b a", "b a"], 2) == pytest.approx(2 / 5)
    assert distinct(["alone", ""], 2) is None
    assert known_fraction(["the dog", "The"], {"the"}) == pytest.approx(2 / 3)
    assert known_fraction(["1 2 3"], {"the"}) is None


def test_repetition_has_a_low_nll_and_shows_in_the_others():
    quality = Quality((TEXT + "very very very good. ") * 20)
    honest = quality.of(["a cat and the rat sat on the mat that ran."])
    stuck = quality.of(["very very very very very "])
    assert stuck.nll < honest.nll and stuck.known_words == 1
    assert stuck.entropy < honest.entropy - 0.5 and stuck.distinct_2 < 0.3 < honest.distinct_2
    with pytest.raises(ValueError, match="no character"):
        quality.of(["", ""])


def test_the_reference_is_cut_like_the_samples():
    quality = Quality(TEXT * 20)
    val = "the mat and the cat sat. " * 40
    whole = quality.of([val])
    pieces = quality.reference(val, ["x" * 100] * 3)
    assert pieces.entropy == pytest.approx(quality.of([val[:100]]).entropy, abs=0.05)
    assert pieces.nll == pytest.approx(whole.nll, abs=0.1)
    assert pieces.distinct_2 > whole.distinct_2  # a longer text repeats itself more
    assert quality.reference(val, ["x" * 5000]) == whole  # longer than the text itself: all of it, once


def test_the_table_is_plain_and_marks_missing_values():
    lines = table(Measures(1.5, 2.0, None, 1.0), Measures(1.25, 2.5, 0.5, 0.975)).splitlines()
    assert lines[0].split() == ["nll", "entropy", "distinct-2", "known", "words"]
    assert lines[1].split() == ["samples", "1.500", "2.000", "-", "1.000"]
    assert lines[2].split() == ["validation", "text", "1.250", "2.500", "0.500", "0.975"]
    assert len({len(line) for line in lines}) == 1


# Texts with gaps.


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("To be {12} or not{5}", ["To be ", Gap(12), " or not", Gap(5)]),
        ("{3}{4}\n", [Gap(3), Gap(4), "\n"]),
        ("f{{x}} = {{{2}}}", ["f{x} = {", Gap(2), "}"]),
        ("", []),
    ],
)
def test_a_gap_is_a_number_in_braces_and_a_double_brace_is_one(written, parts):
    assert infill_template.parse(written) == parts
    assert infill_template.gaps(parts) == sum(part.length for part in parts if isinstance(part, Gap))


@pytest.mark.parametrize(("written", "at"), [("a{", 2), ("a}b", 2), ("{12", 1), ("{x}", 1), ("{-1}", 1), ("ab{1}}", 6)])
def test_a_lone_brace_is_named_with_its_place(written, at):
    with pytest.raises(ValueError, match=f"at character {at}: a gap is written"):
        infill_template.parse(written)
