"""Training error detection: its batches, complete trainings, its settings and the errors in them."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import configurator
from model.corruption import KINDS
from model.transformer import Shape, Transformer
from pipelines.diffusion.correction import Correction
from pipelines.diffusion.settings import checkpoint_bytes, parameter_count, prior_of, unread
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.diffusion.text.windows import elsewhere, frequencies
from pipelines.diffusion.train import run
from pipelines.diffusion.train_state import build, shape_of
from pipelines.shared import checkpoints
from pipelines.shared.errors import InputError
from runner.configs import config_file
from runner.core.errors import UserError
from tests.conftest import PROJECT, signalled_at
from tests.pipelines.diffusion.small_correction import CPU, TINY, correction, drawn, settings_of, write_text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    return write_text(tmp_path_factory.mktemp("data") / "text")


def train_here(text: Path, out_dir: Path, **changes) -> int:
    return run(settings_of(text, out_dir=str(out_dir), **changes))


def evaluations(out_dir: Path) -> list[dict]:
    rows = [json.loads(line) for line in (out_dir / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "val/loss" in row]


# Batches.


@pytest.mark.parametrize("training_type", ["remasking", "remasking_binary"])
def test_a_batch_is_a_function_of_seed_and_number_alone(text, training_type):
    one = correction(text, training_type=training_type)
    drawn(one, 0), drawn(one, 1)
    inputs, targets = drawn(one, 7)
    again = drawn(correction(text, training_type=training_type), 7)
    assert torch.equal(inputs, again[0]) and torch.equal(targets, again[1])
    assert inputs.shape == targets.shape == (8, 32)
    for other in (drawn(one, 8), drawn(correction(text, training_type=training_type, seed=1), 7)):
        assert not torch.equal(inputs, other[0])


def test_both_training_types_see_the_same_batches_and_targets(text):
    named, binary = correction(text, training_type="remasking"), correction(text, training_type="remasking_binary")
    vocabulary = open_dataset(str(text)).vocab_size
    assert (named.classes, binary.classes) == (vocabulary + 1, 2)
    (inputs, names), (same, marks) = drawn(named, 3), drawn(binary, 3)
    assert torch.equal(inputs, same)
    assert torch.equal(names == vocabulary, marks == 1)
    assert torch.equal(names[marks == 0], inputs[marks == 0])  # what is right is named
    assert inputs.max() < vocabulary  # no masks


def test_the_ratios_of_a_batch_are_spread_up_to_the_largest(text):
    one = correction(text, corruption_type="random", max_corruption_ratio=0.5, batch_size=16)
    for number in range(5):
        counts = drawn(one, number)[1].sum(1)  # of 32 positions, 1..16, one of each
        assert sorted(counts.tolist()) == list(range(1, 17))


def test_the_errors_of_a_fragment_row_are_a_piece_of_the_training_text(text):
    dataset = open_dataset(str(text))
    training = "".join(dataset.characters[id] for id in np.concatenate((dataset.train, dataset.train)))
    inputs, marks = drawn(correction(text, corruption_type="fragment", batch_size=64), 0)
    for ids, wrong in zip(inputs.tolist(), marks.tolist(), strict=True):
        read = "".join(dataset.characters[id] for id in ids)
        pieces = "".join(c if w else "\0" for c, w in zip(read, wrong, strict=True)).split("\0")
        assert all(piece in training for piece in pieces)
    assert 0.05 < marks.float().mean() < 0.25  # half of the ratio, less what agrees


def test_elsewhere_shares_no_character_with_the_window():
    places = np.arange(60)
    starts = np.arange(51)
    rng = np.random.default_rng(0)
    seen: set[int] = set()
    for _ in range(400):
        taken = elsewhere(places, starts, 10, 20, rng)
        for start, row in zip(starts, taken, strict=True):
            assert not set(row) & set(range(start, start + 10))
            assert (np.diff(row) % 60 == 1).all()
        seen |= set(taken[0])
    assert seen == set(range(10, 60))


@pytest.mark.parametrize("replacement", ["unigram", "uniform"])
def test_replacements_have_the_requested_frequencies(text, replacement):
    dataset = open_dataset(str(text))
    counts = frequencies(dataset.train, dataset.vocab_size)
    assert counts.tolist() == np.bincount(dataset.train, minlength=dataset.vocab_size).tolist()
    one = correction(text, corruption_type="random", corruption_replacement=replacement, batch_size=1000)
    inputs, marks = drawn(one, 0)
    observed = torch.bincount(inputs[marks == 1], minlength=dataset.vocab_size) / (marks == 1).sum()
    # Never the original character: of originals x with fraction q, y != x comes with p_y / (1 - p_x).
    p = torch.tensor(counts if replacement == "unigram" else np.ones_like(counts)).double()
    p, q = p / p.sum(), torch.tensor(counts / counts.sum())
    law = p * ((q / (1 - p)).sum() - q / (1 - p))
    assert ((observed - law).abs() < 4.5 * (law * (1 - law) / (marks == 1).sum()).sqrt()).all()


def test_a_text_too_short_for_error_detection_is_refused(tmp_path):
    def dataset(train: str, val: str) -> Dataset:
        ids = (np.array(["ab".index(c) for c in part], dtype=np.uint16) for part in (train, val))
        return Dataset("short", tmp_path, Characters(("a", "b")), *ids, len(val), val_unigram_entropy=0.0, sha256="")

    for train, val, complaint in (
        ("ab" * 31, "ab" * 40, r"the training text has 62 characters, .* two windows of block_size \(32\)"),
        ("ab" * 40, "ab" * 31, r"the validation text has 62 characters, .* lower block_size"),
        ("aa" * 40, "ab" * 40, "has only one character"),
    ):
        with pytest.raises(InputError, match=complaint):
            Correction(settings_of(tmp_path, dataset="pydoc_char"), dataset(train, val), CPU, torch.float32)
    fits = Correction(settings_of(tmp_path, dataset="pydoc_char"), dataset("ab" * 32, "ab" * 32), CPU, torch.float32)
    assert drawn(fits, 0)[0].shape == (8, 32)


# Complete trainings.


@pytest.fixture(scope="module", params=["remasking", "remasking_binary"])
def finished(request, text, tmp_path_factory) -> tuple[str, Path]:
    out_dir = tmp_path_factory.mktemp(request.param)
    assert train_here(
        text, out_dir, training_type=request.param, max_iters=500, eval_interval=250, n_layer=2, learning_rate=5e-3,
        batch_size=16, dropout=0.0, max_corruption_ratio=0.3, decay_lr=True, lr_decay_iters=500,
    ) == 0  # fmt: skip
    return request.param, out_dir


def test_a_trained_error_detection_model_finds_planted_errors(finished, text):
    _, out_dir = finished
    last = evaluations(out_dir)[-1]
    rate = last["val/base_rate"]
    assert last["val/auroc"] > 0.95
    # Knowing only the error rate costs the entropy of the base rate, and gives each measure its worth by chance.
    assert last["val/loss"] < 0.6 * -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    assert last["val/average_precision"] > rate + 0.5
    assert last["val/precision"] > 0.7 and last["val/recall"] > 0.7 and last["val/accuracy"] > 1 - rate
    for name in KINDS:
        assert last[f"val/{name}_auroc"] > 0.9 and last[f"val/{name}_base_rate"] < 0.3


@pytest.mark.parametrize("kind", ["remasking", "remasking_binary"])
def test_an_untrained_error_detection_model_knows_only_the_base_rate(kind, text):
    settings = settings_of(text, training_type=kind, max_corruption_ratio=0.3)
    vocabulary = open_dataset(str(text)).vocab_size
    model = build(settings, vocabulary, CPU, torch.float32).model
    result = correction(text, training_type=kind, max_corruption_ratio=0.3).evaluate(model)
    rate = result.row()["val/base_rate"]
    assert result.row()["val/auroc"] == 0.5
    if kind == "remasking":
        assert result.val_loss == pytest.approx(math.log(vocabulary + 1), abs=1e-5)
    else:  # it begins with the prior: 0.3 / 2 are errors, and the counts are rounded upwards
        right, wrong = prior_of(settings)
        assert 0.15 < math.exp(wrong) < 0.15 + 1 / settings.block_size
        assert result.val_loss == pytest.approx(-(rate * wrong + (1 - rate) * right), abs=1e-5)


def test_checkpoints_are_named_by_the_type_and_loaded_by_no_other(finished, tmp_path):
    kind, out_dir = finished
    other = {"remasking": "remasking_binary", "remasking_binary": "remasking"}[kind]
    assert (out_dir / f"ckpt_{kind}_500.pt").exists()
    assert 500 in checkpoints.existing(out_dir, kind) and not checkpoints.existing(out_dir, other)
    with pytest.raises(InputError, match=f"there is no ckpt_{other}_<iteration>.pt"):
        checkpoints.load_latest(out_dir, other, dict)


def test_a_checkpoint_scores_the_errors_of_a_text(finished, text):
    """A user's way: load the weights, plant one error, and look where the score is highest."""
    kind, out_dir = finished
    content = torch.load(out_dir / f"ckpt_{kind}_500.pt", weights_only=True)
    model = Transformer(Shape(**content["shape"]))
    model.load_state_dict(content["model"])
    written = "the cat sit on a mat\nand rain fell over every hill"[:32]
    ids = torch.tensor([[content["vocabulary"]["characters"].index(c) for c in written]])
    logits = model.eval()(ids)
    score = logits.softmax(-1)[0, :, -1]
    highest, second = score.sort(descending=True).values[:2].tolist()
    assert score.argmax() == written.index("i") and highest > 0.3 and highest > 3 * second


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("remasking", {"gradient_accumulation_steps": 2}),
        ("remasking_binary", {"corruption_type": "sticky"}),
    ],
)
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(text, tmp_path, kind, changes):
    changes = {"training_type": kind, **changes}
    assert train_here(text, tmp_path / "whole", **changes) == 0
    assert train_here(text, tmp_path / "parts", **changes, max_iters=33) == 0
    torch.rand(7)  # whatever else used the random numbers in between
    assert train_here(text, tmp_path / "parts", **changes, init_from="resume") == 0
    whole, parts = (
        torch.load(tmp_path / name / f"ckpt_{kind}_60.pt", weights_only=True) for name in ("whole", "parts")
    )
    for key, tensor in whole["model"].items():
        assert torch.equal(tensor, parts["model"][key]), key
    for index, moments in whole["optimizer"]["state"].items():
        assert all(torch.equal(moments[k], parts["optimizer"]["state"][index][k]) for k in moments)
    last = [{k: v for k, v in evaluations(tmp_path / name)[-1].items() if k != "time"} for name in ("whole", "parts")]
    assert last[0] == last[1]


