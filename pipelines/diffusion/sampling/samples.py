"""Draw samples from a trained model: load it, draw, print, write."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from model import sampling
from pipelines.diffusion.evaluation import quality
from pipelines.diffusion.evaluation.perplexity import perplexity
from pipelines.diffusion.sampling import infill_template
from pipelines.diffusion.sampling.gpt2 import is_gpt2, load_gpt2
from pipelines.diffusion.sampling.load import TrainedModel, load_model
from pipelines.diffusion.sampling.options import MOST_TOKENS, SampleSettings
from pipelines.diffusion.sampling.samplers import (
    CountingNetwork,
    draw_of,
    predict_of,
    require_options_that_are_read,
    sampler_of,
)
from pipelines.diffusion.text.open import open_dataset
from pipelines.shared import devices
from pipelines.shared.errors import InputError
from runner.core.text import count, duration, plain_lines
from runner.disk import atomic


@dataclass
class Samples:
    """The finished texts. All of them are written again after each batch, so that the file is always complete."""

    path: Path | None
    source: Mapping[str, object]
    texts: list[str] = field(default_factory=list)

    def add(self, texts: list[str]) -> None:
        self.texts += texts
        self.write()

    def write(self, **summary: object) -> None:
        if self.path is None:
            return
        rows = [
            {"schema": 1, "sample": number, "text": text, **self.source} for number, text in enumerate(self.texts, 1)
        ]
        rows += [{"schema": 1, **summary}] if summary else []
        try:
            atomic.write_bytes(self.path, "".join(json.dumps(row) + "\n" for row in rows).encode())
        except OSError as error:
            raise InputError(f"cannot write --out={self.path}: {error.strerror}") from error


def run(path: Path, settings: SampleSettings) -> int:
    """Draw, and return the exit code: 0 done, 130 after Ctrl+C, with what was finished printed and written."""
    device = devices.choose_device(settings.device)
    model = load_and_report(path, device)
    corrector = load_and_report(Path(settings.corrector), device, of=model) if settings.corrector else None
    require_options_that_are_read(settings, model)
    start = initial_ids(settings, model).to(device)  # (T,)
    quality_report = QualityReport(settings, model) if settings.quality else None
    scorer = load_scorer(Path(settings.perplexity), device) if settings.perplexity else None
    networks = [
        CountingNetwork(predict, partial(devices.autocast, device, devices.choose_dtype(settings.dtype, device)))
        for predict in (predict_of(model), *((corrector.wrong,) if corrector else ()))
    ]
    to_draw = int((start == model.mask_id).sum())
    options = settings.model_dump(mode="json", include=settings.model_fields_set - {"out", "show", "pause", "quality"})
    source = {"checkpoint": str(model.path), "options": options}
    samples = Samples(Path(settings.out) if settings.out else None, source)
    show = live_view_of(settings, model)

    began = time.monotonic()
    try:
        for rows in batches(settings.count, settings.batch_size):
            ids = start.expand(rows, -1).clone()
            draw = draw_of(settings, device, range(len(samples.texts), len(samples.texts) + rows))
            sampler = sampler_of(settings, model, networks, draw, to_draw)
            steps = show(sampler(networks[0], ids, ids == model.mask_id), ids)
            texts = [model.vocabulary.decode(row) for row in deque(steps, maxlen=1).pop().tolist()]
            write(texts, len(samples.texts), settings.count)
            samples.add(texts)
    except KeyboardInterrupt:
        samples.write()  # the signal may have come while they were written
        print_to_stderr(f"interrupted; {len(samples.texts)} of {count(settings.count, 'sample')} finished")
        return 130
    seconds = time.monotonic() - began
    calls = sum(network.calls for network in networks)
    drawn_tokens = settings.count * to_draw
    print_to_stderr(f"{count(settings.count, 'sample')} in {duration(seconds)}: {count(calls, 'network call')},"
        f" {drawn_tokens / seconds:,.0f} tokens per second")  # fmt: skip
    summary: dict[str, object] = {"seconds": round(seconds, 3), "network_calls": calls, "tokens_drawn": drawn_tokens}
    if quality_report:
        summary |= quality_report(samples.texts)
    if scorer:
        found = perplexity(samples.texts, scorer, device)
        print(f"\n{found.summary()}", flush=True)
        summary["perplexity"] = asdict(found)
    samples.write(**summary)
    return 0


def load_scorer(path: Path, device: torch.device) -> TrainedModel:
    """The model that measures samples: one of ours, or GPT-2 from local files."""
    return load_gpt2(path, device) if is_gpt2(path) else load_and_report(path, device)


def load_and_report(path: Path, device: torch.device, of: TrainedModel | None = None) -> TrainedModel:
    """The model at `path`, or the corrector `of` a model, which must fit that one. Prints which file was chosen."""
    found = load_model(path, device, corrector=of is not None)
    print_to_stderr(f"{'corrector' if of else 'model'}: {found.path}{f' ({found.why})' if found.why else ''}")
    if of and found.vocabulary != of.vocabulary:
        raise InputError(f"the corrector {found.path} has another vocabulary than the model {of.path}")
    if of and found.block_size < of.block_size:
        raise InputError(
            f"the corrector {found.path} reads {found.block_size} characters at a time, the model {of.block_size};"
            " use one with the same block_size"
        )
    return found


def initial_ids(settings: SampleSettings, model: TrainedModel) -> Tensor:  # -> (T,)
    """The ids before the first step: the given characters, and masks for the rest."""
    parts = infill_template.parse(settings.infill) if settings.infill else [settings.prompt]
    ids: list[int] = []
    for part in parts:
        ids += model.vocabulary.encode(part) if isinstance(part, str) else [model.mask_id] * part.length
    if not settings.infill:
        length = settings.length or model.block_size
        if length <= len(ids):
            raise InputError(f"the prompt takes {len(ids)} of {length} characters, so none is left; raise --length")
        ids += [model.mask_id] * (length - len(ids))
    if len(ids) > MOST_TOKENS:
        raise InputError(f"a sample of {len(ids):,} tokens is too long; at most {MOST_TOKENS:,} can be drawn at once")
    return torch.tensor(ids)


class QualityReport:
    """Measures samples against the text that the model was trained on."""

    def __init__(self, settings: SampleSettings, model: TrainedModel) -> None:
        trained = model.settings
        own = (trained.get("tokenizer", "auto"), trained.get("bpe_vocab_size", 512))
        text = open_dataset(settings.dataset) if settings.dataset else open_dataset(trained["dataset"], *own)
        if not settings.dataset and model.text_sha256 not in (None, text.sha256):
            print_to_stderr(
                f"warning: the text of '{text.name}' has changed since {model.path} was trained, so the samples are"
                " measured against another text than that of the training; --dataset names one"
            )
        most = quality.MOST_CHARACTERS
        train, self._val = (text.vocabulary.decode(part[:most].tolist()) for part in (text.train, text.val))
        self._quality = quality.Quality(train)

    def __call__(self, texts: list[str]) -> dict[str, object]:
        """Print the table, and return its numbers."""
        measured, reference = self._quality.of(texts), self._quality.reference(self._val, texts)
        print("\n" + quality.table(measured, reference), flush=True)
        return {"quality": asdict(measured), "quality_of_validation_text": asdict(reference)}


def batches(total: int, most: int) -> Iterator[int]:
    for done in range(0, total, most):
        yield min(most, total - done)


def live_view_of(
    settings: SampleSettings, model: TrainedModel
) -> Callable[[sampling.Decoding, Tensor], sampling.Decoding]:
    """What passes the steps of a sampler on, given the initial ids: with a live view in a terminal."""
    if settings.show and sys.stdout.isatty():
        from pipelines.diffusion.sampling import live_view  # imports rich, which nothing else here needs

        if console := live_view.terminal():
            return partial(live_view.shown_live, vocabulary=model.vocabulary, console=console, pause=settings.pause)
    return lambda steps, start: steps


def write(texts: list[str], before: int, total: int) -> None:
    """Print finished samples, with a line before each if there are several."""
    for number, text in enumerate(texts, before + 1):
        if sys.stdout.isatty():
            text = plain_lines(text)  # without control characters
        print(f"--- {number} of {total}\n{text}" if total > 1 else text, flush=True)


def print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
