"""`volsynth generate`: the person of a user's picture in other poses, from files to files."""

import os
import pathlib
from typing import Any

from PIL import Image

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.generation import backgrounds, estimation, render
from volsynth.generation.backgrounds import Frame, composite
from volsynth.generation.persons import fit_poses
from volsynth.generation.sheet import draw_sheet
from volsynth.generation.source import Source, read_person
from volsynth.generation.targets import Targets, read_targets
from volsynth.images import draw


def generate(
    model: str | os.PathLike[str],
    source: Source,
    targets: Targets,
    out: str | os.PathLike[str],
    frame: Frame = "original",
    sheet: bool = False,
    turn: float = 0.0,
    background: str = "own",
    size: int | None = None,
) -> dict[str, Any]:
    """Shows the person of a picture in other poses.

    Args:
      model: exported model that makes pictures.
      source: the person.
      targets: the poses.
      out: PNG to write; for several targets a folder, in which pictures have the names of their
        poses.
      frame: "original": as large as the picture, with the person where it stood; "square": what the
        model makes, on magenta.
      sheet: whether `out` is one picture of source, skeletons and all that was generated.
      turn: angle in degrees by which the poses are turned to the person's left.
      background: background of an original frame, as for `backgrounds.make_background`.
      size: side of the model's square in pixels, as for `render.choose_side`.

    Returns:
      {"pictures": [paths], "targets": [names]}.

    Raises:
      UserError: something that was given cannot be read, or does not fit.
    """
    out = pathlib.Path(out)
    _check_out(out, targets, sheet)
    backgrounds.check(background, frame)
    # A place that cannot be written is told before minutes of work, and not after them.
    with os_errors_explained("write", out):
        files.check_place(out)
    estimator = estimation.load_estimator(source.estimator) if source.estimator else None
    wanted = read_targets(targets, estimator)
    # Only now is it known how many poses the files hold.
    if (sheet or len(wanted) == 1) != bool(out.suffix):
        what = "one PNG" if sheet or len(wanted) == 1 else "a folder, or with --sheet one PNG"
        raise UserError(f"--out of {len(wanted)} poses must be {what}, got {out}.")
    generator = render.load_generator(model)
    render.check_sources(generator, source)
    person = read_person(source, render.choose_side(generator, size), estimator)
    # Poses are fitted one by one: each gets a square of its own, in which it is as large as can be.
    fitted = [(body, crop) for (body,), crop in (fit_poses([p], person, turn) for _, p in wanted)]
    images = [render.render_bodies(generator, person, [body], crop)[0] for body, crop in fitted]
    names = [name for name, _ in wanted]
    behind = backgrounds.make_background(background, person, frame)
    with os_errors_explained("write", out):
        if sheet:
            draw.save_png(out, draw_sheet(person, names, fitted, images, behind))
            paths = [out]
        else:
            paths = [out] if out.suffix else [out / f"{name}.png" for name in names]
            for path, (_, crop), image in zip(paths, fitted, images):
                draw.save_png(path, Image.fromarray(composite(image, crop, behind)))
    return {"pictures": [str(path) for path in paths], "targets": names}


def _check_out(out, targets, sheet):
    """Checks the picture's name if one picture is certain, before any file is read."""
    # A single file of poses may hold several, for which `out` may be a folder without an ending.
    one = sheet or len(targets.names) + len(targets.images) + len(targets.files) == 1
    if one and out.suffix:
        draw.png_path(out)
