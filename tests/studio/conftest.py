"""Pages of studios with small models."""

import contextlib

import own_pictures
import pytest
from visiting import HOST, Page

from volsynth import features
from volsynth.studio import rendering, server


@pytest.fixture(scope="session")
def halves():
    """A model with a volume, ready to render."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(features.GENERATORS, "halves", lambda config: own_pictures.Halves())
        renderer = rendering.Renderer(own_pictures.halves())
        renderer.warm_up()
        yield renderer


@pytest.fixture(scope="session")
def dots():
    """A model that runs whole, and puts dots on the joints."""
    return rendering.Renderer(own_pictures.dots())


@contextlib.contextmanager
def _pages(dots):
    from fastapi.testclient import TestClient

    with contextlib.ExitStack() as visits:

        def make(renderer=dots, estimator=None, who=None):
            app = server.make_app(renderer, estimator, [HOST], who)
            client = TestClient(app, f"http://{HOST}", raise_server_exceptions=False)
            # Entered, it keeps one event loop for all requests.
            return Page(visits.enter_context(client))

        yield make


@pytest.fixture
def visit(dots):
    """A function that opens a page of a server of its own."""
    with _pages(dots) as make:
        yield make


@pytest.fixture(scope="session")
def page(dots):
    """A page of a server that tests share."""
    with _pages(dots) as make:
        yield make()


@pytest.fixture(scope="session")
def brought(tmp_path_factory):
    """A picture with a transparent background: file, pose of `keypoints`, mask."""
    from volsynth import keypoints

    found, mask = own_pictures.bring(tmp_path_factory.mktemp("brought"), "alpha")
    (pose,) = keypoints.read(found["pose"])
    return found["image"], pose, mask
