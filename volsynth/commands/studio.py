"""The command of the studio: a page in the browser that poses the person of a picture."""

import pathlib
from typing import Any

from volsynth import progress
from volsynth.commands import shared
from volsynth.errors import UserError


def add(commands: Any) -> None:
    """Adds the command studio to the parser."""
    studio = shared.add_command(
        commands, "studio", _studio, "pose the person of a picture, on a page in the browser"
    )
    studio.add_argument("--model", required=True, help="of volsynth export")
    studio.add_argument("--estimator", metavar="DIR", help="finds poses; of volsynth export")
    studio.add_argument("--image", metavar="FILE", help="of the person that the page begins with")
    studio.add_argument(
        "--mask", metavar="FILE", help="white where the person is; default: it is found"
    )
    studio.add_argument(
        "--source-pose",
        metavar="FILE",
        help="of the person's pose (docs/data.md); default: it is found",
    )
    # Not the port of the study, so that both can run at once.
    shared.add_server_arguments(studio, 8766)


def _studio(options):
    if not options.image and (options.mask or options.source_pose):
        raise UserError("--mask and --source-pose are of --image FILE; give it, too.")
    # Before the imports below, which would fail with a traceback.
    shared.check_extra("the studio's page", "studio")
    from volsynth.generation.source import Source
    from volsynth.studio import server

    source = None
    if options.image:
        source = Source(
            pathlib.Path(options.image), _path(options.mask), _path(options.source_pose)
        )
    server.serve(
        pathlib.Path(options.model),
        _path(options.estimator),
        source,
        options.host,
        options.port,
        options.name,
        progress.say,
    )
    return 0


def _path(text):
    return pathlib.Path(text) if text else None
