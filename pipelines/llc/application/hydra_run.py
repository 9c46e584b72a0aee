"""One run of the application: Hydra's config -> checked settings -> the pipeline, in the current folder."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from llc import artifacts
from pipelines.llc.settings import LlcSettings
from pipelines.shared.errors import InputError
from runner.configs.messages import Origin, sentences

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)
OWN = ("experiment_name",)  # keys for the user's own use, in hydra.run.dir for example

#: The first entry of config/llc/config.yaml: Hydra accepts every key of it, and refuses any other.
ConfigStore.instance().store(name="settings", node=LlcSettings().model_dump(mode="json", exclude={"out_dir"}))


class Refused(CompactHydraException):
    """An input error in one job of a sweep, which does not affect the other jobs."""


def run(config: DictConfig) -> None:
    """Run the pipeline here; its results are files. Exits with 2 for an input error, with 1 for a failure."""
    try:
        _run(config)
    except (InputError, OmegaConfBaseException) as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise Refused(str(error)) from error
        print(f"train.py: {error}", file=sys.stderr)
        sys.exit(2)


def _run(config: DictConfig) -> None:
    given = _plain(config)
    settings = checked({key: value for key, value in given.items() if key not in OWN})
    resolved = settings.model_dump(mode="json") | {key: given[key] for key in OWN if key in given}
    artifacts.save_config(resolved)  # first, so that a failed run has it, too
    log.info("n_data %d, target_params %d, seed %d", settings.data.n_data, settings.model.target_params, settings.seed)
    from pipelines.llc import train  # only now, when the config is known to be right: torch takes seconds to import

    try:
        code = train.run(settings)
    finally:
        artifacts.save_config(resolved)  # the pipeline writes its own, which does not have the keys of OWN
    if code:
        sys.exit(code)
    log.info("done; the results are in metrics_summary.csv")


def checked(given: Mapping[str, Any]) -> LlcSettings:
    """The settings, for the current directory. Raises InputError with a sentence for each invalid value."""
    given = {**given, "out_dir": "."}
    try:
        return LlcSettings.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        raise InputError("\n".join(sentences(LlcSettings, Origin(None, {}), error, given, silent=()))) from error


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True, enum_to_str=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
