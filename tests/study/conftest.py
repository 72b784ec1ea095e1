"""Small studies: every picture is of one colour, and a brighter one is of a better method."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from volsynth.study import folders, server, store

METHODS = ("delta", "alpha", "carol", "bravo")
"""In the order of their brightness, the darkest first."""

BRIGHTNESS = dict(zip(METHODS, (40, 90, 140, 190)))
HOST = "127.0.0.1:8765"
POST = {"origin": f"http://{HOST}"}


def joints(seed=0):
    """Fifteen joints, mm."""
    return np.random.default_rng(seed).normal(0, 400, (15, 3)).round(2).tolist()


def write_folder(path, method, level, items=6, side=16, kind="png", **changed):
    """One method's folder; `changed` overrides values of every item."""
    path.mkdir(parents=True, exist_ok=True)
    entries = []
    for i in range(items):
        # Names that give the method away, as they may in real folders.
        names = {"generated": f"{method}-{i}.{kind}", "source": f"source-{i}.png"}
        Image.new("RGB", (side, side), (level, level + i, level)).save(path / names["generated"])
        Image.new("RGB", (16, 16), (250, i, 0)).save(path / names["source"])
        entries.append({"id": f"test-{i:03}", **names, "target_joints": joints(i), **changed})
    about = {"format": 1, "method": method, "items": entries}
    (path / "study.json").write_text(json.dumps(about))
    return path


@pytest.fixture
def write():
    return write_folder


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Folders of four methods, which have different sizes, kinds and names of files."""
    folder = tmp_path_factory.mktemp("study")
    kinds = {"alpha": "jpg"}
    return [
        write_folder(
            folder / name, name, BRIGHTNESS[name], side=8 + 8 * i, kind=kinds.get(name, "png")
        )
        for i, name in enumerate(METHODS)
    ]


@pytest.fixture(scope="session")
def study(results):
    return folders.open_study(results)


@pytest.fixture
def open_store(study, tmp_path):
    """A function that opens the study's database, as often as one likes."""
    opened = []

    def make(seed=0, path=tmp_path / "answers" / "study.db"):
        rng = np.random.default_rng(seed)
        opened.append(store.Store(path, study.methods, study.items, study.identity, rng))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def visit(study, open_store):
    """A function that makes a browser of its own for a server that all of them share."""
    from fastapi.testclient import TestClient

    kept = open_store()

    def make(games=4, cookies=None):
        app = server.make_app(study, kept, games, [HOST])
        return TestClient(app, f"http://{HOST}", cookies=cookies, raise_server_exceptions=False)

    return make


def brightness(data):
    """The mean of a picture, 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(data))).mean()
