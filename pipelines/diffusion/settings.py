"""Every key that a diffusion config may set, with its default and its limits. Never imports torch or numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipelines.diffusion.stages import Probability, RandomStage, Ratio, Stage
from pipelines.diffusion.text.tokenization import Tokenization
from pipelines.shared.settings_types import (
    DATA,
    Device,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    dataset_meta,
    dataset_of,
    unprepared_by_script,
)

# The number of tokens while the text is not known: enough for most alphabets, and all tokens of GPT-2.
ALPHABET = 128
GPT2 = 50_256


def three_weights(weights: list[float]) -> list[float]:
    if len(weights) != 3:
        raise ValueError(f"{weights} must have 3 numbers: for random, sticky and fragment")
    if not 0 < sum(weights) < math.inf:
        raise ValueError(f"{weights} must have a finite sum above 0")
    return weights


def start_of(init_from: str) -> str:
    if init_from not in ("scratch", "resume") and not Path(init_from).expanduser().exists():
        raise ValueError(f"'{init_from}' is neither scratch nor resume, nor the path of a checkpoint or of its folder")
    return init_from


Weights = Annotated[list[NonNegativeFloat], AfterValidator(three_weights)]


class DiffusionSettings(BaseModel):
    """The settings of one masked-diffusion training."""

    model_config = ConfigDict(extra="forbid")

    # Which kind of job this is; the runner reads nothing else of it.
    pipeline: Literal["diffusion"] = "diffusion"

    # Where it writes, and whether it starts from scratch, continues from the latest checkpoint there ('resume'), or
    # starts a new training from the weights of another one: the path of a checkpoint, or of a job's or batch's folder.
    # The text is then encoded with the vocabulary of that model.
    out_dir: str = "out"
    init_from: Annotated[str, AfterValidator(start_of)] = "scratch"

    # Evaluation and logging: intervals in iterations, eval_iters in validation windows per mask-ratio bin (ten bins).
    eval_interval: PositiveInt = 250
    eval_iters: PositiveInt = 20
    log_interval: PositiveInt = 10
    eval_only: bool = False  # evaluate once and end, without a checkpoint
    # At the end (and with eval_only): every window of the validation text in every bin, with its standard error.
    final_evaluation: bool = True

    # Checkpoints: at evaluations that improve the validation loss (or at all of them), and always at the end.
    always_save_checkpoint: bool = False
    keep_last: PositiveInt = 2  # the latest ones that are kept, beside the best

    # Weights & Biases, beside metrics.jsonl, which is always written. An empty run name: wandb chooses.
    wandb_log: bool = False
    wandb_project: str = "experiments_diffusion"
    wandb_run_name: str = ""
    tensorboard_log: bool = False  # event files in out_dir/tensorboard
    profile: bool = False  # a trace of a few steps as out_dir/profile.json, for chrome://tracing or Perfetto

    # The text: a folder under data/, any folder with train.bin, val.bin and meta.json, or any UTF-8 text file.
    dataset: Annotated[str, dataset_of("characters", "byte_pairs", files=True)] = "shakespeare_char"
    # Its tokens. 'auto': those of the folder, characters of a file; 'gpt2': GPT-2's byte pairs; 'bpe': byte pairs that
    # are learned from the training text, bpe_vocab_size of them with the 256 bytes.
    tokenizer: Literal["auto", "characters", "gpt2", "bpe"] = "auto"
    bpe_vocab_size: Annotated[int, Field(ge=256, le=2**18)] = 512
    use_paragraph_boundaries: bool = False  # windows begin where paragraphs begin, not anywhere
    # 'elbo' and 'ar', for fine-tuning: only what follows this text, up to the next empty line, is masked and learned,
    # such as 'Answer:'. Windows begin after empty lines. Empty: all of the text.
    answer_marker: str = ""

    # The objective: 'unmasking' goes through the stages below, 'elbo' draws every mask ratio from the start;
    # 'remasking' and 'remasking_binary' detect wrong characters, with one class per character and one for "wrong", or
    # with two classes; 'ar' predicts the next token from those before, without masks: the baseline;
    # 'block' is autoregressive over blocks of block_length tokens and draws every mask ratio within each.
    training_type: Literal["unmasking", "elbo", "block", "ar", "remasking", "remasking_binary"] = "unmasking"
    unmasking_stages: list[Stage] = Field(
        default_factory=lambda: [RandomStage(type="random", max_masked_ratio=1.0, val_loss_stale_count=10)]
    )
    # When the next stage begins: 'stale' after val_loss_stale_count evaluations without improvement, 'fixed' once the
    # stages before have had their share of max_iters, so that the last one is always reached.
    stage_schedule: Literal["stale", "fixed"] = "stale"
    min_improvement: NonNegativeFloat = 0.0  # an evaluation counts as better only when the loss falls by more (nats)
    max_loss_weight: NonNegativeFloat = 0.0  # 'elbo': the largest weight L/l of a row in training; 0: no limit

    # The remasking types only: how each row of a batch is corrupted before the network reads it.
    # 'random': anywhere; 'sticky': in runs; 'fragment': runs of text from elsewhere; 'mixed': each row one of them.
    corruption_type: Literal["random", "sticky", "fragment", "mixed"] = "mixed"
    max_corruption_ratio: Ratio = 0.5  # each row replaces a fraction between 0 and this
    corruption_replacement: Literal["unigram", "uniform"] = "unigram"  # by frequency in the text, or uniform
    # Runs grow in rounds, as those of sticky stages: p1 where no neighbour is chosen yet, p2 beside a chosen one.
    corruption_p1_probability: Probability = 0.01
    corruption_p2_probability: Probability = 0.9
    # 'mixed' only: weights of random, sticky and fragment rows. Only the proportions matter.
    corruption_weights: Weights = Field(default_factory=lambda: [1.0, 1.0, 1.0])

    # 'block' only: a window has block_size / block_length blocks. 1 is autoregressive, block_size is 'elbo'.
    block_length: PositiveInt = 16

    # One iteration sees gradient_accumulation_steps * batch_size windows of block_size tokens.
    gradient_accumulation_steps: PositiveInt = 1
    batch_size: PositiveInt = 16
    block_size: Annotated[int, Field(ge=2)] = 1024

    # The network.
    n_layer: PositiveInt = 6
    n_head: PositiveInt = 6
    n_embd: PositiveInt = 384
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    bias: bool = False  # in the linear layers
    attention_type: Literal["bidirectional", "causal"] = "bidirectional"  # 'ar' is always causal
    use_rope: bool = True  # rotary positions; False: learned ones
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    mlp: Literal["relu2", "swiglu", "gelu"] = "relu2"  # squared ReLU, SwiGLU, GELU
    qk_norm: bool = True  # queries and keys are normalised
    # The width of a convolution over positions before attention and feed-forward, the position included; 0: none.
    conv_width: Annotated[int, Field(ge=0, le=31)] = 0

    # The learning rate: linear warm-up, then constant, or a decay to min_lr, which it reaches at lr_decay_iters;
    # 'auto': at the end of the training.
    learning_rate: PositiveFloat = 1e-3
    max_iters: PositiveInt = 5000
    # Minutes of training, without evaluations, checkpoints and the compiler; 0: no limit. Decay and 'fixed' stages then
    # follow the part of max_minutes or of max_iters that has passed, whichever is larger, so a recipe can have a high
    # max_iters and ends at its lowest rate after max_minutes on any machine. A resumed training keeps what was spent.
    max_minutes: NonNegativeFloat = 0.0
    warmup_iters: NonNegativeInt = 100
    decay_lr: bool = True
    # 'wsd' (warm-up, stable, decay) is constant until half of the way from warm-up to end, then linear.
    decay: Literal["cosine", "linear", "wsd"] = "cosine"
    lr_decay_iters: Literal["auto"] | PositiveInt = "auto"
    min_lr: NonNegativeFloat = 1e-4

    # The optimizer: AdamW, or Muon for the matrices of the blocks and AdamW for the rest. Both rates follow the
    # schedule above; muon_learning_rate is the rate of the matrices where learning_rate is that of the rest.
    optimizer: Literal["adamw", "muon"] = "adamw"
    muon_learning_rate: PositiveFloat = 0.02
    muon_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    weight_decay: NonNegativeFloat = 1e-1
    grad_clip: NonNegativeFloat = 1.0  # the largest norm of the gradient; 0 switches clipping off
    # Evaluate and keep a moving average of the weights too, of about 1 / (1 - ema_decay) steps; 0: none.
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0

    # The machine: 'auto' takes cuda, then mps, then cpu; bfloat16 where a GPU has it, and where a
    # processor has it (AMX, AVX-512 BF16) and the model is compiled; otherwise float32 on a processor.
    device: Device = "auto"  # auto, cuda, cuda:1, mps, cpu
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    # torch.compile; 'auto': on a GPU. It takes up to a minute at the start, which pays off in long trainings.
    compile: Literal["auto"] | bool = "auto"
    cuda_graphs: bool = False  # with compile, on a GPU: replays passes and updates; for networks that are small
    seed: Seed = 1337

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> DiffusionSettings:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd ({self.n_embd}) must be divisible by n_head ({self.n_head})")
        if self.use_rope and (self.n_embd // self.n_head) % 2:
            raise ValueError(
                f"rotary positions need an even head size, and n_embd / n_head is {self.n_embd // self.n_head}"
            )
        return self

    @model_validator(mode="after")
    def _convolution_is_symmetric(self) -> DiffusionSettings:
        if self.conv_width and self.conv_width % 2 == 0:
            raise ValueError(f"conv_width ({self.conv_width}) must be odd, or 0")
        return self

    @model_validator(mode="after")
    def _blocks_divide_the_window(self) -> DiffusionSettings:
        if self.training_type == "block" and self.block_size % self.block_length:
            raise ValueError(f"block_size ({self.block_size}) must be divisible by block_length ({self.block_length})")
        if self.training_type == "block" and self.conv_width:
            raise ValueError("training_type 'block' needs conv_width = 0: a convolution would see the next block")
        return self

    @model_validator(mode="after")
    def _answers_have_an_objective(self) -> DiffusionSettings:
        if self.answer_marker and self.training_type not in ("elbo", "ar"):
            raise ValueError(f"answer_marker is for training_type 'elbo' or 'ar', not '{self.training_type}'")
        return self

    @model_validator(mode="after")
    def _stages_are_given(self) -> DiffusionSettings:
        if self.training_type == "unmasking" and not self.unmasking_stages:
            raise ValueError("unmasking_stages is empty: training_type 'unmasking' needs at least one stage")
        return self

    @model_validator(mode="after")
    def _runs_can_begin(self) -> DiffusionSettings:
        if is_corrector(self) and self.corruption_type != "random" and self.corruption_p1_probability == 0:
            raise ValueError(
                f"corruption_p1_probability must be greater than 0 for corruption_type '{self.corruption_type}': a row"
                " starts without errors, so no run would ever begin"
            )
        return self

    @model_validator(mode="after")
    def _decay_ends_after_warmup(self) -> DiffusionSettings:
        if self.decay_lr and self.lr_decay_iters != "auto" and self.lr_decay_iters < self.warmup_iters:
            raise ValueError(
                f"lr_decay_iters ({self.lr_decay_iters}) lies before the end of the warm-up ({self.warmup_iters})"
            )
        return self

    @model_validator(mode="after")
    def _decay_goes_down(self) -> DiffusionSettings:
        if self.decay_lr and self.min_lr > self.learning_rate:
            raise ValueError(
                f"min_lr ({self.min_lr:g}) is above learning_rate ({self.learning_rate:g}), so the rate would rise: set"
                f" min_lr to {self.learning_rate / 10:g}, or decay_lr to false"
            )
        return self

    @model_validator(mode="after")
    def _graphs_keep_their_gradients(self) -> DiffusionSettings:
        if self.cuda_graphs and self.gradient_accumulation_steps > 1:
            raise ValueError(
                "cuda_graphs needs gradient_accumulation_steps = 1: the replay of the next micro-batch overwrites the"
                " gradients of the one before"
            )
        return self

    @model_validator(mode="after")
    def _only_what_was_trained_is_evaluated(self) -> DiffusionSettings:
        if self.eval_only and self.init_from != "resume":
            raise ValueError("eval_only evaluates a training of before: add --init_from=resume")
        return self

    @property
    def base(self) -> Path | None:
        """The trained model that this training starts from."""
        return None if self.init_from in ("scratch", "resume") else Path(self.init_from).expanduser()

    @property
    def decay_end(self) -> int:
        """The iteration at which the decay has reached min_lr."""
        return self.max_iters if self.lr_decay_iters == "auto" else self.lr_decay_iters


def is_corrector(settings: DiffusionSettings) -> bool:
    """Whether it trains an error-detection model rather than one that predicts masked characters."""
    return settings.training_type in ("remasking", "remasking_binary")


def unread(config: Mapping[str, Any]) -> set[str]:
    """The keys that the chosen training_type, tokenizer and optimizer do not read."""
    idle = set() if config["tokenizer"] == "bpe" else {"bpe_vocab_size"}
    idle |= set() if config["optimizer"] == "muon" else {"muon_learning_rate", "muon_momentum"}
    idle |= set() if config["training_type"] == "block" else {"block_length"}
    return idle | _unread_of_training(config)


def _unread_of_training(config: Mapping[str, Any]) -> set[str]:
    curriculum = {"unmasking_stages", "stage_schedule", "min_improvement"}
    corruption = {key for key in config if "corruption_" in key}
    if config["training_type"] == "block":
        return corruption | curriculum | {"max_loss_weight", "attention_type", "conv_width"}
    if config["training_type"] == "ar":
        return corruption | curriculum | {"max_loss_weight", "attention_type"}
    if config["training_type"] == "unmasking":
        by_loss = {"min_improvement"} if config["stage_schedule"] == "fixed" else set()
        return corruption | {"max_loss_weight"} | by_loss
    if config["training_type"] == "elbo":
        return corruption | curriculum
    curriculum |= {"max_loss_weight"}
    idle = {
        "random": {"corruption_p1_probability", "corruption_p2_probability", "corruption_weights"},
        "sticky": {"corruption_weights"},
        "fragment": {"corruption_weights", "corruption_replacement"},
        "mixed": set(),
    }
    return curriculum | idle[config["corruption_type"]]


def classes(settings: DiffusionSettings, vocab_size: int) -> int:
    """Of the network's head: what it chooses among at every position."""
    return {"remasking": vocab_size + 1, "remasking_binary": 2}.get(settings.training_type, vocab_size)


