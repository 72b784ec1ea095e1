"""A small study of four methods, its database, and browsers that visit it."""

import contextlib

import numpy as np
import pytest
from small_study import BRIGHTNESS, HOST, METHODS, write_folder

from volsynth.study import comparison, server, store


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


@pytest.fixture
def pair(tmp_path):
    """Folders of two methods, which a test may change."""
    return [write_folder(tmp_path / name, name, BRIGHTNESS[name], items=3) for name in METHODS[:2]]


@pytest.fixture(scope="session")
def study(results):
    return comparison.open_study(results)


@pytest.fixture
def open_store(study, tmp_path):
    """A function that opens the study's database, as often as one likes."""
    opened = []

    def make(seed=0, path=tmp_path / "answers" / "study.db", hasty=False):
        rng = np.random.default_rng(seed)
        opened.append(store.AnswerStore(path, study.methods, study.items, study.identity, rng))
        if hasty:
            # Hundreds of answers need not outlive the machine one by one.
            opened[-1]._connection.execute("PRAGMA synchronous = OFF")
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def visit(study, open_store):
    """A function that makes a browser of its own for a server that all of them share."""
    from fastapi.testclient import TestClient

    kept = open_store(hasty=True)

    with contextlib.ExitStack() as visits:

        def make(games=4, cookies=None):
            app = server.make_app(study, kept, games, [HOST])
            options = {"cookies": cookies, "raise_server_exceptions": False}
            # Entered, it keeps one thread for all requests.
            return visits.enter_context(TestClient(app, f"http://{HOST}", **options))

        yield make
