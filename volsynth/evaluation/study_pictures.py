"""The folder of a run's pictures for a study: what `volsynth study collect` makes.

The format is that of `volsynth.study.folders`. The pairs are the same for every run on the same
data.
"""

import json
import pathlib
import shutil
from typing import Any, Literal

import numpy as np

from volsynth import conventions, files, tasks
from volsynth.data import pipeline
from volsynth.errors import UserError, os_errors_explained
from volsynth.images import draw
from volsynth.runs import restoring
from volsynth.study import folders, metric_scores
from volsynth.tasks import gallery


def collect(
    workdir: pathlib.Path,
    out: pathlib.Path,
    count: int = 200,
    split_name: str = "test",
    step: int | Literal["best"] | None = None,
    method: str | None = None,
    data_dir: str | None = None,
) -> dict[str, Any]:
    """Generates pictures for pairs of a split, persons in turn, and describes them.

    Args:
      workdir: folder of the run.
      out: folder for the pictures; there must be no study in it.
      count: largest number of pairs.
      split_name: name of the split of the pairs.
      step: step of the checkpoint, as in `evaluate.evaluate_run`.
      method: name of the method in the study's report; default: the name of the workdir.
      data_dir: folder of the data, if it is not where it was in training.

    Returns:
      {"out", "method", "items", "split", "step", "scores": whether the results of `volsynth
      evaluate` for that split and step were found, and copied}.

    Raises:
      UserError: the count is not positive, the name cannot be one, the folder is taken or cannot be
        written, the system makes no pictures, or the run cannot be restored.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1, got {count}.")
    method = folders.check_method(method or workdir.resolve().name, "--method")
    if (out / folders.NAME).exists():
        raise UserError(f"{out} holds a study's pictures already: choose another folder, --out.")
    run = restoring.restore(workdir, (split_name,), step, data_dir)
    picture = tasks.TASKS[run.system.task].images
    if picture is None:
        raise UserError(f"{workdir} is a run of {run.config.system!r}, which makes no pictures.")
    with os_errors_explained("write pictures to", out):
        out.mkdir(parents=True, exist_ok=True)
    items = _write_items(run, picture, split_name, count, out)
    scored = _copy_results(workdir, split_name, run.step, out)
    about = {"format": folders.FORMAT, "method": method, "split": split_name, "step": run.step}
    # Last, so that a folder that has this file is complete.
    files.write_text(out / folders.NAME, json.dumps({**about, "items": items}, indent=1) + "\n")
    return {
        "out": str(out),
        "method": method,
        "items": len(items),
        "split": split_name,
        "step": run.step,
        "scores": scored,
    }


def _write_items(run, picture, split_name, count, out):
    """Writes the generated picture and the source of every pair; returns the study's items."""
    split = run.data.split(split_name)
    # The seed is fixed: a study compares runs on the same pairs.
    pairs = gallery.gallery_pairs(split, 0, count)
    make = restoring.predictor(run.system)
    items = []
    for batch in pipeline.evaluation_batches(split, pairs, run.config.evaluate.batch_size):
        images = np.asarray(picture(make(run.averages, batch)))
        for i in np.flatnonzero(batch["valid"]):
            source, target = pairs[len(items)]
            name = f"{split_name}-{source:06}-{target:06}"
            item = {"id": name, "generated": f"generated/{name}.png"}
            item["source"] = f"source/{name}.png"
            # Hundredths of a millimetre are far below any error of a pose, and keep the file short.
            item["target_joints"] = np.round(batch["target_joints_mm"][i], 2).tolist()
            draw.save_png(out / item["generated"], conventions.to_uint8(images[i]))
            draw.save_png(out / item["source"], conventions.to_uint8(batch["source_image"][i]))
            items.append(item)
    return items


def _copy_results(workdir, split_name, step, out):
    """Copies the results of `volsynth evaluate`, if they are of the same step; returns whether."""
    # Results of another step are of other weights, and would be shown beside the wrong pictures.
    path = workdir / f"evaluate-{split_name}" / "results.json"
    try:
        if json.loads(path.read_bytes())["step"] != step:
            return False
        shutil.copyfile(path, out / metric_scores.RESULTS)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
