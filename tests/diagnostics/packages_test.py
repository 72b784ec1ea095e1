"""The packages that are needed: where their list comes from, and how versions compare."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

from volsynth.diagnostics import packages
from volsynth.errors import UserError

ROOT = Path(__file__).parents[2]


def test_the_package_list_is_that_of_the_project_file(monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], 'ruff==0.17.5; extra == "dev"', 'av>=14; extra == "data"']
    wanted = {}
    for line in project["dependencies"]:
        name, minimum = re.fullmatch(r"([\w.-]+)(?:>=([\w.]+))?", line.split(";")[0]).groups()
        wanted[name] = minimum
    monkeypatch.setattr(importlib.metadata, "requires", {"volsynth": lines}.get)
    assert packages.needed_packages() == wanted
    assert project["requires-python"] == packages.python_report()["needed"]


def test_without_metadata_nothing_says_what_is_needed(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    with pytest.raises(UserError, match=r"volsynth is not installed, .* pip install -e \."):
        packages.package_reports()


def test_full_tensorflow_stands_in_for_tensorflow_cpu(monkeypatch):
    def version(name):
        if name == "tensorflow":
            return "2.21.0"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = [entry for entry in packages.package_reports() if entry["version"]]
    assert [(entry["name"], entry["status"]) for entry in found] == [("tensorflow-cpu", "ok")]


@pytest.mark.parametrize(
    ("older", "newer"), [("2.9", "2.20"), ("0.9.99", "0.10"), ("1", "1.0.1"), ("0.1.9", "0.1.90")]
)
def test_versions_compare_by_number(older, newer):
    assert packages.numbers(older) < packages.numbers(newer)
    assert packages.numbers(newer) == packages.numbers(newer + "+local.7")
