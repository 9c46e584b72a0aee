"""Suggestions of Optuna's TPE: a study in memory, made from what is known for one suggestion. Nothing is stored."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState

from runner.search.space import CHOICE, COMPLETE, FAIL, INT, LOG, PRUNED, RUNNING, Range, Search, Trial
from runner.search.suggest import inside, seed_of

_STATES = {COMPLETE: TrialState.COMPLETE, FAIL: TrialState.FAIL, RUNNING: TrialState.RUNNING,
           PRUNED: TrialState.PRUNED}  # fmt: skip


def suggest(search: Search, number: int, known: Sequence[Trial]) -> dict[str, Any]:
    """The settings of trial `number`. Trials outside the ranges, as after a change of these, do not count."""
    optuna.logging.set_verbosity(logging.ERROR)
    space = {key: _distribution(one) for key, one in search.ranges.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate and constant_liar are experimental in earlier versions
        sampler = optuna.samplers.TPESampler(seed=seed_of(search, number), multivariate=True, constant_liar=True)
        study = optuna.create_study(sampler=sampler, direction=f"{search.goal}imize")
        for trial in sorted(known, key=lambda one: one.number):
            if inside(search, trial.params):
                _add(study, search, space, trial)
        found = study.ask(space).params
    return {key: _of_optuna(one, found[key]) for key, one in search.ranges.items()}


def _add(study: optuna.Study, search: Search, space: dict[str, BaseDistribution], trial: Trial) -> None:
    params = {key: _to_optuna(one, trial.params[key]) for key, one in search.ranges.items()}
    value = None if trial.state == PRUNED else trial.value
    values = {} if trial.state != PRUNED or trial.value is None else {int(trial.at or 0): trial.value}
    made = optuna.trial.create_trial(
        state=_STATES[trial.state], value=value, params=params, distributions=space, intermediate_values=values
    )
    study.add_trial(made)


def _distribution(one: Range) -> BaseDistribution:
    if one.kind == CHOICE:
        return CategoricalDistribution(tuple(range(len(one.of))))  # by place: a choice may be a list
    low, high = one.of[:2]
    kinds: Any = optuna.distributions
    if hasattr(kinds, "FloatDistribution"):
        if one.kind == INT:
            return kinds.IntDistribution(low, one.ends[-1], step=one.step)  # type: ignore[no-any-return]
        return kinds.FloatDistribution(float(low), float(high), log=one.kind == LOG)  # type: ignore[no-any-return]
    if one.kind == INT:
        return kinds.IntUniformDistribution(low, one.ends[-1], one.step)  # type: ignore[no-any-return]
    kind = kinds.LogUniformDistribution if one.kind == LOG else kinds.UniformDistribution
    return kind(float(low), float(high))  # type: ignore[no-any-return]


def _to_optuna(one: Range, value: Any) -> Any:
    if one.kind == CHOICE:
        return next(at for at, choice in enumerate(one.of) if type(choice) is type(value) and choice == value)
    return value if one.kind == INT else float(value)


def _of_optuna(one: Range, value: Any) -> Any:
    return one.of[value] if one.kind == CHOICE else int(value) if one.kind == INT else float(value)
