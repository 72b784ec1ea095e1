"""`volsynth animate`: one picture of a person, and a motion, as a clip."""

import functools
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from volsynth import conventions
from volsynth.diagnostics.volume_features import GENERATORS
from volsynth.errors import UserError, did_you_mean
from volsynth.export import exported_model
from volsynth.generation import backgrounds, generate, persons
from volsynth.generation.persons import Person, Square
from volsynth.images import clips
from volsynth.poses import keypoint_files, pose_library
from volsynth.poses.keypoint_files import Pose
from volsynth.poses.retargeting import Body
from volsynth.system import Batch

MOST_FRAMES = 100_000

FPS = 25.0
"""Of a motion that does not say it."""

BATCH = 8
"""Frames that are made at once."""

Make = Callable[[Sequence[Body]], UInt8[np.ndarray, "B S S 3"]]
"""Pictures of a person as some bodies; at most as many as a batch has."""


def animate(
    model: str | os.PathLike[str],
    source: generate.Source,
    motion: str | os.PathLike[str],
    out: str | os.PathLike[str],
    fps: float | None = None,
    frame: generate.Frame = "original",
    turn: float = 0.0,
    batch: int = BATCH,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda frames, count: frames,
    background: str = "own",
) -> dict[str, Any]:
    """Shows the person of a picture in a motion.

    Args:
      model: exported, that makes pictures.
      source: the person.
      motion: file of poses, whose frames are their order, or a name of `motions`.
      out: *.mp4, *.gif or a folder.
      fps: frames per second; None for the motion's own.
      frame: as in `generate.generate`.
      turn: degrees by which the motion is turned to the person's left.
      batch: frames that are made at once.
      watch: is given all frames and their number, and passes them on; to show progress.
      background: as in `generate.generate`; where files of clips would be transparent, magenta.

    Returns:
      {"clip": path, "frames": number, "fps", "encoded_once": whether the source was looked at only
      once, "seconds": without loading, "warnings": what is not as it was wanted}.

    Raises:
      UserError: something that was given cannot be read, or does not fit.
    """
    out = pathlib.Path(out)
    clips.check(out, FPS if fps is None else fps)
    if batch < 1:
        raise UserError(f"--batch must be at least 1, got {batch}.")
    generate.check_background(background, frame)
    if background == "transparent" and out.suffix:
        raise UserError(f"{out.suffix} files cannot be transparent; give --out a folder of frames.")
    poses, own_fps = find_motion(motion)
    fps = own_fps if fps is None else fps
    estimator = persons.load_estimator(source.estimator) if source.estimator else None
    generator = load(model)
    once = generator.config.system in GENERATORS
    who = generate.read_person(source, generator.image_size, estimator)
    bodies, square = persons.stage(poses, who, turn)
    start = time.perf_counter()
    behind = generate.behind_of(source, who, frame, background)
    warned = [f"{motion} has one pose: the clip is one frame"] if len(poses) == 1 else []
    if behind is not None and behind.shape[2] == 4 and out.suffix:
        behind = backgrounds.on_colour(behind)
        what = "what is behind the person is magenta"
        warned += [f"{out.suffix} files cannot be transparent: {what}"]
    make = (maker if once else whole_maker)(generator, who, square, batch)
    frames = (generate.framed(image, square, behind) for image in pictures_of(make, bodies, batch))
    clips.write(out, watch(frames, len(bodies)), fps)
    return {
        "clip": str(out),
        "frames": len(bodies),
        "fps": fps,
        "encoded_once": once,
        "seconds": round(time.perf_counter() - start, 3),
        "warnings": warned,
    }


def load(model: str | os.PathLike[str]) -> exported_model.Model:
    """An exported model that makes pictures, rebuilt from code if its system has a volume.

    Raises:
      UserError: as `persons.load_generator`.
    """
    generator = persons.load_generator(model)
    if generator.config.system not in GENERATORS:
        return generator
    # The networks' code takes a generator apart; a program is one piece.
    return persons.load_generator(model, program=False)


def find_motion(motion: str | os.PathLike[str]) -> tuple[list[Pose], float]:
    """The poses of a file, or else of a motion of that name, and their frames per second.

    Raises:
      UserError: there is neither, or as `read_motion`.
    """
    if pathlib.Path(motion).exists():
        return read_motion(pathlib.Path(motion)), FPS
    name = str(motion)
    if name not in pose_library.NAMES:
        raise UserError(
            f"--motion {name} is neither a file nor a motion's name; "
            f"{did_you_mean(name, pose_library.NAMES)}"
        )
    return pose_library.read(name), pose_library.FPS


def read_motion(path: str | os.PathLike[str]) -> list[Pose]:
    """The poses of a file, by their frames.

    Raises:
      UserError: the file cannot be read, has no poses or too many, or two of one frame.
    """
    return in_order(keypoint_files.read(path), path)


