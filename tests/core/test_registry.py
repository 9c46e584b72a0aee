"""Registries: built-in entries, those of a checkout, and those of installed packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.core.registry import Registry


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed packages that offer entries: one that can be imported, and one that cannot."""
    metadata = tmp_path / "extra-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[test.things]\nfar = extra_things:FAR\nbroken = no_such_module:X\n")
    (tmp_path / "extra_things.py").write_text("FAR = 'from another package'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("extra_things", None)


def things() -> Registry[object]:
    return Registry("test.things", "thing", {"join": "os.path:join", "path": "os.path"})


def test_a_built_in_entry_is_an_object_or_a_module() -> None:
    import os.path

    assert things().get("join") is os.path.join
    assert things().get("path") is os.path


def test_a_checkout_registers_entries_and_cannot_replace_another() -> None:
    registry = things()
    registry.register("split", "os.path:split")
    registry.register("split", "os.path:split")  # the same again: nothing changes
    assert registry.names()[:3] == ["join", "path", "split"]
    with pytest.raises(ValueError, match="'join' is registered already"):
        registry.register("join", "os.path:split")


def test_an_installed_package_offers_entries(packages: Path) -> None:
    registry = things()
    assert registry.get("far") == "from another package"
    assert {"join", "path", "far", "broken"} == set(registry.names())
    assert registry.local_names() == ["join", "path"]


def test_a_plugin_that_cannot_be_imported_is_one_sentence(packages: Path) -> None:
    with pytest.raises(UserError) as caught:
        things().get("broken")
    (sentence,) = caught.value.problems
    assert "'broken'" in sentence and "no_such_module" in sentence and "uninstall" in sentence


def test_a_name_that_two_packages_offer_is_an_error_that_names_both(packages: Path) -> None:
    metadata = packages / "other-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[test.things]\nfar = other_things:FAR\n")
    with pytest.raises(UserError, match="extra_things:FAR and other_things:FAR"):
        things().get("far")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match=r"unknown thing 'jion'; did you mean 'join'\?"):
        things().get("jion")
    with pytest.raises(UserError, match="there are join, path"):
        things().get("zzz")


def test_whether_there_are_entries_beside_the_built_in_ones_and_which_counts_first(packages: Path) -> None:
    none: Registry[object] = Registry("test.no_such_group", "thing", {"join": "os.path:join"})
    assert not none.beyond() and none.local_names() == none.names() == ["join"]
    none.register("mine", "os.path:split")
    none.register("mine", "os.path:split")
    assert none.beyond() and list(none.by_priority()) == ["mine", "join"]
    assert none.targets() == ["os.path:split", "os.path:join"]
    with pytest.raises(ValueError, match=r"thing 'mine' is registered already, as os\.path:split"):
        none.register("mine", "os.path:join")
    assert things().beyond() and things().targets()[2:] == ["os.path:join", "os.path"]
    assert set(things().targets()[:2]) == {"extra_things:FAR", "no_such_module:X"}  # in no order
