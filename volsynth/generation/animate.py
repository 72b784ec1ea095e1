"""`volsynth animate`: the person of a user's picture in a motion, as a clip."""

import os
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from volsynth.errors import UserError
from volsynth.generation import backgrounds, estimation, motions, render, staged
from volsynth.generation.backgrounds import Frame, composite
from volsynth.generation.persons import fit_poses
from volsynth.generation.source import Source, read_person
from volsynth.images import clips, reader


def animate(
    model: str | os.PathLike[str],
    source: Source,
    motion: str | os.PathLike[str],
    out: str | os.PathLike[str],
    fps: float | None = None,
    frame: Frame = "original",
    turn: float = 0.0,
    batch: int = render.BATCH,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda frames, count: frames,
    background: str = "own",
    size: int | None = None,
) -> dict[str, Any]:
    """Shows the person of a picture in a motion.

    Args:
      model: exported model that makes pictures.
      source: the person.
      motion: file of poses, a pose for each frame, or a name of `pose_library.MOTIONS`.
      out: clip to write, *.mp4 or *.gif, or a folder of frames.
      fps: frames per second; None for the motion's own.
      frame: "original" or "square", as for `generate.generate`.
      turn: angle in degrees by which the motion is turned to the person's left.
      batch: number of frames that are rendered at once.
      watch: receives an iterable of all frames and their number, and returns such an iterable; to
        show progress.
      background: background of an original frame, as for `generate.generate`; an MP4 or GIF file
        has magenta where it would be transparent.
      size: side of the model's square in pixels, as for `render.choose_side`.

    Returns:
      {"clip": path, "frames": number, "fps", "encoded_once": whether the source was encoded only
      once, "seconds": time without loading, "warnings": what is not as it was wanted}.

    Raises:
      UserError: something that was given cannot be read, or does not fit.
    """
    out = pathlib.Path(out)
    # What can be wrong with the arguments is told before a model is loaded, which takes seconds.
    clips.check(out, motions.FPS if fps is None else fps)
    if batch < 1:
        raise UserError(f"--batch must be at least 1, got {batch}.")
    backgrounds.check(background, frame)
    if background == "transparent" and out.suffix:
        raise UserError(f"{out.suffix} files cannot be transparent; give --out a folder of frames.")
    poses, own_fps = motions.find_motion(motion)
    fps = own_fps if fps is None else fps
    estimator = estimation.load_estimator(source.estimator) if source.estimator else None
    generator = staged.load_staged(model)
    once = staged.is_staged(generator)
    render.check_sources(generator, source)
    person = read_person(source, render.choose_side(generator, size), estimator)
    bodies, crop = fit_poses(poses, person, turn)
    # Loading depends on the disk and on what is in its cache; rates are told without it.
    start = time.perf_counter()
    # Once for all frames: it is the same, and filling in a large picture takes time.
    behind = backgrounds.make_background(background, person, frame)
    # Most likely a file of a single pose was given by mistake; a clip of it is still a clip.
    warnings = [f"{motion} has one pose: the clip is one frame"] if len(poses) == 1 else []
    if behind is not None and behind.shape[2] == 4 and out.suffix:
        behind = reader.over_colour(behind)
        what = "what is behind the person is magenta"
        warnings += [f"{out.suffix} files cannot be transparent: {what}"]
    make_render = staged.render_staged if once else render.render_whole
    images = render.render_frames(make_render(generator, person, crop, batch), bodies, batch)
    # Frames are made as they are written: a long clip does not fit into memory.
    frames = (composite(image, crop, behind) for image in images)
    clips.write(out, watch(frames, len(bodies)), fps)
    return {
        "clip": str(out),
        "frames": len(bodies),
        "fps": fps,
        "encoded_once": once,
        "seconds": round(time.perf_counter() - start, 3),
        "warnings": warnings,
    }
