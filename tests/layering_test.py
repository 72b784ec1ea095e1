"""Imports point downward only, wherever in a file they stand."""

import ast
import pathlib
import sys

import pytest

ORDER = (
    {"skeleton", "errors", "files", "protocol"},
    {"orders"},
    {"keypoints", "web"},
    {"motions"},
    {"ops"},
    {"nn"},
    {"draw", "views"},
    {"data"},
    {"pictures"},
    {"study"},
    {"losses", "metrics", "sections", "system"},
    {"objectives"},
    {"systems"},
    {"train", "tasks"},
    {"describe", "doctor", "config", "curves", "instruments", "bundle"},
    {"evaluate", "exported"},
    {"results", "runs"},
    {"rundir", "toolbox", "features"},
    {"scoring"},
    {"persons", "clips"},
    {"backgrounds"},
    {"generate"},
    {"animate"},
    {"compare", "exporting", "collecting", "bench", "studio"},
    {"report"},
    {"commands"},
    {"cli", "__init__"},
)
"""From the bottom up. Modules of one line do not import one another."""

WITHIN = {
    "bench": ("naive", "timing", "twin", "cases", "warps", "feeding", "generating"),
    "commands": (
        "shared",
        "training",
        "scores",
        "reports",
        "models",
        "studio",
        "costs",
        "data",
        "study",
        "installation",
    ),
    "keypoints": ("pose", "parsing", "ours", "table", "openpose", "coco", "pose_gan"),
    "ops": (
        "geometry",
        "keying",
        "retargeting",
        "filling",
        "matting",
        "pose",
        "occlusion",
        "sampling",
        "packing",
        "warp_rows",
        "warp_products",
        "warp",
        "rectangles",
    ),
    "nn": (
        "layers",
        "blocks",
        "backbones",
        "resnet",
        "discriminators",
        "unpickle",
        "torch_files",
        "weights",
        "vgg",
        "lpips",
        "inception",
        "pretrained",
        "onnx_files",
        "detectors",
    ),
    "study": (
        "ratings",
        "resampling",
        "pairs",
        "agreement",
        "simulate",
        "folders",
        "questions",
        "coverage",
        "store",
        "server",
        "plots",
        "report",
    ),
    "studio": ("store", "line", "people", "rendering", "server"),
    "web": ("guard", "serving"),
    "tasks": ("base", "image", "image_and_pose", "pose"),
    "data": (
        "schema",
        "prepared",
        "verify",
        "mixture",
        "cropping",
        "masks",
        "augment",
        "pixels",
        "pipeline",
        "pairs",
        "fake",
        "show",
        "check",
    ),
    "train": (
        "phases",
        "optim",
        "scaling",
        "state",
        "mesh",
        "distributed",
        "step",
        "program",
        "workdir",
        "manifest",
        "checkpoint",
        "log",
        "memory",
        "profiling",
        "dump",
        "reporting",
        "loop",
    ),
}
"""Modules of a folder; each may import those before it."""

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


def _foreign(path):
    return {name.split(".")[0] for name in _imported(path)}


def _top(path):
    return path.with_suffix("").parts[1]


def _in(folder):
    return [path for path in FILES if path.parts[1] == folder]


def test_every_module_has_its_place():
    assert {_top(path) for path in FILES} == set(RANK)
    for folder, names in WITHIN.items():
        assert {path.stem for path in _in(folder)} - {"__init__"} == set(names)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downward(path):
    own = _top(path)
    for target in _own(path):
        assert target[0] == own or RANK[target[0]] < RANK[own], f"{path} imports {'.'.join(target)}"


@pytest.mark.parametrize("folder", WITHIN)
def test_modules_of_a_folder_import_earlier_ones(folder):
    names = WITHIN[folder]
    for path in _in(folder):
        for target in _own(path):
            if target[0] == folder and path.stem != "__init__":
                assert names.index(target[1]) < names.index(path.stem), (
                    f"{path} imports {'.'.join(target)}"
                )


def test_operators_know_no_framework_of_networks_and_no_config():
    for path in _in("ops"):
        assert not _foreign(path) & {"flax", "ml_collections", "optax", "tensorflow"}, path


def test_the_study_needs_no_jax():
    assert _in("study")
    others = {
        "folders": {"PIL"},
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
    allowed = {"skeleton", "errors", "files", "orders", "keypoints", "ops", "data", "pictures"}
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