def prior_of(settings: DiffusionSettings) -> tuple[float, ...]:
    """ln of the fractions of right and wrong characters, for the two classes of 'remasking_binary'.

    'remasking' needs none: its classes are the characters, among which "wrong" is one more frequent class.
    """
    if settings.training_type != "remasking_binary":
        return ()
    # A row of T characters gets ceil(u most) wrong ones, most = max_corruption_ratio T, u uniform: their mean over T.
    most = settings.max_corruption_ratio * settings.block_size
    whole, rest = int(most), most - int(most)
    wrong = (whole + 1) * (whole / 2 + rest) / most / settings.block_size
    return (math.log(1 - wrong), math.log(wrong))


def parameter_count(settings: DiffusionSettings, vocab_size: int = ALPHABET) -> int:
    """Trainable numbers of the network for `vocab_size` tokens and a mask (model.transformer.Transformer)."""
    width = settings.n_embd
    norm = width * (2 if settings.norm == "layernorm" and settings.bias else 1)
    up, hidden = feed_forward_widths(settings)
    layer = 4 * width**2 + (up + hidden) * width + 2 * norm + 2 * settings.conv_width * width
    count = settings.n_layer * layer + norm  # the norm before the head
    head = classes(settings, vocab_size)
    count += (vocab_size + 1) * width + head * width  # embedding with the mask, head
    if settings.bias:
        count += settings.n_layer * (5 * width + up) + head
    if not settings.use_rope:
        count += settings.block_size * width
    return count