def test_a_new_training_archives_the_old_one_of_any_type(text, tmp_path):
    assert train_here(text, tmp_path, max_iters=2, training_type="remasking") == 0
    assert train_here(text, tmp_path, max_iters=3, training_type="remasking_binary") == 0
    assert train_here(text, tmp_path, max_iters=4, training_type="elbo") == 0
    assert (tmp_path / "earlier_1" / "ckpt_remasking_2.pt").exists()
    assert (tmp_path / "earlier_2" / "ckpt_remasking_binary_3.pt").exists()
    assert [path.name for path in tmp_path.glob("ckpt_*")] == ["ckpt_elbo_4.pt"]


def test_a_checkpoint_has_the_predicted_size(text, tmp_path):
    assert train_here(text, tmp_path, max_iters=2, training_type="remasking") == 0
    size = (tmp_path / "ckpt_remasking_2.pt").stat().st_size
    assert size < checkpoint_bytes(settings_of(text, training_type="remasking")) / 4


@pytest.mark.parametrize("training_type", ["remasking", "remasking_binary"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_parameter_count_of_the_settings_is_that_of_the_network(text, training_type, bias):
    settings = settings_of(text, training_type=training_type, bias=bias)
    assert Transformer(shape_of(settings, 11)).parameter_count() == parameter_count(settings, 11)


def test_ctrl_c_saves_an_error_detection_model_and_exits(text, tmp_path):
    options = {**TINY, "dataset": text, "out_dir": tmp_path, "max_iters": 10**6, "eval_interval": 10**6}
    child = subprocess.Popen(
        [sys.executable, PROJECT / "train_run.py", PROJECT / "config/corrector/shakespeare_binary.py",
         *(f"--{key}={value}" for key, value in options.items())],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = signalled_at(child, "iter 20:", signal.SIGINT)
    assert child.returncode == 130, err
    assert "stopped by a signal" in out and "Traceback" not in err
    assert max(checkpoints.existing(tmp_path, "remasking_binary")) >= 20


# Settings.


@pytest.mark.parametrize("name", ["shakespeare", "shakespeare_binary"])
def test_the_configs_that_come_along_are_right(name):
    config = config_file.read(PROJECT / "config/corrector" / f"{name}.py")
    settings = configurator.resolve(config, {})
    assert settings.wandb_run_name.endswith(name)
    assert not set(config.values) & unread(settings.model_dump())


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("training_type = 'remaskin'", "3: training_type must be one of 'unmasking', 'elbo', 'block', 'ar', "
         "'remasking', 'remasking_binary', not 'remaskin'; did you mean 'remasking'?"),
        ("corruption_type = 'sticki'", "3: corruption_type must be one of 'random', 'sticky', 'fragment', 'mixed', not "
         "'sticki'; did you mean 'sticky'?"),
        ("max_corruption_ratio = 0", "3: max_corruption_ratio must be greater than 0, not 0"),
        ("max_corruption_ratio = 50", "3: max_corruption_ratio must be less than or equal to 1, not 50"),
        ("corruption_p2_probability = -0.1", "3: corruption_p2_probability must be greater than or equal to 0, "
         "not -0.1"),
        ("corruption_p1_probability = 0.0", "3: corruption_p1_probability must be greater than 0 for corruption_type "
         "'mixed': a row starts without errors, so no run would ever begin"),
        ("corruption_weights = [1.0, 2.0]", "3: corruption_weights: [1.0, 2.0] must have 3 numbers: for random, sticky "
         "and fragment"),
        ("corruption_weights = [0.0, 0.0, 0.0]", "3: corruption_weights: [0.0, 0.0, 0.0] must have a finite sum above "
         "0"),
        ("corruption_weights = [1.0, -2.0, 3.0]", "3: corruption_weights[1] must be greater than or equal to 0, "
         "not -2.0"),
        ("corruption_wieghts = [1.0, 1.0, 1.0]", "3: unknown key 'corruption_wieghts'; did you mean "
         "'corruption_weights'?"),
        ("corruption_replacement = 'bigram'", "3: corruption_replacement must be one of 'unigram', 'uniform', not "
         "'bigram'; did you mean 'unigram'?"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_with_its_place(tmp_path, lines, sentence):
    path = tmp_path / "bad.py"
    path.write_text(f"dataset = 'pydoc_char'\ntraining_type = 'remasking'\n{lines}\n")
    with pytest.raises(UserError) as caught:
        configurator.resolve(config_file.read(path), {})
    assert caught.value.problems == (f"{path}:{sentence}",)


def test_scattered_errors_need_no_probability_to_begin_with(text):
    assert settings_of(text, corruption_type="random", corruption_p1_probability=0).corruption_p1_probability == 0
    assert settings_of(text, training_type="elbo", corruption_p1_probability=0)


@pytest.mark.parametrize(
    ("changes", "idle", "read"),
    [
        ({"training_type": "unmasking"}, {"corruption_type", "max_corruption_ratio"}, {"unmasking_stages"}),
        ({"training_type": "elbo"}, {"corruption_weights", "unmasking_stages", "min_improvement"}, {"batch_size"}),
        ({"corruption_type": "random"}, {"corruption_p1_probability", "corruption_weights"}, {"max_corruption_ratio"}),
        ({"corruption_type": "fragment"}, {"corruption_replacement"}, {"corruption_p2_probability"}),
        ({"corruption_type": "mixed"}, {"unmasking_stages"}, {"corruption_weights", "corruption_replacement"}),
    ],
)
def test_the_keys_that_are_not_looked_at_are_known(text, changes, idle, read):
    found = unread(settings_of(text, **changes).model_dump())
    assert idle <= found and not read & found
