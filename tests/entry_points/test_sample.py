"""sample.py as its users meet it: every sampler on a model trained here, what is printed, and each error."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import sample
from pipelines.diffusion.sampling.load import load_model
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import characters
from pipelines.diffusion.train import run as train
from pipelines.shared.errors import InputError
from runner.processes.ready import ready
from tests.conftest import PROJECT, signalled_at

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rain", "fell", "over", "every", "hill", "near"]
TINY = {
    "training_type": "elbo", "eval_interval": 30, "eval_iters": 1, "log_interval": 30, "batch_size": 8,
    "block_size": 32, "n_layer": 1, "n_head": 2, "n_embd": 32, "learning_rate": 1e-2, "warmup_iters": 5,
    "max_iters": 60, "decay_lr": False, "device": "cpu",
}  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Path:
    """A batch folder with one job, trained on a text of fifteen words."""
    folder = tmp_path_factory.mktemp("sampled")
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=8)) for _ in range(400)]
    characters.prepare_once(folder / "text", lambda: ("\n".join(lines), {"name": "test"}))
    job = folder / "batch" / "job"
    assert train(DiffusionSettings(**TINY, dataset=str(folder / "text"), out_dir=str(job))) == 0
    return folder / "batch"


@pytest.fixture(scope="module")
def checkpoint(batch) -> dict:
    return torch.load(batch / "job" / "ckpt_elbo_60.pt", weights_only=True)


def write(folder: Path, content: dict, name: str = "ckpt_elbo_60.pt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / name)
    return folder / name


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(PROJECT / "sample.py"), *map(str, arguments)]


def finish(*arguments: object, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False, **kwargs)


def texts(out: str) -> list[str]:
    """The samples of a plain output with several of them."""
    return [part.rstrip("\n") for part in re.split(r"^--- \d+ of \d+\n", out, flags=re.MULTILINE)[1:]]


@pytest.fixture
def draw(capsys):
    """sample.py in this process, for what does not depend on a new one."""

    def run(path: Path, *options: str, code: int = 0) -> tuple[str, str]:
        assert sample.main([str(path), *options]) == code
        return capsys.readouterr()

    return run


# What is drawn.

SAMPLERS = [
    ["--sampler=first_hitting"],
    ["--sampler=ancestral", "--steps=8"],
    ["--sampler=confidence", "--order=margin", "--temperature=0.5"],
    ["--sampler=remasking", "--schedule=rescale", "--eta=0.1", "--steps=20"],
]


@pytest.mark.parametrize("blocks", [[], ["--block_length=8"]])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_fills_the_masks_and_keeps_the_prompt(batch, draw, sampler, blocks):
    out, err = draw(batch, *sampler, *blocks, "--count=3", "--length=30", "--prompt=the cat", "--batch_size=2")
    found = texts(out)
    assert len(found) == 3 and all(len(text) <= 30 and text.startswith("the cat") for text in found)
    assert re.search(r"^3 samples in [\d.]+ m?s: \d+ network calls, [\d,]+ tokens per second$", err, re.MULTILINE)


def test_gaps_are_filled_and_the_rest_stays(batch, draw):
    out, _ = draw(batch, "--infill=the {3} sat on{20} hill", "--count=5")
    for text in texts(out):
        assert re.fullmatch(r"the (?s:.{3}) sat on(?s:.{20}) hill", text)


def test_a_text_longer_than_the_window_is_complete(batch, draw):
    out, _ = draw(batch, "--length=150", "--count=1", "--prompt=the")
    assert len(out) == 151 and out.startswith("the") and out.endswith("\n")


def test_the_same_seed_gives_the_same_text_and_another_gives_another(batch, draw):
    first, again, other = (draw(batch, f"--seed={seed}", "--count=2")[0] for seed in (1, 1, 2))
    assert first == again != other


def test_the_number_of_network_calls_is_the_number_of_steps(batch, draw):
    for options, calls in ((["--length=20"], 20), (["--length=20", "--steps=5"], 5), (["--infill=the {7}"], 7)):
        assert f": {calls} network calls," in draw(batch, "--count=2", *options)[1]


def test_a_model_of_byte_pairs_draws_as_well(tmp_path, draw):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{a} {b} näh.\n" for a in WORDS for b in WORDS))
    options = {"tokenizer": "bpe", "bpe_vocab_size": 280, "max_iters": 10, "eval_interval": 10}
    assert train(DiffusionSettings(**TINY | options, dataset=str(text), out_dir=str(tmp_path / "job"))) == 0
    out, _ = draw(tmp_path / "job", "--infill=the {3} sät{2}{{}}", "--count=2", "--quality")
    assert all(re.fullmatch(r"the (?s:.+) sät(?s:.+)\{\}", one) for one in texts(out.partition("\n\n   ")[0]))
    assert "known words" in out


def test_a_checkpoint_from_before_there_were_byte_pairs_is_read(checkpoint, tmp_path):
    old = {key: value for key, value in checkpoint.items() if key != "vocabulary"}
    path = write(tmp_path, {**old, "characters": checkpoint["vocabulary"]["characters"]})
    assert load_model(path, CPU).vocabulary.encode("the") == load_model(
        write(tmp_path, checkpoint), CPU
    ).vocabulary.encode("the")


# What is printed and written.


def test_in_a_pipe_stdout_holds_plain_text_alone_and_out_the_same_with_the_quality(batch, tmp_path):
    out = tmp_path / "samples.jsonl"
    done = finish(batch, "--count=2", "--quality", "--show", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr and "·" not in done.stdout
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["schema"] for row in rows] == [1, 1, 1] and [row.get("sample") for row in rows] == [1, 2, None]
    printed, _, numbers = done.stdout.partition("\n\n                ")
    assert texts(printed + "\n") == [row["text"].rstrip("\n") for row in rows[:2]]
    assert rows[0]["checkpoint"] == str(load_model(batch, CPU).path) and rows[0]["options"] == {"count": 2}
    summary = rows[2]
    assert summary["network_calls"] == 32 and summary["tokens_drawn"] == 64
    assert summary["quality_of_validation_text"]["known_words"] > 0.8  # cut words at the ends of pieces
    assert summary["quality_of_validation_text"]["nll"] < summary["quality"]["nll"]
    assert f"{summary['quality']['nll']:.3f}" in numbers


def test_in_a_terminal_the_unmasking_is_shown_step_by_step(batch):
    main, other = pty.openpty()
    child = subprocess.Popen(
        command(batch, "--count=1", "--prompt=the cat", "--steps=5", "--pause=0.01"),
        stdin=other, stdout=other, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(other)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and ready(main, 60):
        try:
            shown += os.read(main, 65536)
        except OSError:  # the other end was closed
            break
    os.close(main)
    errors = child.communicate(timeout=60)[1]
    assert child.returncode == 0, errors
    text = shown.decode()
    pictures = dict.fromkeys(re.findall(r"step (\d), (\d+) of 25 to draw", text))  # one may be painted twice
    assert list(pictures) == [("0", "25"), ("1", "20"), ("2", "15"), ("3", "10"), ("4", "5"), ("5", "0")]
    assert "·" in text and "\x1b[2m" in text
    final = text.rpartition("\x1b[2K")[2]
    assert "the cat" in final and "·" not in final


def test_rich_is_imported_for_a_terminal_only(batch):
    program = "import sys, sample; code = sample.main(sys.argv[1:]); sys.exit(code or 'rich' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", program, str(batch), "--count=1", "--length=5"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )


def test_ctrl_c_leaves_what_was_finished(batch, tmp_path):
    out = tmp_path / "samples.jsonl"
    child = subprocess.Popen(
        command(batch, "--count=100000", "--batch_size=1", f"--out={out}"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    rest, errors = signalled_at(child, "--- 4 of", signal.SIGINT)
    assert child.returncode == 130, errors
    finished = int(re.search(r"interrupted; (\d+) of 100000 samples finished", errors)[1])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == finished >= 3
    assert rest.count("--- ") in (finished - 4, finished - 3) and "Traceback" not in errors


def test_a_reader_that_has_seen_enough_is_no_failure(batch):
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(command(batch, '--count=300', '--batch_size=1'))} | head -n 1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "--- 1 of 300\n" and "Traceback" not in done.stderr


# Which checkpoint.


def test_the_best_of_a_job_and_the_best_job_of_a_batch_are_taken_and_named(checkpoint, tmp_path, draw):
    def content(loss: float, best: int) -> dict:
        return {**checkpoint, "state": {**checkpoint["state"], "best_val_loss": loss, "best_iteration": best}}

    for job, loss in (("a", 2.5), ("b", 2.0)):
        write(tmp_path / job, content(loss, 30), "ckpt_elbo_30.pt")
        os.utime(write(tmp_path / job, content(loss, 30)), (2e9, 2e9))
        (tmp_path / job / "ckpt_elbo_90.pt").write_bytes(b"half a file")
    _, err = draw(tmp_path, "--count=1")
    assert err.splitlines()[0] == (
        f"model: {tmp_path}/b/ckpt_elbo_30.pt (the lowest validation loss of 2 jobs, 2.0000)"
    )
    assert load_model(tmp_path / "a", CPU).path.name == "ckpt_elbo_30.pt"
    (tmp_path / "a" / "ckpt_elbo_30.pt").unlink()
    assert load_model(tmp_path / "a", CPU).path.name == "ckpt_elbo_60.pt"
    write(tmp_path / "c", {**checkpoint, "vocabulary": {"kind": "characters", "characters": ["a", "b"]}})
    with pytest.raises(InputError, match="name one: a, b, c"):
        load_model(tmp_path, CPU)


def test_the_latest_checkpoint_is_found_by_its_number(checkpoint, tmp_path):
    """A copy of a folder may give its files any times."""
    for iteration, loss in ((30, 2.5), (60, 2.0)):
        state = {**checkpoint["state"], "best_val_loss": loss, "best_iteration": iteration}
        path = write(tmp_path, {**checkpoint, "state": state}, f"ckpt_elbo_{iteration}.pt")
        os.utime(path, (3e9 - iteration, 3e9 - iteration))
    assert load_model(tmp_path, CPU).path.name == "ckpt_elbo_60.pt"


def test_averaged_weights_are_preferred(checkpoint, tmp_path):
    averaged = {name: tensor + 1 for name, tensor in checkpoint["model"].items() if name.endswith("weight")}
    model = load_model(write(tmp_path, {**checkpoint, "ema": averaged}), CPU).model
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in model.state_dict().items())


def corrector_of(checkpoint: dict, kind: str, *, finds: float, block_size: int = 32) -> dict:
    """An error-detection model whose head reports an error with a logit that is the same everywhere."""
    classes = len(checkpoint["vocabulary"]["characters"]) + 1 if kind == "remasking" else 2
    head = torch.zeros(classes, checkpoint["shape"]["n_embd"])
    bias = torch.zeros(classes)
    bias[-1] = finds
    biases = {name: torch.zeros(len(tensor)) for name, tensor in checkpoint["model"].items()
              if name.endswith(("qkv.weight", "out.weight", "up.weight"))}  # fmt: skip
    model = {**checkpoint["model"], **{name.replace("weight", "bias"): tensor for name, tensor in biases.items()}}
    return {
        **checkpoint,
        "model": {**model, "head.weight": head, "head.bias": bias},
        "shape": {**checkpoint["shape"], "tokens_out": classes, "bias": True, "block_size": block_size},
        "settings": {**checkpoint["settings"], "training_type": kind},
    }


@pytest.mark.parametrize("kind", ["remasking", "remasking_binary"])
def test_found_errors_are_drawn_again(batch, checkpoint, tmp_path, draw, kind):
    for name, finds in (("content", -9.0), ("never", 9.0)):
        write(tmp_path / name, corrector_of(checkpoint, kind, finds=finds), f"ckpt_{kind}_5.pt")
    options = ["--count=2", "--prompt=the", "--steps=4"]
    plain, _ = draw(batch, *options)
    same, err = draw(batch, *options, f"--corrector={tmp_path / 'content'}")
    assert same == plain and ": 5 network calls" in err  # 4 steps, and one look
    other, err = draw(batch, *options, f"--corrector={tmp_path / 'never'}", "--corrector_rounds=3")
    assert other != plain and ": 19 network calls" in err and all(text.startswith("the") for text in texts(other))


@pytest.mark.parametrize("kind", ["remasking", "remasking_binary"])
def test_an_error_detection_model_trained_here_can_be_used(batch, tmp_path, draw, kind):
    options = {"training_type": kind, "max_iters": 10, "eval_interval": 10, "dataset": str(batch.parent / "text")}
    assert train(DiffusionSettings(**TINY | options, out_dir=str(tmp_path))) == 0
    out, err = draw(batch, "--count=2", f"--corrector={tmp_path}", "--wrong_above=0.01", "--corrector_rounds=1")
    assert len(texts(out)) == 2 and f"corrector: {tmp_path}/ckpt_{kind}_10.pt" in err


# Errors.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sampler=confidnce"], "did you mean 'confidence'?"),
        (["--temprature=1"], "--temprature: unknown key; did you mean --temperature?"),
        (["--frobnicate=1"], "python sample.py --help lists the keys"),
        (["--steps=0"], "--steps must be greater than or equal to 1, not 0"),
        (["--top-p=1.5"], "--top_p must be less than or equal to 1"),
        (["--temperature=-1"], "--temperature must be greater than or equal to 0"),
        (["--count=many"], "--count must be a whole number, not 'many'"),
        (["--infill=To be {x}"], "a lone '{' at character 7"),
        (["--infill=To be"], "no gap to fill"),
        (["--infill={3}", "--prompt=a"], "leave out prompt"),
        (["--order=margin"], "order is read by --sampler=confidence only, not by first_hitting"),
        (["--corrector_rounds=2"], "name one by --corrector=PATH"),
        (["--dataset=pydoc_char"], "add --quality"),
        (["--out=samples.txt"], "out is a .jsonl file"),
        (["--out=/nowhere/samples.jsonl"], "there is no folder /nowhere"),
        (["--device=gpu"], "did you mean 'cuda'?"),
        (["--steps"], "--steps: has no value"),
        (["another"], "one model at a time"),
    ],
)
def test_an_error_in_the_command_is_one_sentence(tmp_path, draw, options, message):
    out, err = draw(tmp_path, *options, code=2)
    assert out == "" and message in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt=Zebra é"], "'Z' is not among the"),
        (["--prompt=the cat", "--length=7"], "raise --length"),
        (["--quality", "--dataset=nowhere"], "nowhere"),
    ],
)
def test_an_error_about_the_model_is_one_sentence_as_well(batch, draw, options, message):
    _, err = draw(batch, *options, code=2)
    assert message in err.splitlines()[-1] and len(err.splitlines()) == 2


def test_an_unsuitable_checkpoint_is_reported(batch, checkpoint, tmp_path, draw):
    job = batch / "job"
    (tmp_path / "ckpt_elbo_1.pt").write_bytes(b"half a file")
    without = write(tmp_path / "without", {key: checkpoint[key] for key in ("shape", "model")})
    newer = write(tmp_path / "newer", {**checkpoint, "schema": 99})
    changed = write(tmp_path / "changed", {**checkpoint, "shape": {**checkpoint["shape"], "n_layer": 2}})
    narrow = write(tmp_path / "narrow", corrector_of(checkpoint, "remasking", finds=0, block_size=16))
    other = write(
        tmp_path / "other",
        {**corrector_of(checkpoint, "remasking", finds=0), "vocabulary": {"kind": "characters", "characters": ["x"]}},
    )
    for path, options, message in (
        (tmp_path / "ckpt_elbo_1.pt", [], "cannot be read"),
        (without, [], "it does not have settings, state, vocabulary"),
        (newer, [], "newer version"),
        (changed, [], "does not fit this version's network"),
        (narrow, [], "training_type 'remasking'; here one that predicts characters is needed"),
        (job, [f"--corrector={job}"], "has no checkpoint of a corrector"),
        (job, [f"--corrector={job / 'ckpt_elbo_60.pt'}"], "here one of remasking, remasking_binary is needed"),
        (job, [f"--corrector={narrow}"], "reads 16 characters at a time, the model 32"),
        (job, [f"--corrector={other}"], "another vocabulary"),
    ):
        _, err = draw(path, *options, code=2)
        assert message in err.splitlines()[-1] and err.splitlines()[-1].startswith("error: "), err


def test_a_job_folder_serves_while_its_dataset_is_gone(batch, tmp_path, draw):
    shutil.copytree(batch / "job", tmp_path / "job")
    content = torch.load(tmp_path / "job" / "ckpt_elbo_60.pt", weights_only=True)
    content["settings"]["dataset"] = str(tmp_path / "gone")
    write(tmp_path / "job", content)
    draw(tmp_path / "job" / "ckpt_elbo_60.pt", "--count=1")
    _, err = draw(tmp_path / "job" / "ckpt_elbo_60.pt", "--count=1", "--quality", code=2)
    assert "gone" in err.splitlines()[-1]
