"""What a training meets and must say: damaged checkpoints, rates that go the wrong way, a folder that is taken."""

import errno
import itertools
import random
import runpy

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.masks import random_masking, sample_masks
from pipelines.diffusion import train_state
from pipelines.diffusion.evaluation.full_validation import evaluate_full
from pipelines.diffusion.schedule import learning_rate, max_masked, position, remarks, rows_of_stages, stage_at
from pipelines.diffusion.settings import DiffusionSettings, prior_of
from pipelines.diffusion.stages import RandomStage
from pipelines.shared import checkpoints, devices
from pipelines.shared.errors import FolderTaken, InputError, record_failure
from tests.conftest import PROJECT
from tests.pipelines.diffusion.test_trainer import CPU, small_network
from tests.pipelines.diffusion.test_training import config, finish, no_wandb_server, rows_of, text, train_here

__all__ = ["no_wandb_server", "text"]  # fixtures


def changed(content: object, **changes: object) -> object:
    assert isinstance(content, dict)
    return {**content, **changes}


ODD = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "text": lambda path: path.write_text("no checkpoint"),
    "list": lambda path: torch.save([1, 2], path),
    "schema": lambda path: torch.save(changed(torch.load(path), schema="x"), path),
    "no state": lambda path: torch.save({k: v for k, v in torch.load(path).items() if k != "state"}, path),
    "no optimizer": lambda path: torch.save({k: v for k, v in torch.load(path).items() if k != "optimizer"}, path),
    "odd state": lambda path: torch.save(changed(torch.load(path), state=[1]), path),
    "odd random": lambda path: torch.save(changed(torch.load(path), random={}), path),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, text):
    """Checkpoints at 20 and 40."""
    folder = tmp_path_factory.mktemp("trained")
    assert train_here(text, folder, max_iters=20) == 0
    assert train_here(text, folder, max_iters=40, init_from="resume", keep_last=2) == 0
    assert list(checkpoints.existing(folder, "unmasking")) == [20, 40]
    return folder


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_latest_checkpoint_is_left_out_and_named(text, trained, tmp_path, capsys, kind):
    for path in checkpoints.existing(trained, "unmasking").values():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    latest = tmp_path / "ckpt_unmasking_40.pt"
    ODD[kind](latest)
    assert train_here(text, tmp_path, max_iters=41, init_from="resume") == 0
    out, err = capsys.readouterr()
    assert "ckpt_unmasking_20.pt at iteration 20" in out
    assert err.startswith("warning: damaged and left out: ckpt_unmasking_40.pt: ") and err.count("\n") == 1


def test_one_changed_bit_never_loads_as_other_weights(trained, tmp_path):
    whole = (trained / "ckpt_unmasking_40.pt").read_bytes()
    expected = torch.load(trained / "ckpt_unmasking_40.pt")
    path, rng, refused = tmp_path / "ckpt_unmasking_40.pt", random.Random(1), 0
    for _ in range(200):
        damaged, place = bytearray(whole), rng.randrange(len(whole))
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = checkpoints.read(path)
        except (checkpoints.Damaged, InputError):
            refused += 1
        else:
            assert equal(found, expected)
    assert refused > 100


def equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_a_checkpoint_without_an_older_one_is_one_sentence(text, tmp_path):
    (tmp_path / "ckpt_unmasking_5.pt").touch()
    with pytest.raises(InputError, match=r"no checkpoint in .*ckpt_unmasking_5.pt: File is not a zip file"):
        train_here(text, tmp_path, init_from="resume")


# Schedules


def given(**changes) -> DiffusionSettings:
    return DiffusionSettings(**{"pipeline": "diffusion", **changes})


def test_the_rate_falls_until_the_end_of_the_training_whatever_its_length():
    for steps in (300, 6000):
        short = given(max_iters=steps, min_lr=0.0)
        assert remarks(short) == []
        rates = [learning_rate(step, short) for step in range(100, steps)]
        assert rates == sorted(rates, reverse=True) and 0 < rates[-1] < 1e-6 * steps / 100


@pytest.mark.parametrize(
    ("decay", "rates"),
    [
        ("cosine", [1.0, 0.1 + 0.45 * (1 + 2**-0.5), 0.55, 0.1 + 0.45 * (1 - 2**-0.5), 0.1]),
        ("linear", [1.0, 0.775, 0.55, 0.325, 0.1]),
        ("wsd", [1.0, 1.0, 1.0, 0.55, 0.1]),
    ],
)
def test_the_rate_falls_in_the_form_that_was_chosen(decay, rates):
    plan = given(decay=decay, learning_rate=1.0, min_lr=0.1, warmup_iters=100, max_iters=500)
    assert [learning_rate(step, plan) for step in (100, 200, 300, 400, 500)] == pytest.approx(rates)
    assert [learning_rate(150, plan, place) for place in (200.0, 400.0)] == pytest.approx([rates[1], rates[3]])
    assert learning_rate(9, plan) == pytest.approx(10 / 101)  # the warm-up is the same
    assert learning_rate(400, given(**{**plan.model_dump(), "decay_lr": False})) == 1.0


