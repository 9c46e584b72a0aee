"""Every key that an llc config may set, with its default and its limits. Never imports torch or numpy."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.shared.settings_types import Device, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Seed

SamplerName = Literal["sgld", "hmc", "mala"]
Fraction = Annotated[float, Field(gt=0, lt=1)]

MAX_SIZE_ERROR = 0.25  # of the size of the network, relative to target_params


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Section):
    """The regression data: y = teacher(x) + noise, x standard normal."""

    n_data: Annotated[int, Field(ge=2)] = 100  # beta = 1 / log n needs two
    inputs: PositiveInt = 3
    outputs: PositiveInt = 5
    noise: PositiveFloat = 0.5  # standard deviation of the noise, which is part of the loss


class ModelSettings(Section):
    """The student, whose parameters are trained and then sampled, and the teacher that generates the data."""

    kind: Literal["mlp", "linear"] = "mlp"  # linear: products of matrices without biases (reduced-rank regression)
    target_params: PositiveInt = 50  # approximately: hidden layers get the width that comes nearest
    hidden_layers: PositiveInt = 1
    teacher_width: PositiveInt = 2  # fewer than the student has: its minimum is then singular

    # Of decay/2 |w|^2, a part of the loss. Without it a superfluous tanh unit that fits the noise grows without limit,
    # and there is no minimum to sample around. It hardly affects the estimate while n * beta * decay << gamma.
    decay: NonNegativeFloat = 1e-3

    # How the minimum w0 is found: full-batch Adam, then L-BFGS until no entry of the gradient exceeds `gradient`, then
    # a few steps of Newton's method where there are at most 1000 parameters.
    adam_steps: NonNegativeInt = 500
    adam_lr: PositiveFloat = 1e-2
    lbfgs_steps: NonNegativeInt = 1000
    gradient: PositiveFloat = 1e-6


class SgldSettings(Section):
    """Stochastic gradient Langevin dynamics without correction: a small step keeps its bias small."""

    warmup: PositiveInt = 100  # draws that adapt the step and are discarded
    draws: PositiveInt = 500  # kept, of each chain
    steps_per_draw: PositiveInt = 10
    batch_size: PositiveInt = 50  # n_data or more: the full batch
    step_size: PositiveFloat | None = None  # none: adapted, so that
    bias: Fraction = 0.05  # is about the relative error of the variance in the stiffest direction


class HmcSettings(Section):
    """Hamiltonian Monte Carlo with a fixed number of leapfrog steps."""

    warmup: PositiveInt = 100
    draws: PositiveInt = 500
    leapfrog_steps: PositiveInt = 10
    step_size: PositiveFloat | None = None  # none: adapted, so that
    acceptance: Fraction = 0.8  # is the fraction of accepted moves


class MalaSettings(Section):
    """The Metropolis-adjusted Langevin algorithm."""

    warmup: PositiveInt = 100
    draws: PositiveInt = 500
    steps_per_draw: PositiveInt = 10
    step_size: PositiveFloat | None = None
    acceptance: Fraction = 0.574  # optimal in many dimensions (Roberts and Rosenthal 1998)


class SamplerSettings(Section):
    """The tempered posterior around w0, and its samplers."""

    names: list[SamplerName] = ["sgld", "hmc", "mala"]
    chains: PositiveInt = 8
    gamma: PositiveFloat = 10.0  # of the localisation gamma/2 |w - w0|^2
    beta: PositiveFloat | None = None  # inverse temperature; none: 1 / log n_data
    spread: NonNegativeFloat = 1.0  # chains start at w0 + spread * N(0, 1 / gamma); 0: all of them at w0
    sgld: SgldSettings = SgldSettings()
    hmc: HmcSettings = HmcSettings()
    mala: MalaSettings = MalaSettings()

    @model_validator(mode="after")
    def _each_sampler_once(self) -> SamplerSettings:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"names must have at least one sampler, and each of them once, not {self.names}")
        return self


class LlcSettings(BaseModel):
    """The settings of one estimate of the local learning coefficient."""

    model_config = ConfigDict(extra="forbid")

    # Which kind of job this is; the runner reads nothing else of it.
    pipeline: Literal["llc"] = "llc"

    out_dir: str = "out"  # where it writes
    seed: Seed = 0  # of the data, the network's first weights and the chains
    device: Device = "auto"  # auto, cuda, cuda:1 or cpu; samplers need float64, which mps does not have
    plots: bool = True  # plot the chains of each sampler
    log_seconds: NonNegativeFloat = 5.0  # between two lines about the progress of a sampler

    # Sections: a key of one is given as in --data.n_data=200 or --sampler.sgld.draws=1000. The regression data; the
    # student and the teacher; the tempered posterior and its samplers.
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    sampler: SamplerSettings = SamplerSettings()

    # Weights & Biases, beside metrics.jsonl, which is always written. An empty run name: wandb chooses.
    wandb_log: bool = False
    wandb_project: str = "experiments_llc"
    wandb_run_name: str = ""

    @model_validator(mode="after")
    def _a_network_of_about_this_size_exists(self) -> LlcSettings:
        requested, found = (
            self.model.target_params,
            parameter_count(layer_sizes(self.model, self.data), self.model.kind),
        )
        if abs(found - requested) > MAX_SIZE_ERROR * requested:
            raise ValueError(
                f"model.target_params ({requested}): no {self.model.kind} with {self.data.inputs} inputs,"
                f" {self.data.outputs} outputs and {self.model.hidden_layers} hidden layers is nearer than {found}"
            )
        return self


def beta(settings: LlcSettings) -> float:
    """The inverse temperature: 1 / log n unless the config has another (Watanabe 2013, "A widely applicable
    Bayesian information criterion", equation 9)."""
    return settings.sampler.beta or 1.0 / math.log(settings.data.n_data)


def layer_sizes(model: ModelSettings, data: DataSettings) -> tuple[int, ...]:
    """Inputs, hidden widths, outputs: of all networks with equal hidden layers the one nearest to target_params."""

    def sizes(width: int) -> tuple[int, ...]:
        return (data.inputs, *[width] * model.hidden_layers, data.outputs)

    def distance(width: int) -> int:
        return abs(parameter_count(sizes(width), model.kind) - model.target_params)

    width = 1
    while distance(width + 1) < distance(width):
        width += 1
    return sizes(width)


def parameter_count(sizes: tuple[int, ...], kind: str) -> int:
    biases = 1 if kind == "mlp" else 0
    return sum((before + biases) * after for before, after in pairwise(sizes))
