"""The canonical form: equal configs hash equal, unequal ones do not, and all else is refused with its place."""

from __future__ import annotations

import dataclasses
import math
from enum import Enum, IntEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runner.core.canonical import DICT, FLOAT, NotCanonical, canonical, fingerprint, tagged, typed, untagged
from runner.core.config import Config


class Colour(Enum):
    RED = 1
    BLUE = 2


class Size(IntEnum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Adam:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


@dataclasses.dataclass
class Other:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*Colour, *Size, Adam(), Other(), Path("a"), Path("a/b"), PureWindowsPath("a")])
    | st.lists(st.integers(0, 255), max_size=4).map(lambda items: np.array(items, dtype=np.uint8))
    | st.lists(st.floats(width=32), max_size=4).map(torch.tensor)
)
KEYS = st.text(max_size=5) | st.sampled_from(["$tuple", "$path", "$dict", "$float"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(st.integers() | st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def alike(one: Any, other: Any) -> bool:
    """Equal in type and value, all the way down; an independent definition of what the hash has to distinguish."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = [[(key, type(key)) for key in it] for it in (one, other)]
        return set(pairs[0]) == set(pairs[1]) and all(alike(item, other[key]) for key, item in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and alike(one.numpy(), other.numpy())
    if isinstance(one, float):
        return repr(one) == repr(other)  # NaN is like NaN, and -0.0 is not like 0.0
    return bool(one == other)


def shuffled(value: Any) -> Any:
    """The same value with every dict in the opposite order, and built again."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    if isinstance(value, list | tuple):
        return type(value)(map(shuffled, value))
    if isinstance(value, np.ndarray):
        return value.copy()
    return value.clone() if isinstance(value, torch.Tensor) else value


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_equal_configs_hash_equal_whatever_their_order(value: Any) -> None:
    assert fingerprint(typed(shuffled(value))) == fingerprint(typed(value))


@given(VALUES, VALUES)
@settings(max_examples=500, deadline=None)
def test_unequal_configs_hash_unequal(one: Any, other: Any) -> None:
    assert (canonical(typed(one)) == canonical(typed(other))) == alike(one, other)


@given(VALUES, st.data())
@settings(max_examples=300, deadline=None)
def test_a_small_change_anywhere_changes_the_hash(value: Any, data: st.DataObject) -> None:
    changed = altered(value, data)
    assume(not alike(value, changed))
    assert fingerprint(typed(changed)) != fingerprint(typed(value))


def altered(value: Any, data: st.DataObject) -> Any:
    """The value with one scalar in it replaced."""
    if isinstance(value, dict) and value:
        key = data.draw(st.sampled_from(list(value)))
        return {**value, key: altered(value[key], data)}
    if isinstance(value, list | tuple) and value:
        at = data.draw(st.integers(0, len(value) - 1))
        return type(value)([*value[:at], altered(value[at], data), *value[at + 1 :]])
    return data.draw(SCALARS)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_the_form_survives_being_written(value: Any) -> None:
    import json

    from runner.disk.atomic import as_json

    assert canonical(json.loads(as_json({"config": typed(value)}))["config"]) == canonical(typed(value))


DISTINCT = [
    1, True, 1.0, "1", None, "None", [1], (1,), [[1]], [(1,)], {"a": 1}, {"a": 1.0}, {1: "a"}, {"1": "a"}, {True: "a"},
    Path("a"), "a", PureWindowsPath("a"), Colour.RED, Colour.BLUE, Size.RED, Adam(), Other(), Adam(lr=0.2),
    float("nan"), "nan", math.inf, -math.inf, 0.0, -0.0, 1e16, 10**16, [], (), {}, "", {"$tuple": [1]}, {"$path": "a"},
    {"$float": "nan"}, np.float64(1.0), np.float32(1.0), np.int64(1), np.array(1.0), np.array([1.0]), np.array([[1.0]]),
    np.array([1.0], dtype="f4"), np.array([1.0], dtype=">f8"), np.zeros((0, 3)), np.zeros((3, 0)), np.bool_(True),
    torch.tensor(1.0), torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), torch.tensor([1]),
    torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([1.0], dtype=torch.float16), np.array(["a"]),
]  # fmt: skip


def test_values_that_differ_in_type_or_content_have_different_hashes() -> None:
    assert len({fingerprint(typed(value)) for value in DISTINCT}) == len(DISTINCT)


SAME = [
    ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
    ({"a": {"b": [1]}}, Config(a={"b": [1]})),
    (float("nan"), -float("nan")),
    (Path("a/b"), PurePosixPath("a/b")),
    (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3))),
    (np.arange(3), np.arange(6)[::2] // 2),
    (torch.arange(6).reshape(2, 3), torch.arange(6).reshape(3, 2).T.contiguous().reshape(2, 3).clone().copy_(
        torch.arange(6).reshape(2, 3))),
    (torch.ones(2), torch.ones(2, requires_grad=True)),
    (torch.ones(2, 3), torch.ones(3, 2).T),
    (torch.ones(2), torch.nn.Parameter(torch.ones(2))),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME, ids=range(len(SAME)))
def test_values_that_are_the_same_have_one_hash(one: Any, other: Any) -> None:
    assert fingerprint(typed(one)) == fingerprint(typed(other))


def test_json_values_have_the_fingerprints_that_recorded_batches_hold() -> None:
    config = {"b": [1, 2.5, None, True], "a": {"ü": "x"}}
    assert canonical(typed(config)) == canonical(config) == '{"a":{"ü":"x"},"b":[1,2.5,null,true]}'
    assert fingerprint(config) == "55f2191f7fd5ac60"


class Named(str):
    """A subclass may mean anything."""


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {"b": [0, {"c": print}]}}, "a.b[1].c: a value of type builtins.builtin_function_or_method"),
        ({"a": (1, {2})}, "a[1]: a value of type builtins.set"),
        ({"a": Named("x")}, "a: a value of type tests.core.test_canonical.Named"),
        ({"a": b"x"}, "a: a value of type builtins.bytes"),
        ({"a": {(1, object()): 2}}, "a[(1, <object"),
        ({"a": Adam(lr=print)}, "a.lr: a value of type"),
        ({"a": np.array([object()])}, "a: an array of Python objects"),
        ({"a": torch.ones(2).to_sparse()}, "a: a tensor that is sparse"),
        ({"a": torch.float32}, "a: a value of type torch.dtype"),
        ({"a": np.ma.masked_array([1])}, "a: a value of type numpy"),
        ([print], "[0]: a value of type"),
    ],
)
def test_anything_else_is_refused_with_the_path_of_its_key(value: Any, place: str) -> None:
    with pytest.raises(NotCanonical) as caught:
        typed(value)
    assert str(caught.value).startswith(place)


def test_a_config_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NotCanonical, match="contains itself"):
        typed({"a": loop})


def test_an_error_deep_inside_is_found_at_once() -> None:
    value: Any = print
    for _ in range(60):
        value = {"a": [value]}
    with pytest.raises(NotCanonical) as caught:
        typed(value)
    assert caught.value.where == ".".join(["a[0]"] * 60)


@pytest.mark.parametrize("value", [{FLOAT: "nan", "x": 1}, {DICT: [], "x": 1}, {FLOAT: "1.5"}, {DICT: [1]}, {}])
def test_a_mapping_that_only_resembles_a_tag_is_itself(value: dict[str, Any]) -> None:
    assert untagged(value) == value and untagged(tagged(value)) == value


@pytest.mark.parametrize("value", ["text", 5, None])
def test_a_tag_whose_value_is_not_a_list_of_pairs_is_unchanged(value: object) -> None:
    assert untagged({DICT: value}) == {DICT: value}
