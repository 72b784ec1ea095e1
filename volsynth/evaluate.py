"""Scores of a run on a whole split, beside trivial baselines, and a gallery to look at."""

import json
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from PIL import Image

from volsynth import draw, files, metrics
from volsynth.data import pipeline, prepared
from volsynth.data.schema import MAGENTA
from volsynth.system import Batch

SCORES = ("ssim", "l1", "foreground_l1", "silhouette_iou")

Generate = Callable[[Batch], jax.Array]
"""A batch to images [B, H, W, 3] in [-1, 1]."""


def scores(images, batch: Batch) -> dict[str, jax.Array]:
    """Every score of some images against the batch's targets, one value per image."""
    target, mask = batch["target_image"], batch["target_mask"]
    return {
        "ssim": metrics.ssim(images, target),
        "l1": metrics.l1(images, target),
        "foreground_l1": metrics.foreground_l1(images, target, mask),
        "silhouette_iou": metrics.silhouette_iou(images, mask),
    }


def evaluate(
    generate: Generate,
    batches: Iterable[Batch],
    mean_image: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, dict[str, float]]:
    """Mean scores of the generated images and of two baselines, all in one pass.

    Args:
      generate: makes the images.
      batches: with `valid`.
      mean_image: [H, W, 3], the mean image of the training split.
      progress: called with the number of images scored in each batch.

    Returns:
      {"generated" | "source_unchanged" | "mean_training_image": {score: mean}}.
    """
    states = None
    score = jax.jit(_add_scores)
    for batch in batches:
        candidates = {
            "generated": generate(batch),
            "source_unchanged": batch["source_image"],
            "mean_training_image": np.broadcast_to(mean_image, batch["target_image"].shape),
        }
        if states is None:
            states = {name: metrics.start(SCORES) for name in candidates}
        states = score(states, candidates, batch)
        progress(int(np.sum(batch["valid"])))
    if states is None:
        raise ValueError("nothing to evaluate: there are no batches.")
    return {
        name: {key: float(value) for key, value in metrics.results(state).items()}
        for name, state in states.items()
    }


def _add_scores(states, candidates, batch):
    return {
        name: metrics.update(states[name], scores(images, batch), batch["valid"])
        for name, images in candidates.items()
    }


def mean_training_image(split: prepared.Split, batch_size: int, limit: int = 512) -> np.ndarray:
    """The mean of up to `limit` images, spread evenly over a split; [H, W, 3] in [-1, 1]."""
    numbers = np.unique(np.linspace(0, split.records - 1, min(limit, split.records)).astype(int))
    pairs = np.stack([numbers, numbers], axis=1)
    total, count = 0.0, 0
    for batch in pipeline.evaluation_batches(split, pairs, batch_size):
        total = total + np.sum(batch["target_image"][batch["valid"]], axis=0, dtype=np.float64)
        count += int(np.sum(batch["valid"]))
    return (total / count).astype(np.float32)


def gallery_pairs(split: prepared.Split, seed: int, count: int) -> np.ndarray:
    """Pairs for a gallery: one of every person in turn, then a second one, ..., [count, 2]."""
    pairs = pipeline.evaluation_pairs(split, seed)
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    order = rng.permutation(len(pairs))
    person = split.index["person"][pairs[order, 1]]
    turn = np.empty(len(order), int)
    for p in np.unique(person):
        turn[person == p] = np.arange(np.sum(person == p))
    return pairs[order[np.argsort(turn, kind="stable")]][:count]


def gallery(generate: Generate, batches: Iterable[Batch], cell: int = 128) -> Image.Image:
    """Source, target skeleton, generated, truth: a row for every pair, two pairs side by side."""
    rows = []
    for batch in batches:
        images = np.asarray(generate(batch))
        for i in np.flatnonzero(batch["valid"]):
            side = images.shape[1]
            skeleton = draw.skeleton_image(
                _enlarged(batch["target_joints"][i], side, cell), batch["target_visible"][i], cell
            )
            rows.append(
                [
                    draw.to_uint8(batch["source_image"][i]),
                    skeleton,
                    draw.to_uint8(images[i]),
                    draw.to_uint8(batch["target_image"][i]),
                ]
            )
    titles = ["source", "target pose", "generated", "truth"]
    if len(rows) % 2 == 0 and len(rows) > 4:
        half = len(rows) // 2
        rows = [left + right for left, right in zip(rows[:half], rows[half:])]
        titles = titles * 2
    return draw.grid(rows, titles, cell=cell)


def _enlarged(joints, side, cell):
    return np.asarray(joints) * (cell / side)


def protocol(data: prepared.Prepared, split: str, pairs: np.ndarray) -> dict[str, Any]:
    """Everything the scores depend on, as JSON values."""
    return {
        "data": f"{data.manifest['name']}/{data.manifest['config']} {data.manifest['version']}",
        "data_identity": data.identity,
        "split": split,
        "images": len(pairs),
        "image_size": data.image_size,
        "background": list(MAGENTA),
        "pairs": "every image of the split once as target, source another one of the outfit",
        "scores": {name: metrics.PROTOCOL[name] for name in ("all", *SCORES)},
        "mean_training_image": "of up to 512 images spread over the training split",
    }


def write_results(folder: pathlib.Path, results: dict[str, Any]) -> None:
    """Writes `results.json` and a table `results.md` into a folder, each of them whole."""
    files.write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    files.write_text(folder / "results.md", table(results))


def table(results: dict[str, Any]) -> str:
    """The scores as a Markdown table, one row for each kind of image."""
    rows = {"generated": results["metrics"], **results["baselines"]}
    lines = [
        "| | " + " | ".join(name.replace("_", " ") for name in SCORES) + " |",
        "|---" * (len(SCORES) + 1) + "|",
    ]
    for name, values in rows.items():
        cells = " | ".join(f"{values[key]:.3f}" for key in SCORES)
        lines.append(f"| {name.replace('_', ' ')} | {cells} |")
    return "\n".join(lines) + "\n"
