"""The stages of an unmasking curriculum as a config writes them. Never imports torch or numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.shared.settings_types import PositiveFloat, PositiveInt

Ratio = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class RandomStage(BaseModel):
    """Each row draws its mask ratio uniformly from [0, max_masked_ratio]; positions are independent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["random"]
    max_masked_ratio: Ratio
    val_loss_stale_count: PositiveInt = 10  # evaluations without improvement before the next stage begins
    share: PositiveFloat = 1.0  # of max_iters, in proportion to the other stages; with stage_schedule 'fixed'

    def __str__(self) -> str:
        return f"random, up to {self.max_masked_ratio:g} masked"


class StickyStage(BaseModel):
    """Masks grow in rounds: p1 where no neighbour is masked, p2 beside a masked one, until the target ratio."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["sticky"]
    target_masked_ratio: Ratio
    p1_probability: Probability
    p2_probability: Probability
    val_loss_stale_count: PositiveInt = 10
    share: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _a_mask_can_begin(self) -> StickyStage:
        if self.p1_probability == 0:
            raise ValueError(
                "p1_probability must be greater than 0: a row starts unmasked, so nothing would ever begin"
            )
        return self

    def __str__(self) -> str:
        return f"sticky, {self.target_masked_ratio:g} masked, p1 {self.p1_probability:g}, p2 {self.p2_probability:g}"


Stage = Annotated[RandomStage | StickyStage, Field(discriminator="type")]
