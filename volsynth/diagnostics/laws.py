"""Laws that pictures of people in new poses should keep, measured for a trained run.

* Own pose: a person who is asked to stay in the pose of the source looks like the source.
* Shift: where picture and poses are moved, what is made of them moves along.
* Mirror: of the mirror image of picture and poses, with left and right exchanged, the mirror image
  is made.

No score of a test set shows where a system breaks them. They are compared by SSIM over the person,
which is 1 where a law is kept to the last digit.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import conventions, fields, metrics, systems
from volsynth.config import config_from_dict
from volsynth.data import pipeline, sampling
from volsynth.errors import UserError, os_errors_explained
from volsynth.images import draw, grids
from volsynth.ops import geometry, windows
from volsynth.runs import restoring
from volsynth.runs.restoring import RestoredRun
from volsynth.system import Batch
from volsynth.tasks import gallery
from volsynth.train import run_record

SHIFT = 4
"""The number of pixels by which pictures and poses are moved, to the right and downward."""

SHOWN = 4
"""The number of pairs in the picture."""

_TITLES = (
    *("source", "in its own pose", "generated"),
    *("of what was moved, moved back", "of the mirror image, mirrored back"),
)


def measure_laws(
    workdir: pathlib.Path,
    split_name: str,
    step: int | Literal["best"] | None = None,
    count: int = 64,
    data_dir: str | None = None,
    out: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Measures how well a run keeps the laws, and draws some examples.

    Args:
      workdir: the folder of the run.
      split_name: the name of the split.
      step: the checkpoint, as in `training.restore`.
      count: the number of pairs; they are those of a gallery.
      data_dir: the folder of the data sets, as in `training.restore`.
      out: the path of the picture; by default `laws.png` in the workdir.

    Returns:
      {"picture", "split", "step", "pairs": their number, "laws": {"own_pose", "shift" and "mirror":
      {"mean" and "lowest" SSIM over the person}}}.

    Raises:
      UserError: the system makes no images, the count is not positive, the picture cannot be
        written, or whatever `training.restore` raises.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1, got {count}.")
    out = draw.png_path(out or workdir / "laws.png")
    config = config_from_dict(run_record.read_run(workdir)["config"])
    if "image" not in fields.TASK_OUTPUTS[systems.make(config).task]:
        raise UserError(
            f"{workdir} is a run of {config.system!r}, which makes no images; give a run of a "
            "system that does, such as reprojection."
        )
    with os_errors_explained("write the picture to", out):
        out.parent.mkdir(parents=True, exist_ok=True)
    run = restoring.restore(workdir, (split_name,), step, data_dir)
    kept, rows, pairs = {}, [], 0
    make = _maker(run)
    for batch in _batches(run, split_name, count):
        valid = np.flatnonzero(batch["valid"])
        pairs += len(valid)
        found, shown = _look(make, batch)
        for name, (values, known) in found.items():
            kept.setdefault(name, []).extend(np.asarray(values)[valid][np.asarray(known)[valid]])
        rows += [[conventions.to_uint8(column[i]) for column in shown] for i in valid]
    draw.save_png(out, grids.grid(rows[:SHOWN], _TITLES))
    laws = {
        name: {"mean": float(np.mean(values)), "lowest": float(np.min(values))}
        for name, values in kept.items()
    }
    return {
        "picture": str(out),
        "split": split_name,
        "step": run.step,
        "pairs": pairs,
        "laws": laws,
    }


def _batches(run: RestoredRun, split_name, count):
    """Batches of the first pairs of a gallery, with all that the system reads, and masks."""
    names = [*dict.fromkeys((*run.system.inputs, "source_mask", "target_mask"))]
    split, sampler = run.data.split(split_name), sampling.find_sampler(names)
    pairs = gallery.gallery_pairs(split, 0, count, keep_unpaired=False, sampler=sampler)
    yield from pipeline.evaluation_batches(split, pairs, run.config.evaluate.batch_size, names)


def _maker(run: RestoredRun) -> Callable[[Batch], np.ndarray]:
    """The images [B, S, S, 3] that a run makes of batches."""
    predict = restoring.predictor(run.system)

    def make(batch):
        made = predict(run.averages, {name: batch[name] for name in run.system.inputs})
        return np.asarray(made["image"] if isinstance(made, Mapping) else made)

    return make


def _look(make, batch):
    """SSIM of every law for each example, with whether it has one, and images of each."""
    person, target = batch["source_mask"], batch["target_mask"]
    own = make(own_pose(batch))
    made = make(batch)
    moved = shifted(make(shift(batch, SHIFT)), -SHIFT)
    # What was moved out of the picture is not compared, nor are windows that reach there.
    lost = SHIFT + windows.WINDOW // 2
    inside = np.zeros(target.shape[1:], bool)
    inside[:-lost, :-lost] = True
    mirrored = make(mirror(batch))[:, :, ::-1]
    compared = {
        "own_pose": (own, batch["source_image"], person),
        "shift": (moved, made, target & inside),
        "mirror": (mirrored, made, target),
    }
    found = {name: (_ssim(*of), _has(of[2])) for name, of in compared.items()}
    return found, (batch["source_image"], own, made, moved, mirrored)


@jax.jit
def _ssim(one, other, mask):
    return metrics.foreground_ssim(jnp.asarray(one), jnp.asarray(other), jnp.asarray(mask))


def _has(mask):
    return metrics.has_window(jnp.asarray(mask))


def own_pose(batch: Batch) -> Batch:
    """The batch whose targets are its sources."""
    source = {
        name.replace("source_", "target_"): value
        for name, value in batch.items()
        if name.startswith("source_")
    }
    return {**batch, **source}


def shift(batch: Batch, pixels: int) -> Batch:
    """The batch whose pictures and poses are moved to the right and downward."""
    changed = {}
    for name, value in batch.items():
        if name.endswith("_image"):
            changed[name] = shifted(value, pixels)
        elif name.endswith("_joints"):
            # Depth is that of before: nothing comes nearer.
            changed[name] = value + np.array([pixels, pixels, 0], value.dtype)
    return {**batch, **changed}


def shifted(images: np.ndarray, pixels: int) -> np.ndarray:
    """Images moved to the right and downward, or for negative numbers back; magenta comes in."""
    moved = np.empty_like(images)
    moved[:] = np.asarray(conventions.BACKGROUND, images.dtype)
    if pixels >= 0:
        moved[:, pixels:, pixels:] = images[
            :, : images.shape[1] - pixels, : images.shape[2] - pixels
        ]
    else:
        moved[:, :pixels, :pixels] = images[:, -pixels:, -pixels:]
    return moved


def mirror(batch: Batch) -> Batch:
    """The batch as a mirror shows it: left and right of pictures and of persons are exchanged."""
    changed = {}
    for name, value in batch.items():
        role, _, kind = name.partition("_")
        if kind == "image":
            changed[name] = value[:, :, ::-1]
        elif kind == "joints":
            side = float(batch[f"{role}_image"].shape[2])
            pose = geometry.mirrored_pose(value, batch[f"{role}_visible"], side)
            changed[name], changed[f"{role}_visible"] = pose
    return {**batch, **changed}


def summary(report: Mapping[str, Any]) -> str:
    """Returns a report of `measure_laws` in sentences."""
    what = {
        "own_pose": "in its own pose a person looks like the source",
        "shift": f"moved by {SHIFT} pixels, the result moves along",
        "mirror": "of a mirror image the mirror image is made",
    }
    lines = [f"{report['picture']}: {report['pairs']} pairs of {report['split']}"]
    lines += [
        f"{what[name]}: SSIM over the person {law['mean']:.3f}, at least {law['lowest']:.3f}"
        for name, law in report["laws"].items()
    ]
    return "\n".join(lines)
