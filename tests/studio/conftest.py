"""Pages of studios with small models: as requests, and in a browser."""

import contextlib

import own_pictures
import pytest
from dots_server import serving
from visiting import HOST, Page
from visitor import Visitor

from volsynth import systems
from volsynth.generation.source import Source, read_person
from volsynth.photographs import persons
from volsynth.studio import rendering, server


@pytest.fixture(autouse=True)
def _nobody(monkeypatch):
    """Networks that see nobody: theirs take seconds to compile."""
    monkeypatch.setattr(persons, "find_person", lambda image: None)


@pytest.fixture(scope="session")
def halves():
    """A model with a volume, ready to render."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(systems.SYSTEMS, "halves", own_pictures.halves_system)
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
    """A picture with a transparent background: file, pose of `keypoint_files`, mask."""
    from volsynth.poses import keypoint_files

    found, mask = own_pictures.bring(tmp_path_factory.mktemp("brought"), "alpha")
    (pose,) = keypoint_files.read(found["pose"])
    return found["image"], pose, mask


@pytest.fixture
def who(brought):
    """The person of the brought picture, by the functions of the command line."""
    return lambda side: read_person(
        Source(brought[0], None, brought[0].with_name("pose.json")), side, None
    )


@pytest.fixture(scope="session")
def studio():
    """A studio in a process of its own, that tests share."""
    with serving() as started:
        yield started


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """The names of a picture of 120 x 160 pixels, its mask and its pose."""
    found, _ = own_pictures.bring(tmp_path_factory.mktemp("files"), "mask")
    return found


@pytest.fixture
def browse(browser):
    """A function that opens the page in a browser; in the end nothing must have gone wrong there,
    and nothing been asked for elsewhere."""
    visitors = []

    def make(studio, **options):
        visitors.append(Visitor(browser, studio.address, **options))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.close()