def test_a_config_of_before_decay_has_the_cosine():
    assert given().decay == "cosine"
    with pytest.raises(ValueError, match="'cosine', 'linear' or 'wsd'"):
        given(decay="step")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_iters": 6000, "lr_decay_iters": 3000, "min_lr": 0.0}, "last 3000 iterations is min_lr, 0, so nothing"),
        ({"max_iters": 6000, "lr_decay_iters": 3000}, "the last 3000 iterations is min_lr, 0.0001"),
        ({"max_iters": 500, "lr_decay_iters": 5000}, "the learning rate is still 9.854e-04 at the end"),
        ({"max_iters": 50}, "the warm-up (100 iterations) is not over at the end of the training (50)"),
        ({"max_iters": 50, "decay_lr": False}, "the learning rate is 4.950e-04"),
        ({"max_iters": 100, "eval_interval": 10, "unmasking_stages": [
            {"type": "random", "max_masked_ratio": r / 4, "val_loss_stale_count": 5} for r in (1, 2, 3)]},
         "the last of the 3 stages begins after 12 evaluations at the earliest, and there are 10"),
    ],
)  # fmt: skip
def test_a_schedule_that_surprises_is_announced(text, tmp_path, capsys, changes, words):
    assert any(words in remark for remark in remarks(given(**changes)))
    if changes["max_iters"] == 50:
        assert train_here(text, tmp_path, **{**changes, "warmup_iters": 100}) == 0
        assert f"note: {remarks(given(**changes))[0]}"[:60] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 1e-5}, "above learning_rate (1e-05), so the rate would rise: set min_lr to 1e-06"),
        ({"min_lr": 1.0}, "min_lr (1) is above learning_rate"),
        ({"cuda_graphs": True, "gradient_accumulation_steps": 2}, "cuda_graphs needs gradient_accumulation_steps = 1"),
        ({"eval_only": True}, "eval_only evaluates a training of before: add --init_from=resume"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(changes, words):
    with pytest.raises(ValidationError) as caught:
        given(**changes)
    assert words in str(caught.value)
    assert given(learning_rate=1e-5, decay_lr=False)


def test_every_shipped_curriculum_reaches_its_last_stage():
    for name in ("easy_first", "moderate_first", "super_hard_first"):
        values = runpy.run_path(str(PROJECT / "config" / "shkspr_char_diff" / f"{name}.py"))
        assert remarks(given(**{key: value for key, value in values.items() if not key.startswith("_")})) == []


def test_the_bound_on_masked_positions_is_met_by_some_batch():
    stages = [RandomStage(type="random", max_masked_ratio=r, val_loss_stale_count=1) for r in (0.1, 0.9, 0.2, 0.3, 0.5)]
    for reached in range(1, 6):
        for rows in (1, 3, 4, 16):
            counts = [
                sum(round(stages[stage].max_masked_ratio * 100) for stage in rows_of_stages(rows, reached - 1, batch))
                for batch in range(40)
            ]
            assert max(counts) == max_masked(stages[:reached], rows, 100)


@pytest.mark.parametrize(("ratio", "length"), [(0.5, 64), (0.01, 16), (1e-300, 16), (0.3, 7), (1.0, 5)])
def test_the_prior_is_the_mean_of_what_is_drawn(ratio, length):
    found = prior_of(given(training_type="remasking_binary", max_corruption_ratio=ratio, block_size=length))
    drawn = np.ceil(np.linspace(1e-9, 1, 200_001) * ratio * length).clip(1) / length
    assert np.exp(found) == pytest.approx([1 - drawn.mean(), drawn.mean()], rel=1e-3)


# The folder


def test_a_second_training_in_a_folder_is_refused_and_touches_nothing(text, tmp_path):
    out = tmp_path / "tiny"
    with record_failure(out, lambda: 0):
        (out / "metrics.jsonl").write_text("the first one's\n")
        done = finish(config(tmp_path, text, max_iters=2), f"--out_dir={out}")
        assert done.returncode == 2
        assert "trains in" in done.stderr and "wait for its end, or choose another --out_dir" in done.stderr
        with pytest.raises(FolderTaken), record_failure(out, lambda: 0):
            pass
        assert [path.name for path in out.iterdir()] == ["metrics.jsonl"]
    assert (out / "metrics.jsonl").read_text() == "the first one's\n"
    assert finish(config(tmp_path, text, max_iters=2), f"--out_dir={out}").returncode == 0


def test_a_full_disk_is_a_sentence_that_names_the_last_checkpoint(tmp_path):
    (tmp_path / "ckpt_elbo_9.pt").touch()
    (tmp_path / "ckpt_elbo_10.pt").touch()
    with pytest.raises(OSError) as caught, record_failure(tmp_path, lambda: 11):
        raise OSError(errno.ENOSPC, "No space left on device")
    import train_run

    message = train_run.foreseen(caught.value)
    assert "No space left on device. The last checkpoint is " in message and "ckpt_elbo_10.pt. Make room" in message
    assert train_run.foreseen(OSError(errno.EIO, "Input/output error")) == train_run.foreseen(ValueError("x")) == ""


def test_a_network_larger_than_the_memory_is_refused_before_it_is_made(monkeypatch):
    with pytest.raises(InputError, match=r"parameters needs .* GiB for weights, gradients and moments alone"):
        train_state.build(given(n_embd=2**20, n_head=2**14, n_layer=64), 65, CPU, torch.float32)
    assert (devices.total_memory(CPU) or 0) > 2**28


# The full validation text


def test_the_tokens_after_the_last_window_count_by_their_number():
    model = small_network(3, 8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.3)
    tokens = np.arange(29) * 7 % 5 % 3
    common = {"mask_id": 3, "device": CPU, "dtype": torch.float32}
    found = evaluate_full(model, tokens, 8, **common)
    whole = evaluate_full(model, tokens[:24], 8, **common)
    assert found.rest == 5 and torch.equal(found.losses, whole.losses) and "and its last 5 tokens" in found.summary()
    assert found.loss == pytest.approx((whole.loss * 24 + found.rest_losses.mean().item() * 5) / 29)
    # Unbiased: the mean over other masks is near that of these, which a longer text of the same rest gives.
    ids = torch.from_numpy(tokens[-5:].astype(np.int64))
    losses = []
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        ratios = (torch.arange(10) + torch.rand(10, generator=generator)) / 10
        masks = sample_masks(random_masking(ratios, 5), 5, generator)
        inputs = torch.full((10, 8), 3)
        inputs[:, :5] = torch.where(masks, 3, ids)
        with torch.no_grad():
            surprise = -torch.log_softmax(model(inputs), -1)[:, :5].gather(2, ids.expand(10, 5)[..., None])[..., 0]
        losses.append(((surprise * masks).sum(1) / masks.sum(1)).mean().item())
    assert abs(found.rest_losses.mean().item() - np.mean(losses)) < 5 * np.std(losses)


# A budget of time


def test_rates_and_stages_follow_the_larger_of_both_parts():
    stages = [{"type": "random", "max_masked_ratio": r / 2, "val_loss_stale_count": 5} for r in (1, 2)]
    plan = given(max_iters=1000, max_minutes=1, warmup_iters=10, min_lr=0.0, unmasking_stages=stages)
    assert [position(100, seconds, plan) for seconds in (0, 6, 30, 60)] == [100, 100, 500, 1000]
    assert position(100, 1e9, given()) == 100
    half = learning_rate(100, plan, position(100, 30, plan))
    assert half == learning_rate(500, plan) and learning_rate(100, plan, 1000) == 0
    assert learning_rate(5, plan, position(5, 59, plan)) == learning_rate(5, plan)  # still in the warm-up
    assert [stage_at(position(100, seconds, plan), plan.unmasking_stages, 1000) for seconds in (29, 31)] == [0, 1]


def test_a_training_ends_after_its_minutes_and_a_resume_keeps_what_was_spent(text, tmp_path, monkeypatch, capsys):
    """With a clock of its own: each look at it is half a second later, so a step takes that."""
    looks = itertools.count()
    monkeypatch.setattr("pipelines.diffusion.train.perf_counter", lambda: next(looks) * 0.5)
    plan = {"max_iters": 1000, "eval_interval": 1000, "final_evaluation": False, "warmup_iters": 2, "log_interval": 1,
            "decay_lr": True, "min_lr": 0.0}  # fmt: skip
    assert train_here(text, tmp_path, max_minutes=0.1, **plan) == 0
    first = rows_of(tmp_path)
    assert first[-1]["iter"] == 12 and first[-1]["max_iters"] == 12  # 6 s of 0.5 s each
    rates = [row["lr"] for row in first if "grad_norm" in row]
    assert rates[2:] == sorted(rates[2:], reverse=True) and rates[-1] < rates[2] / 10
    assert train_here(text, tmp_path, max_minutes=0.1, init_from="resume", **plan) == 0
    assert "nothing to do: already at max_iters (1000) or max_minutes (0.1)" in capsys.readouterr().out
    assert train_here(text, tmp_path, max_minutes=0.2, init_from="resume", **plan) == 0
    assert rows_of(tmp_path)[-1]["iter"] == 24