def feed_forward_widths(settings: DiffusionSettings) -> tuple[int, int]:
    """The output width of the first matrix and the input width of the second one (model.transformer.FeedForward)."""
    if settings.mlp == "swiglu":
        hidden = 8 * max(1, round(settings.n_embd / 3))
        return 2 * hidden, hidden
    return 4 * settings.n_embd, 4 * settings.n_embd


def checkpoint_bytes(settings: DiffusionSettings) -> int:
    """The peak disk usage of one job: keep_last and best checkpoints, and the one being written.

    A checkpoint has the weights and the optimizer's moments in float32 (AdamW has two for each weight, Muon one), the
    moving average where there is one, and the vocabulary.
    """
    vocab_size = vocabulary_size(settings)
    copies = 4 if settings.ema_decay else 3
    one_checkpoint = copies * 4 * parameter_count(settings, vocab_size) + 32 * vocab_size + 2**17
    return 0 if settings.eval_only else (settings.keep_last + 2) * one_checkpoint


def vocabulary_size(settings: DiffusionSettings) -> int:
    """Of the prepared text; the largest possible one where it is not prepared yet."""
    folder = tokenization_of(settings.model_dump()).folder()
    found = dataset_meta(folder).get("vocab_size") if folder is not None else None
    if isinstance(found, int):
        return found
    return {"bpe": settings.bpe_vocab_size, "gpt2": GPT2}.get(settings.tokenizer, ALPHABET)


def tokenization_of(config: Mapping[str, Any]) -> Tokenization:
    """The tokens that a resolved config requests."""
    return Tokenization(config["dataset"], config["tokenizer"], config["bpe_vocab_size"])


def unprepared(config: Mapping[str, Any]) -> list[str] | None:
    """The command that prepares the dataset of a resolved config; None where it is prepared, or cannot be."""
    tokenization = tokenization_of(config)
    folder = tokenization.folder()
    if folder is not None and dataset_meta(folder):
        return None
    if tokenization.tokenizer == "auto" and not tokenization.is_file:
        return unprepared_by_script(tokenization.dataset)
    options = ["--tokenizer", tokenization.tokenizer, "--vocab_size", str(tokenization.bpe_vocab_size)]
    return [str(DATA / "text.py"), *options, "--", tokenization.dataset]
