"""Imports point downward only, wherever in a file they stand."""

import ast
import graphlib
import pathlib
import sys

import pytest

ORDER = (
    {"compilations", "errors", "files", "progress", "skeleton"},
    {"config", "conventions", "fields", "ops", "poses", "results", "web"},
    {"losses", "pretrained", "system"},
    {"data", "images", "metrics", "nn", "objectives", "photographs"},
    {"study", "systems", "tasks", "train"},
    {"reports", "runs"},
    {"diagnostics", "export"},
    {"__init__", "evaluation", "generation"},
    {"bench", "studio"},
    {"commands"},
    {"cli"},
)
"""The rooms of the package from the bottom up. Rooms of one line do not import one another."""

ROOMS = {name for names in ORDER for name in names if pathlib.Path("volsynth", name).is_dir()}
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
FILES = sorted(pathlib.Path("volsynth").rglob("*.py"))


def _imported(path):
    """Dotted names of every module that a file imports, in functions too."""
    package = path.with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _own(path):
    """The package's modules that a file imports, as tuples: ("ops", "warp", ...)."""
    return [
        tuple(name.split("."))[1:]
        for name in _imported(path)
        if name.split(".")[0] == "volsynth" and name != "volsynth"
    ]


def _targets(path):
    """The modules that a file imports, or imports a name from."""
    found = set()
    for target in _own(path):
        found |= {target, target[:-1]}
    return found


def _foreign(path):
    return {name.split(".")[0] for name in _imported(path)}


def _top(path):
    return path.with_suffix("").parts[1]


def _in(folder):
    return [path for path in FILES if path.parts[1] == folder]


def test_every_room_has_its_place():
    assert {_top(path) for path in FILES} == set(RANK)
    assert len(ORDER) <= 12


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downward(path):
    own = _top(path)
    for target in _own(path):
        assert target[0] == own or RANK[target[0]] < RANK[own], f"{path} imports {'.'.join(target)}"


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_modules_of_a_room_import_one_another_in_no_circle(room):
    names = {path: path.with_suffix("").parts[1:] for path in _in(room)}
    graph = {
        parts: {other for other in names.values() if other != parts and other in _targets(path)}
        for path, parts in names.items()
    }
    # Raises CycleError, which names the circle.
    assert len([*graphlib.TopologicalSorter(graph).static_order()]) == len(names)


def test_operators_know_no_framework_of_networks_and_no_config():
    for path in _in("ops"):
        assert not _foreign(path) & {"flax", "ml_collections", "optax", "tensorflow"}, path


def test_the_study_needs_no_jax():
    assert _in("study")
    others = {
        "comparison": {"PIL"},
        "server": {"fastapi", "pydantic", "starlette"},
        "serving": {"fastapi", "starlette", "uvicorn"},
        "plots": {"matplotlib"},
    }
    for path in _in("study") + _in("web"):
        allowed = {"volsynth", "numpy", "scipy"} | others.get(path.stem, set())
        assert _foreign(path) <= allowed | sys.stdlib_module_names, path


def test_data_knows_no_networks_and_the_engine_no_data():
    for path in _in("data"):
        assert not _foreign(path) & {"flax", "optax"}, path
    for path in _in("train"):
        assert not any(target[0] in ("data", "metrics", "nn", "ops") for target in _own(path)), path


def test_systems_know_neither_one_another_nor_the_engine():
    for path in _in("systems"):
        for target in _own(path):
            assert target[0] != "train", path
            assert target[0] != "systems" or path.stem == "__init__", path


def test_the_engine_knows_no_system():
    for path in _in("train"):
        assert not any(target[0] == "systems" for target in _own(path)), path


def test_only_the_foundation_is_free_of_everything():
    for path in FILES:
        if _top(path) in ("skeleton", "errors", "files"):
            assert _own(path) == []


def test_configs_import_nothing_of_the_package():
    for path in sorted(pathlib.Path("configs").glob("*.py")):
        assert not _foreign(path) & {"volsynth", "data_prep"}, path


def test_data_preparation_uses_what_it_may():
    allowed = {"skeleton", "errors", "files", "conventions", "poses", "ops", "data", "images"}
    paths = sorted(pathlib.Path("data_prep").rglob("*.py"))
    assert paths
    for path in paths:
        assert {target[0] for target in _own(path)} <= allowed, path


def _inner(path):
    """The modules of data preparation that a file imports: ("building", "pools"), ..."""
    return [
        tuple(name.split("."))[1:] for name in _imported(path) if name.split(".")[0] == "data_prep"
    ]


def test_data_preparation_builds_on_what_is_below():
    data_sets = {"deepfashion", "folder", "human36m", "mpi_inf_3dhp", "posed_people"}
    below = {
        "errors": set(),
        "building": {"errors"},
        "reading": {"errors", "building"},
        **{key: {"errors", "building", "reading"} for key in data_sets},
    }
    for path in sorted(pathlib.Path("data_prep").rglob("*.py")):
        own = _top(path)
        for target in _inner(path):
            assert own == "__init__" or target[0] in below[own] | {own}, path


def test_rendered_people_build_on_what_is_below():
    below = {
        "body": set(),
        "motion": {"body"},
        "plan": {"motion"},
        "rendering": {"body", "motion", "plan"},
    }
    for room, allowed in below.items():
        paths = sorted(pathlib.Path("data_prep/posed_people").glob(f"{room}*/*.py"))
        paths += sorted(pathlib.Path("data_prep/posed_people").glob(f"{room}.py"))
        assert paths
        for path in paths:
            used = {target[1] for target in _inner(path) if target[0] == "posed_people"}
            assert used <= allowed | {room}, path


def test_launching_uses_what_it_may():
    paths = sorted(pathlib.Path("launch").rglob("*.py"))
    assert paths
    # What is made of finished runs is imported when it is asked for.
    afterwards = {"results", "pages"}
    for path in paths:
        if path.stem not in afterwards:
            assert {target[0] for target in _own(path)} <= {"errors", "files", "config"}, path
    top = ast.parse(pathlib.Path("launch/__main__.py").read_text()).body
    names = {alias.name for node in top if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not names & afterwards


def test_the_package_imports_neither_data_preparation_nor_launchers():
    for path in FILES:
        assert not _foreign(path) & {"data_prep", "launch"}, path
