"""Config: a dict with attributes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from runner.core.config import Config

NESTED = {"lr": 0.1, "optimizer": {"lr": 2}, "layers": [{"n": 1}, [{"n": 2}], ({"n": 3},)], "items": 5}


def test_keys_are_attributes_all_the_way_down() -> None:
    config = Config(NESTED)
    assert config["lr"] == config.lr == 0.1 and config.optimizer.lr == config["optimizer"]["lr"] == 2
    assert config.layers[0].n == 1 and config.layers[1][0].n == 2 and config.layers[2][0].n == 3
    assert isinstance(config, dict) and config == NESTED and json.loads(json.dumps(config))["optimizer"] == {"lr": 2}


def test_a_key_called_like_a_method_is_reached_as_an_item() -> None:
    config = Config(NESTED)
    assert config["items"] == 5 and ("lr", 0.1) in config.items()
    with pytest.raises(AttributeError, match=r"write config\['items'\]"):
        config.items = 6


def test_attributes_can_be_set_and_deleted() -> None:
    config = Config()
    config.a = {"b": 1}
    assert config["a"].b == 1
    config.a.b = 2
    assert config == {"a": {"b": 2}}
    del config.a
    with pytest.raises(AttributeError):
        del config.a


def test_a_key_that_is_not_there_names_those_that_are() -> None:
    config = Config(lr=1, rate=2)
    with pytest.raises(AttributeError, match="no key 'zzz'; it has lr, rate"):
        _ = config.zzz
    assert not hasattr(config, "nothing") and getattr(config, "nothing", 3) == 3


def test_a_typo_names_the_nearest_key() -> None:
    with pytest.raises(AttributeError, match="did you mean 'learning_rate'"):
        _ = Config(learning_rate=1).learning_rat


@pytest.mark.parametrize(
    "remake",
    [lambda c: pickle.loads(pickle.dumps(c)), copy.copy, copy.deepcopy, Config.copy, Config, lambda c: c | {}],
    ids=["pickle", "copy.copy", "deepcopy", "copy", "Config", "|"],
)
def test_copies_are_configs_too(remake: Any) -> None:
    config = Config(NESTED)
    made = remake(config)
    assert type(made) is Config and made == config and made.optimizer.lr == 2 and type(made.layers[0]) is Config
    made.lr = 9
    assert config.lr == 0.1


def test_a_config_shares_nothing_with_the_dict_that_it_was_made_of() -> None:
    source = {"a": {"b": [1]}}
    config = Config(source)
    config.a.b.append(2)
    assert source == {"a": {"b": [1]}}
    inner = config.copy()
    inner.a.b.append(3)
    assert config.a.b == [1, 2]


def test_every_way_of_adding_wraps() -> None:
    config = Config()
    config.update({"a": {"x": 1}}, b={"x": 2})
    config.setdefault("c", {"x": 3})
    config |= {"d": {"x": 4}}
    assert [config[key].x for key in "abcd"] == [1, 2, 3, 4]
    assert ({"e": {"x": 5}} | config).e.x == 5
