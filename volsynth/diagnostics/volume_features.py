"""The contents of a trained model's volume: views of it, and images from half of its layers.

Knoche 2019, sections 6.2.4 and 6.3: tables 6.7, 6.11 and 6.13 (views) and 6.14 (deleted features).
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from volsynth import conventions, metrics, systems
from volsynth.config import config_from_dict
from volsynth.data import pipeline
from volsynth.diagnostics import volume_views
from volsynth.errors import UserError, os_errors_explained
from volsynth.images import draw, grids
from volsynth.runs import restoring
from volsynth.skeleton import NUM_PARTS
from volsynth.system import Batch, Stages, Variables
from volsynth.tasks import gallery
from volsynth.train import run_record

_TITLES = (
    "source",
    *(f"parts: {view}" for view in volume_views.VIEWS),
    *(f"before the warp: {view}" for view in volume_views.VIEWS),
    *(f"after the warp: {view}" for view in volume_views.VIEWS),
    "generated",
    "from inner layers only",
    "from outer layers only",
    "truth",
)


def draw_features(
    workdir: pathlib.Path,
    split_name: str,
    step: int | Literal["best"] | None = None,
    count: int = 4,
    data_dir: str | None = None,
    out: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Draws what a run's volume holds for some pairs of a split, and measures it.

    Args:
      workdir: the folder of the run.
      split_name: the name of the split.
      step: the checkpoint, as in `training.restore`.
      count: the number of pairs.
      data_dir: the folder of the data sets, as in `training.restore`.
      out: the path of the picture; by default `features.png` in the workdir.

    Returns:
      {"picture", "split", "step", "layers": D, "inner_layers": [those of the inner half],
      "pairs": [`measure_pair` of each], "mean": the means of those, "across_pairs": the
      correlations, over the pairs, of centre and width of parts with those of features}.

    Raises:
      UserError: the system has no volume or one that is too shallow, the count is not positive, the
        picture cannot be written, or whatever `training.restore` raises.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1, got {count}.")
    out = draw.png_path(out or workdir / "features.png")
    # All that can be refused is refused before the run is restored, which takes long.
    config = config_from_dict(run_record.read_run(workdir)["config"])
    stages = _volume_stages(config)
    if stages is None:
        raise UserError(
            f"{workdir} is a run of {config.system!r}, which has no volume to look into; give a "
            "run of a system that has one, such as volumetric."
        )
    with os_errors_explained("write the picture to", out):
        out.parent.mkdir(parents=True, exist_ok=True)
    run = restoring.restore(workdir, (split_name,), step, data_dir)
    split = run.data.split(split_name)
    seen = _viewed_pairs(run, split, stages, count)
    draw.save_png(out, feature_sheet(seen))
    # Correlations with the parts of other pairs tell what a correlation with the own ones is worth.
    rows = [measure_pair(pair, [other for other in seen if other is not pair]) for pair in seen]
    layers = seen[0]["before"]["side"].shape[1]
    return {
        "picture": str(out),
        "split": split_name,
        "step": run.step,
        "layers": layers,
        "inner_layers": np.flatnonzero(volume_views.inner_layers(layers)).tolist(),
        "pairs": rows,
        "mean": _mean(rows),
        "across_pairs": _across_pairs(rows),
    }


def _volume_stages(config) -> Stages | None:
    """The stages of the config's system, if it encodes sources as volumes; else None."""
    system = systems.make(config)
    if system.stages is None:
        return None
    batch = system.batch_spec(1, config.data.image_size)
    variables = jax.eval_shape(system.init, jax.random.key(0), batch)
    features = jax.eval_shape(system.stages.encode, variables, batch)
    return system.stages if "volume" in features else None


def _viewed_pairs(run, split, stages, count):
    """Views and images of the first pairs of a gallery of the split."""
    probe = volume_probe(stages)
    pairs = gallery.gallery_pairs(split, 0, count)
    seen = []
    for batch in pipeline.evaluation_batches(split, pairs, run.config.evaluate.batch_size):
        # The averages of the parameters: they are what is scored and exported.
        outputs = {**batch, **probe(run.averages, batch)}
        # The last batch is filled up with pairs that do not count.
        for i in np.flatnonzero(batch["valid"]):
            # Reduced to views at once: the volumes of all pairs would fill the memory.
            seen.append(_views_of({key: np.asarray(value[i]) for key, value in outputs.items()}))
    return seen


def _across_pairs(rows):
    """Correlations, over the pairs, of the depths of the parts with those of the features."""
    return {
        key: volume_views.correlation(
            [row["depth"]["parts"][key] for row in rows],
            [row["depth"]["before"][key] for row in rows],
        )
        for key in ("centre", "width")
    }


def volume_probe(stages: Stages) -> Callable[[Variables, Batch], dict[str, jax.Array]]:
    """Returns a function that computes the volumes in a network, and images from parts of them.

    The function takes the variables and a batch. It returns "volume", "warped", "masks" and
    "image", and as "inner" and "outer" the images that are rendered when only the inner or the
    outer half of the volume's layers is kept, and the other is set to zero before the warp.
    """

    encode = jax.jit(stages.encode)

    @jax.jit
    def finish(variables, features, batch, kept):
        # Depth is the last axis but one, before the channels.
        volume = jnp.where(kept[:, None], features["volume"], 0)
        moved = stages.move(variables, {**features, "volume": volume}, batch)
        return {**moved, "image": stages.render(variables, moved, batch)["image"]}

    def probe(variables, batch):
        features = encode(variables, batch)
        volume = features["volume"]
        # Only here is the depth known: it belongs to the config, not to the generator's interface.
        inner = volume_views.inner_layers(volume.shape[3])
        halves = {
            name: finish(variables, features, batch, kept)["image"]
            for name, kept in (("inner", inner), ("outer", ~inner))
        }
        # All layers kept, as an argument: the compiled function serves all three.
        return {"volume": volume, **finish(variables, features, batch, inner | True), **halves}

    return probe