def in_order(poses: list[Pose], path: object) -> list[Pose]:
    """The poses of one motion, by their frames; messages name the file they are of.

    Raises:
      UserError: there are none or too many, or two of one frame.
    """
    if not 1 <= len(poses) <= MOST_FRAMES:
        raise UserError(f"{path} has {len(poses)} poses; a motion has 1 to {MOST_FRAMES:,}.")
    numbers = [pose.frame for pose in poses]
    # Without numbers, the order of the file is that of time.
    if not any(numbers):
        return poses
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{path} has several poses of one frame; a motion is of one person.")
    return sorted(poses, key=lambda pose: pose.frame)


class Features(NamedTuple):
    """What is computed of a person once.

    Attributes:
      volume: of the person.
      source: the fields of a batch of one that the rest needs.
    """

    volume: jax.Array
    source: Batch


class Apart:
    """A model that has a volume, in its two halves; compiled once for all persons."""

    def __init__(self, model: exported_model.Model):
        """`model` is rebuilt from code, of a system of `features.GENERATORS`."""
        generator = GENERATORS[model.config.system](model.config)
        self._variables = {"params": _nested(model.parameters)["generator"]}

        @jax.jit
        def encode(variables, image):
            return generator.apply(variables, image, method="encode")

        @jax.jit
        def finish(variables, volume, source, joints, visible):
            def repeat(value):
                return jnp.broadcast_to(value, (len(joints), *value.shape[1:]))

            apply = functools.partial(generator.apply, variables)
            given = {**source, "target_joints": joints, "target_visible": visible}
            warped, _ = apply(repeat(volume), jax.tree.map(repeat, given), method="move")
            side = float(source["source_image"].shape[2])
            return apply(warped, joints, visible, side, method="render")

        self._encode, self._finish = encode, finish

    def look(self, who: Person) -> Features:
        """Runs the half that sees the person alone."""
        source = {
            "source_image": conventions.to_float(who.image)[None],
            "source_joints": who.joints[None],
            "source_visible": who.body.visible[None],
        }
        return Features(self._encode(self._variables, source["source_image"]), source)

    def make(
        self, features: Features, bodies: Sequence[Body], square: Square, batch: int
    ) -> UInt8[np.ndarray, "B S S 3"]:
        """Pictures of the person as bodies in a square; at most `batch`, which is compiled once."""
        joints, visible = generate.in_square(_filled(bodies, batch), square)
        image = self._finish(self._variables, *features, joints, visible)
        return conventions.to_uint8(np.asarray(image)[: len(bodies)])


def maker(model: exported_model.Model, who: Person, square: Square, batch: int) -> Make:
    """Makes pictures of a person whose features are computed here, once.

    For each batch only the warp, the pose stream, and what comes after them run.

    Args:
      model: as `Apart` takes it.
      who: the person.
      square: that the bodies stand in.
      batch: bodies of all calls but the last.
    """
    apart = Apart(model)
    features = apart.look(who)
    return lambda bodies: apart.make(features, bodies, square, batch)


def whole_maker(model: exported_model.Model, who: Person, square: Square, batch: int) -> Make:
    """As `maker`, of any model: all of it runs for each picture."""

    def make(bodies):
        return generate.run(model, who, _filled(bodies, batch), square)[: len(bodies)]

    return make


def pictures_of(
    make: Make, bodies: Sequence[Body], batch: int
) -> Iterator[UInt8[np.ndarray, "S S 3"]]:
    """A picture of each body, in order; of one that is still, the same one again."""
    new, numbers = distinct(bodies)
    made = (image for at in range(0, len(new), batch) for image in make(new[at : at + batch]))
    image, last = None, -1
    for number in numbers:
        image, last = (next(made) if number > last else image), number
        yield image


def distinct(bodies: Sequence[Body]) -> tuple[list[Body], list[int]]:
    """Bodies without those that are like the one before, and for each the number of its own."""
    # Equal rows of a batch need not be equal to the last bit: sums may be split differently.
    is_new = [True] + [not _same(a, b) for a, b in itertools.pairwise(bodies)]
    new = [body for body, first in zip(bodies, is_new) if first]
    return new, [number - 1 for number in itertools.accumulate(map(int, is_new))]


def _same(a, b):
    return np.array_equal(a.visible, b.visible) and np.array_equal(a.joints, b.joints)


def _filled(bodies, count):
    """With the last one again, so that every batch is of the size that was compiled."""
    return [*bodies, *[bodies[-1]] * (count - len(bodies))]


def _nested(parameters: Mapping[str, jax.Array]) -> dict[str, Any]:
    """{"a/b/c": x} as {"a": {"b": {"c": x}}}."""
    nested: dict[str, Any] = {}
    for name, value in parameters.items():
        *folders, last = name.split("/")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return nested
