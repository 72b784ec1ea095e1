"""Run-time checks of shapes and dtypes, two CPU devices, a prepared data set for all tests."""

import gc
import importlib.metadata
import os
import pathlib
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
# Toy networks take much longer to compile than to run: no optimiser, and the older, quicker code
# generator where it is known to be one: an XLA that does not know a flag ends the process.
# `make test-all` compiles as everyone else does.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    + " --xla_cpu_use_fusion_emitters=false"
    * importlib.metadata.version("jaxlib").startswith("0.10."),
)
# Runs that compile the same program share it, within a session and from one to the next.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.abspath(".pytest_cache/xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import jaxtyping
import pytest

# A tenth of the time went to the search for cycles among the million objects that programs keep.
gc.set_threshold(50_000, 20, 100)

ENGINE = [path.stem for path in sorted(pathlib.Path("volsynth/train").glob("[!_]*.py"))]

# Before anything of the package is imported: annotations are checked in tests only.
jaxtyping.install_import_hook(
    [
        *("volsynth.ops", "volsynth.nn", "volsynth.losses", "volsynth.metrics"),
        *("volsynth.photographs", "volsynth.poses", "volsynth.pretrained"),
        *("volsynth.images", "volsynth.diagnostics.volume_views", "volsynth.objectives"),
        *("volsynth.systems", "volsynth.tasks", "volsynth.data"),
        # Not the state: JAX and Orbax take trees apart, and put them together with other leaves.
        *(f"volsynth.train.{name}" for name in ENGINE if name != "state"),
    ],
    "typechecker.check",
)


LONG = (
    "tests/evaluation/evaluate_test.py",
    "tests/bench/bench_test.py",
    "tests/train/spread_test.py",
)
"""These first: started last, each would leave the other worker with nothing to do."""


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONG)))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A folder with `posed_people/tiny`, rendered once for the whole run."""
    from data_prep.posed_people import build

    folder = tmp_path_factory.mktemp("data")
    build(folder, "tiny", processes=1)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _stamps_of_their_own(tmp_path_factory):
    """Tests neither trust nor change what the user's machine remembers of verified files."""
    from volsynth.data import verify

    path = tmp_path_factory.mktemp("cache") / "verified.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "default_stamps", lambda: path)
        yield


@pytest.fixture(scope="session")
def tiny(data_dir):
    """The prepared data set `posed_people/tiny`."""
    from volsynth.data import prepared

    return prepared.open_prepared(str(data_dir), "posed_people", "tiny")


@pytest.fixture(scope="session")
def smoke_config(data_dir):
    """The `smoke` variant of the volumetric system on that data."""
    from volsynth.config import load_config

    return load_config("configs/volumetric.py:smoke", [f"--config.data.dir={data_dir}"])


@pytest.fixture(scope="session")
def trained(smoke_config, tmp_path_factory):
    """A workdir in which the smoke config was trained without interruption."""
    from volsynth.runs import training

    workdir = tmp_path_factory.mktemp("runs") / "whole"
    training.train(smoke_config, workdir)
    return workdir


@pytest.fixture
def _unchecked():
    """Turns the annotations' checks off: the code's own checks are to refuse wrong shapes."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(scope="module")
def browser():
    """A real one, headless."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as started:
        # In a container there is nobody else to be kept apart from.
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