def _views_of(pair):
    """Reduces the volumes of one pair to the views that are drawn and measured."""
    shown = {key: value for key, value in pair.items() if key not in ("volume", "warped", "masks")}
    return {
        **shown,
        "before": volume_views.volume_views(pair["volume"]),
        "after": volume_views.volume_views(pair["warped"]),
        "parts": volume_views.part_views(pair["masks"]),
    }


def measure_pair(pair: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Computes the numbers behind one row of the picture.

    Args:
      pair: the images, masks and views of the pair.
      others: those of the other pairs.

    Returns:
      "silhouette": for the front view before and after the warp, the share of it inside the
        person's silhouette and the share of the picture that the silhouette covers;
      "depth": centre and width of the depth profiles of the side views, as shares of the depth;
      "correlation": of the features before the warp with the parts, for depth profiles ("profile")
        and whole side views ("side"): with the pair's own parts and, on average, with the others';
      "l1": of the images from half of the layers, against the image from all.
    """
    # Before the warp the features stand where the source is, after it where the target is.
    silhouettes = {
        when: volume_views.share_inside(pair[when]["front"], pair[f"{role}_mask"])
        for when, role in (("before", "source"), ("after", "target"))
    }
    sides = {"parts": _covered(pair), **{when: pair[when]["side"] for when in ("before", "after")}}
    profiles = {name: volume_views.depth_profile(side) for name, side in sides.items()}
    return {
        "silhouette": {
            when: {"inside": inside, "area": area} for when, (inside, area) in silhouettes.items()
        },
        "depth": {
            name: dict(zip(("centre", "width"), volume_views.centre_and_width(profile)))
            for name, profile in profiles.items()
        },
        "correlation": {
            "profile": _correlations(_profile_of, pair, others),
            "side": _correlations(_covered, pair, others),
        },
        "l1": {
            # The metric wants a batch.
            half: float(
                metrics.l1(jnp.asarray(pair[half])[None], jnp.asarray(pair["image"])[None])[0]
            )
            for half in ("inner", "outer")
        },
    }


def _covered(pair):
    """The side view of all parts together: [H, D], 0 or 1."""
    side = pair["parts"]["side"]
    # Without the offcut, whose label is above those of the parts.
    return ((side > 0) & (side <= NUM_PARTS)).astype(np.float64)


def _profile_of(pair):
    return volume_views.depth_profile(_covered(pair))


def _correlations(of_parts, pair, others):
    # Before the warp: after it, the masks have cut the features to the shape of the parts.
    side = pair["before"]["side"]
    seen = volume_views.depth_profile(side) if of_parts is _profile_of else side
    own, *rest = (volume_views.correlation(seen, of_parts(each)) for each in (pair, *others))
    # A pair whose view does not vary has no correlation.
    known = [value for value in rest if value is not None]
    return {"own": own, "others": float(np.mean(known)) if known else None}


def _mean(rows):
    """The means of nested dicts of numbers, key by key; None where no row has a number."""
    if isinstance(rows[0], Mapping):
        return {key: _mean([row[key] for row in rows]) for key in rows[0]}
    numbers = [value for value in rows if value is not None]
    return float(np.mean(numbers)) if numbers else None


def feature_sheet(pairs: Sequence[Mapping[str, Any]], cell: int = 128) -> Image.Image:
    """Draws a row for every pair: source, views, and images from all and from half of the layers.

    Side and top views are stretched to squares. The three views of a volume share one scale of
    brightness.

    Args:
      pairs: the images and views of every pair.
      cell: the side of a picture in the table, in pixels.
    """
    rows = []
    for pair in pairs:
        row = [conventions.to_uint8(pair["source_image"])]
        row += [
            _square(draw.PART_COLOURS[pair["parts"][view]], cell) for view in volume_views.VIEWS
        ]
        for when in ("before", "after"):
            # 1 for a volume that is zero everywhere.
            brightest = max(np.max(pair[when][view]) for view in volume_views.VIEWS) or 1.0
            for view in volume_views.VIEWS:
                row.append(_square(draw.heat_image(pair[when][view] / brightest), cell))
        row += [
            conventions.to_uint8(pair[name]) for name in ("image", "inner", "outer", "target_image")
        ]
        rows.append(row)
    return grids.grid(rows, _TITLES, cell=cell)


def _square(view, cell):
    # Nearest neighbours: labels have no mean, and voxels should stay visible.
    return np.asarray(Image.fromarray(view).resize((cell, cell), Image.Resampling.NEAREST))


def summary(report: Mapping[str, Any]) -> str:
    """Returns the means of a report of `draw_features` in sentences."""
    mean, pairs = report["mean"], report["pairs"]
    lines = [f"{report['picture']}: {len(pairs)} pairs of {report['split']}, step {report['step']}"]
    for when in ("before", "after"):
        share = mean["silhouette"][when]
        lines.append(
            f"front view {when} the warp: {share['inside']:.0%} inside the person, who covers "
            f"{share['area']:.0%} of the picture"
        )
    side = mean["correlation"]["side"]
    lines.append(
        f"side view before the warp: correlation {_number(side['own'])} with the person's parts, "
        f"{_number(side['others'])} with those of the others"
    )
    for half in ("inner", "outer"):
        lines.append(f"images from {half} layers only: L1 {mean['l1'][half]:.4f} to the whole ones")
    return "\n".join(lines)


def _number(value):
    return "unknown" if value is None else f"{value:.2f}"
