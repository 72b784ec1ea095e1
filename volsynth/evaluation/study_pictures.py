"""A folder of a run's pictures for a study: what `volsynth study collect` makes.

The format is that of `volsynth.study.folders`. Items are the same for every run on the same data.
"""

import json
import pathlib
import shutil
from typing import Any, Literal

import numpy as np

from volsynth import conventions, files, tasks
from volsynth.data import pipeline
from volsynth.errors import UserError
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
      workdir: of the run.
      out: folder for the pictures; there must be no study in it.
      count: most pairs.
      split_name: whose pairs.
      step: as in `runs.restore`.
      method: name in the report; default: that of the workdir.
      data_dir: where the data is, if not where it was in training.

    Returns:
      {"out", "method", "items", "split", "step", "scores": whether the results of `volsynth
      evaluate` for that split and step were found, and copied}.

    Raises:
      UserError: the count is not positive, the name cannot be one, the folder is taken or cannot be
        written, the system makes no pictures, or whatever `runs.restore` raises.
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
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write pictures to {out}: {error.strerror}.") from error
    split = run.data.split(split_name)
    pairs = gallery.gallery_pairs(split, 0, count)
    make = restoring.predictor(run.system)
    entries = []
    for batch in pipeline.evaluation_batches(split, pairs, run.config.evaluate.batch_size):
        images = np.asarray(picture(make(run.averages, batch)))
        for i in np.flatnonzero(batch["valid"]):
            source, target = pairs[len(entries)]
            name = f"{split_name}-{source:06}-{target:06}"
            entry = {"id": name, "generated": f"generated/{name}.png"}
            entry["source"] = f"source/{name}.png"
            entry["target_joints"] = np.round(batch["target_joints_mm"][i], 2).tolist()
            draw.save_png(out / entry["generated"], conventions.to_uint8(images[i]))
            draw.save_png(out / entry["source"], conventions.to_uint8(batch["source_image"][i]))
            entries.append(entry)
    scored = _copy_results(workdir, split_name, run.step, out)
    about = {"format": folders.FORMAT, "method": method, "split": split_name, "step": run.step}
    # Last, so that a folder with it is whole.
    files.write_text(out / folders.NAME, json.dumps({**about, "items": entries}, indent=1) + "\n")
    return {
        "out": str(out),
        "method": method,
        "items": len(entries),
        "split": split_name,
        "step": run.step,
        "scores": scored,
    }


def _copy_results(workdir, split_name, step, out):
    """Copies what `volsynth evaluate` wrote, if it is about the same weights."""
    path = workdir / f"evaluate-{split_name}" / "results.json"
    try:
        if json.loads(path.read_bytes())["step"] != step:
            return False
        shutil.copyfile(path, out / metric_scores.RESULTS)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
