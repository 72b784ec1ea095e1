"""The server of the studio: FastAPI and uvicorn, of the extra `[studio]`.

docs/studio.md has the table of requests. Pictures, persons and motions are held in memory, under
random names; nothing that comes from the browser is a path.
"""

import functools
import importlib.resources
import pathlib
from collections.abc import Callable, Sequence

import fastapi

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import staged
from volsynth.generation.persons import Person
from volsynth.generation.source import Source, read_person
from volsynth.studio import cache, rendering, request_bodies, routes
from volsynth.studio.job_queue import ClientGoneError, QueueFullError
from volsynth.studio.state import Studio
from volsynth.web import guard, serving


def make_app(
    renderer: rendering.Renderer,
    estimator: exported_model.Model | None,
    hosts: Sequence[str],
    person: Person | None = None,
) -> guard.Guard:
    """Makes the application that answers the page, behind its guard.

    Args:
      renderer: the model, ready to render.
      estimator: finds the poses in pictures; None for the package's own networks.
      hosts: the values of the header Host that are answered; see `volsynth.web.guard.Guard`.
      person: the person that the page begins with.
    """
    # FastAPI's pages of documentation load scripts from elsewhere, which the guard would block.
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    studio = Studio(renderer, estimator, person)
    for make_routes in (
        routes.picture_routes,
        routes.person_routes,
        routes.render_routes,
        routes.motion_routes,
    ):
        app.include_router(make_routes(studio))
    page = importlib.resources.files("volsynth.studio") / "page"
    serving.add_page(app, "volsynth.studio", sorted(file.name for file in page.iterdir()))
    _add_error_handlers(app)
    # The page shows pictures that it fetched, and those that were dropped: both are blobs.
    return guard.Guard(app, hosts, request_bodies.limits_of, image_sources="'self' blob:")


def _add_error_handlers(app):
    for error, status, line, headers in (
        (
            cache.ForgottenError,
            410,
            "The server has forgotten it: drop the picture again.",
            None,
        ),
        (cache.UnknownError, 404, "There is no such thing.", None),
        # The client does not hear it; 499 is what nginx writes into its log for such.
        (ClientGoneError, 499, "You did not wait.", None),
        (QueueFullError, 503, "Too many are waiting. Try again soon.", {"retry-after": "1"}),
    ):
        app.add_exception_handler(
            error, functools.partial(_refuse, status=status, line=line, headers=headers)
        )
    # What is wrong with a request is an HTTPException by now; a UserError that is left is about
    # this machine, and may name its files.
    serving.add_error_handlers(app, _describe_invalid, (UserError,))


def _refuse(request, error, status, line, headers):
    return serving.error_response(status, line, headers)


def _describe_invalid(errors):
    """The status and the one line for the first of pydantic's errors."""
    error = errors[0]
    place, *within = error["loc"]
    if place == "path":
        # The number of a frame that is none is an address that leads nowhere.
        return 404, "There is no such thing."
    where = ".".join(map(str, within))[:80]
    return 422, f"{where or 'The body'}: {error['msg'][:200]}."


def serve(
    model: pathlib.Path,
    estimator: pathlib.Path | None = None,
    source: Source | None = None,
    host: str = "127.0.0.1",
    port: int = 8766,
    names: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serves the studio until it is stopped by Ctrl-C or SIGTERM.

    Args:
      model: folder of an exported model that makes pictures.
      estimator: folder of an exported model that finds poses.
      source: the picture of the person that the page begins with.
      host: the address to listen at.
      port: the port; 0 takes a free one.
      names: further names by which browsers reach the server, with their ports where these are not
        80 or 443. `host` itself is one, and so are this machine's names for itself where `host` is
        one of them.
      say: is told what goes on, a line at a time.

    Raises:
      UserError: something cannot be read, the address cannot be listened at, or no name by which
        browsers reach the server is known.
    """
    serving.check_address(host, port, names)
    # Before the model is loaded, which takes long: a port may be in use.
    with serving.open_socket(host, port) as listener:
        port = listener.getsockname()[1]
        pose_estimator = rendering.load_estimator(estimator) if estimator else None
        renderer = rendering.Renderer(staged.load_staged(model))
        person = None
        if source:
            person = read_person(source, renderer.image_size, pose_estimator)
        say("compiling the model; it takes up to a minute")
        renderer.warm_up()
        hosts = [*serving.host_names(host, port), *names]
        app = make_app(renderer, pose_estimator, hosts, person)
        serving.announce(say, host, port)
        serving.run(app, listener)
