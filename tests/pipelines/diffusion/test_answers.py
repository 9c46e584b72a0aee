"""Fine-tuning on answers alone: what counts as an answer, and that nothing else is masked or learned."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.masks import apply_mask
from model.transformer import Transformer
from pipelines.diffusion.answer_prediction import AnswerPrediction
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import byte_pairs, characters
from pipelines.diffusion.text.answers import answer_tokens
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.diffusion.train import run
from pipelines.diffusion.train_state import shape_of
from pipelines.shared.errors import InputError

CPU = torch.device("cpu")
RECORDS = "Q: one?\nA: 1\n\nNo question here.\n\nQ: two?\nA: 2 or A: 3\n\nQ: three?\nA: 3"


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Sums: the answer follows from the question."""
    folder = tmp_path_factory.mktemp("sums")
    rng = random.Random(0)
    pairs = [(rng.randrange(5), rng.randrange(5)) for _ in range(300)]
    records = "".join(f"{a}+{b}={a + b}\n\n" for a, b in pairs)
    characters.prepare_once(folder, lambda: (records, {"name": "test"}))
    return folder


def settings(text: Path, **changes) -> DiffusionSettings:
    return DiffusionSettings(**{
        "dataset": str(text), "training_type": "elbo", "answer_marker": "=", "block_size": 14, "batch_size": 8,
        "n_layer": 1, "n_head": 2, "n_embd": 32, "eval_interval": 100, "eval_iters": 1, "max_iters": 100,
        "warmup_iters": 5, "learning_rate": 1e-2, "device": "cpu", **changes,
    })  # fmt: skip


def objective(text: Path, **changes) -> AnswerPrediction:
    return AnswerPrediction(settings(text, **changes), open_dataset(str(text)), CPU, torch.float32)


def test_an_answer_is_what_follows_the_marker_up_to_and_with_the_empty_line():
    vocabulary = Characters.of(RECORDS)
    found = answer_tokens(vocabulary, vocabulary.array(RECORDS), "A:")
    pairs = itertools.groupby(zip(RECORDS, found, strict=True), lambda pair: pair[1])
    runs = ["".join(character for character, _ in run) for is_answer, run in pairs if is_answer]
    assert runs == [" 1\n\n", " 2 or A: 3\n\n", " 3"]


def test_a_byte_pair_that_is_partly_an_answer_counts_as_one():
    many = RECORDS * 20
    vocabulary = byte_pairs.learned(many, 300)
    ids = vocabulary.array(RECORDS)
    found = answer_tokens(vocabulary, ids, "A:")
    by_byte = answer_tokens(Characters.of(RECORDS), Characters.of(RECORDS).array(RECORDS), "A:")
    ends = np.cumsum([len(vocabulary.tokens[i]) for i in ids])
    for token, is_answer, end in zip(ids, found, ends, strict=True):
        assert is_answer == by_byte[end - len(vocabulary.tokens[token]) : end].any()
    assert 0 < found.sum() < len(found)


@pytest.mark.parametrize("training_type", ["elbo", "ar"])
def test_only_answers_are_masked_and_have_weight(text, training_type):
    built = objective(text, training_type=training_type)
    data = open_dataset(str(text))
    seen = 0
    for iteration in range(20):
        batch = built.draw(iteration, 0, 0)
        ids, weights = batch.targets.view(8, 14), batch.weights.view(8, 14)
        answers = torch.from_numpy(np.stack([answer_tokens(data.vocabulary, row.numpy(), "=") for row in ids]))
        assert (weights[~answers] == 0).all() and weights.sum().item() == pytest.approx(1, abs=1e-5)
        assert all(data.vocabulary.decode(row.tolist())[1] == "+" for row in ids)  # a record begins the window
        if training_type == "elbo":
            assert torch.equal(batch.inputs == data.mask_id, weights > 0)
            seen += int((weights > 0).sum())
        else:
            assert torch.equal(weights > 0, answers)
    assert training_type == "ar" or seen > 200


def test_the_evaluation_agrees_with_the_enumeration_of_all_masks_of_the_answers(text):
    built = objective(text, block_size=6)
    data = open_dataset(str(text))
    torch.manual_seed(0)
    model = Transformer(shape_of(settings(text, block_size=6), data.vocab_size)).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    found = built.evaluate_full(model, lambda: False, print)
    total, count = 0.0, 0
    for ids, answers in zip(*built._windows[0], strict=True):
        places = answers.nonzero().flatten().tolist()
        for size in range(1, len(places) + 1):
            chosen = list(itertools.combinations(places, size))
            masks = torch.zeros(len(chosen), 6, dtype=torch.bool)
            for i, some in enumerate(chosen):
                masks[i, list(some)] = True
            rows = ids.expand(len(chosen), -1)
            logits = model(apply_mask(rows, masks, data.mask_id))
            losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="none")
            total += (losses.view(rows.shape) * masks).sum(1).mean().item() / size
        count += len(places)
    assert abs(found.loss - total / count) < 5 * found.standard_error
    assert found.standard_error < 0.1


@pytest.mark.parametrize("training_type", ["elbo", "ar"])
def test_answers_are_learned(text, tmp_path, training_type, capsys):
    assert run(settings(text, training_type=training_type, out_dir=str(tmp_path))) == 0
    printed = capsys.readouterr().out
    assert (
        "answers: " in printed
        and "the answers in " in printed
        and (tmp_path / f"ckpt_{training_type}_100.pt").is_file()
    )


def test_what_does_not_fit_is_one_sentence(text):
    with pytest.raises(InputError, match=r"the training text of '.*' has no 'Answer:'"):
        objective(text, answer_marker="Answer:")
    with pytest.raises(ValidationError, match="answer_marker is for training_type 'elbo' or 'ar'"):
        DiffusionSettings(training_type="unmasking", answer_marker="A:")
