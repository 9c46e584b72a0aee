"""Every option of sample.py, with its default, its limits and its explanation. Never imports torch or numpy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.diffusion.sampling import infill_template
from pipelines.shared.settings_types import Device, NonNegativeFloat, NonNegativeInt, PositiveInt, Seed

MOST_TOKENS = 2**20  # of one sample; more take gigabytes
# Options of one sampler.
READ_BY = {"order": "confidence", "schedule": "remasking", "eta": "remasking", "remask": "remasking"}
# Not read for an autoregressive model, which draws from left to right.
OF_MASKED_MODELS = frozenset({"sampler", "steps", "block_length", *READ_BY, "corrector"})
OF_WHOLE_WINDOWS = frozenset({"block_length", "corrector"})  # not read for a model of block diffusion


class SampleSettings(BaseModel):
    """How texts are drawn from a trained model."""

    PROGRAM: ClassVar[str] = "sample.py"
    model_config = ConfigDict(extra="forbid", frozen=True)

    # The text.
    prompt: str = Field("", description="text that each sample begins with")
    infill: str = Field(
        "", description="text with gaps: {12} is a gap of twelve characters, {{ and }} are the braces themselves"
    )
    length: Annotated[PositiveInt, Field(le=MOST_TOKENS)] | None = Field(
        None, description="characters of a sample, prompt included; none: the window of the model"
    )
    count: PositiveInt = Field(4, description="how many samples")
    batch_size: PositiveInt = Field(32, description="samples drawn at the same time")
    seed: Seed = Field(1337, description="the same seed and options give the same samples, for any batch_size")

    # The sampler.
    sampler: Literal["ancestral", "first_hitting", "confidence", "remasking"] = Field(
        "first_hitting", description="see docs/sampling.md"
    )
    steps: PositiveInt | None = Field(None, description="steps of a full sample; none: one for each character")
    temperature: NonNegativeFloat = Field(1.0, description="below 1 safer, 0 always the likeliest character")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="only the likeliest characters that have this probability together"
    )
    top_k: NonNegativeInt = Field(0, description="only this many of the likeliest characters; 0: all")
    block_length: PositiveInt | None = Field(
        None, description="blocks of this many characters from left to right; none: the full window at once"
    )
    order: Literal["probability", "margin", "entropy"] = Field(
        "probability", description="sampler confidence: the measure of confidence"
    )
    schedule: Literal["cap", "rescale"] = Field("cap", description="sampler remasking: how eta limits masking again")
    eta: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="sampler remasking: the probability that a character is masked again"
    )
    remask: Literal["chance", "confidence"] = Field(
        "chance", description="sampler remasking: any character, or rather those that were unlikely"
    )
    corrector: str = Field("", description="an error-detection model; the characters that it finds are drawn again")
    corrector_rounds: NonNegativeInt = Field(4, description="the largest number of passes of the corrector")
    wrong_above: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="a character is wrong when the corrector gives that more than this probability"
    )

    # The output.
    show: bool = Field(True, description="show the unmasking step by step; in a terminal only")
    pause: NonNegativeFloat = Field(0.0, description="seconds to pause after each step that is shown")
    out: str = Field("", description="write the samples into this .jsonl file too")
    quality: bool = Field(False, description="measure the samples against the training text")
    perplexity: str = Field(
        "", description="a model, or GPT-2 in a folder, that measures the samples"
    )
    dataset: str = Field("", description="the text for quality; empty: the one that the model was trained on")

    # The machine.
    device: Device = Field("auto", description="auto, cuda, cuda:1, mps or cpu")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "float32", description="of the network's computations"
    )

    @model_validator(mode="after")
    def _infill_is_valid(self) -> SampleSettings:
        if not self.infill:
            return self
        try:
            parts = infill_template.parse(self.infill)
        except ValueError as error:
            raise ValueError(f"infill has {error}") from None
        gaps = infill_template.gaps(parts)
        if gaps > MOST_TOKENS:
            raise ValueError(f"infill has {gaps:,} characters to fill; at most {MOST_TOKENS:,} can be")
        if not gaps:
            raise ValueError("infill has no gap to fill; write one as {12}")
        for other in ("prompt", "length"):
            if getattr(self, other):
                raise ValueError(f"infill sets the full text, so leave out {other}")
        return self

    @model_validator(mode="after")
    def _options_are_read(self) -> SampleSettings:
        for key, sampler in READ_BY.items():
            if key in self.model_fields_set and self.sampler != sampler:
                raise ValueError(f"{key} is read by --sampler={sampler} only, not by {self.sampler}")
        for key in ("corrector_rounds", "wrong_above"):
            if key in self.model_fields_set and not self.corrector:
                raise ValueError(f"{key} is read with a corrector only; name one by --corrector=PATH")
        if self.dataset and not self.quality:
            raise ValueError("dataset is read for the quality only; add --quality")
        return self

    @model_validator(mode="after")
    def _out_can_be_written(self) -> SampleSettings:
        if self.out:
            path = Path(self.out)
            if path.suffix != ".jsonl":
                raise ValueError(f"out is a .jsonl file, not '{path.name}'")
            if not path.parent.is_dir():
                raise ValueError(f"out: there is no folder {path.parent}; make it first")
            if path.is_dir() or not os.access(path.parent, os.W_OK):
                raise ValueError(f"out: {path} cannot be written; name another file")
        return self


def described() -> str:
    """The options for --help: name, default, what it does."""
    rows = [(f"--{key}={_written(field.default)}", field) for key, field in SampleSettings.model_fields.items()]
    return "\n".join(f"  {option:<26} {field.description}" for option, field in rows)


def _written(default: object) -> str:
    return str(default).lower() if default is None or isinstance(default, bool) else str(default)
