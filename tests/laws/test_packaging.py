"""Law: a converter's folder, its entry point, its extra and its line in the wheel say the same."""

from __future__ import annotations

import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

WITHOUT_EXTRA = {"numpy"}  # its backend is a dependency of the core


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folders(root: Path) -> list[str]:
    return sorted(path.parent.name for path in (root / "converters").glob("*/__init__.py"))


def test_there_are_converters(folders: list[str]) -> None:
    assert "kxchange_numpy" in folders
    assert all(name.startswith("kxchange_") for name in folders)


def test_entry_points_are_the_folders(project: dict[str, Any], folders: list[str]) -> None:
    declared = project["project"]["entry-points"]["kxchange.converters"]
    assert declared == {name.removeprefix("kxchange_"): f"{name}:converter" for name in folders}


def test_wheel_packages_are_the_folders(project: dict[str, Any], folders: list[str]) -> None:
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted(["kxchange", *(f"converters/{name}" for name in folders)])


def test_every_converter_has_an_extra(project: dict[str, Any], folders: list[str]) -> None:
    extras = set(project["project"]["optional-dependencies"])
    assert {name.removeprefix("kxchange_") for name in folders} - WITHOUT_EXTRA <= extras


def test_the_installed_entry_points_are_the_declared_ones(project: dict[str, Any]) -> None:
    declared = project["project"]["entry-points"]["kxchange.converters"]
    installed = {point.name: point.value for point in entry_points(group="kxchange.converters")}
    assert declared.items() <= installed.items(), "install again: pip install -e ."


def test_every_converter_record_loads(folders: list[str]) -> None:
    for point in entry_points(group="kxchange.converters"):
        if point.value.split(":")[0] in folders:
            assert point.load().name == point.name


def test_the_version_is_stated_once(project: dict[str, Any]) -> None:
    import kxchange

    assert kxchange.__version__ == project["project"]["version"]


def test_every_dependency_is_pinned(root: Path, project: dict[str, Any]) -> None:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").split()
    pins = {line.split("==")[0].lower().replace("_", "-"): line for line in lines}
    assert all(line.count("==") == 1 and "+" not in line for line in lines), "exact, and without a build's local suffix"
    wanted = [*project["project"]["dependencies"], *sum(project["project"]["optional-dependencies"].values(), [])]
    names = {item.split(">")[0].split("[")[0].strip().lower().replace("_", "-") for item in wanted} - {"kxchange"}
    assert names <= set(pins)
