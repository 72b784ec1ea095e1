"""A contact sheet of a prepared data set: its pictures, with the skeletons drawn over them."""

import numpy as np
from PIL import Image

from volsynth import draw
from volsynth.data import pipeline, prepared


def contact_sheet(split: prepared.Split, count: int, seed: int = 0, cell: int = 128) -> Image.Image:
    """A table of random records: picture, skeleton over it, and part labels where there are any.

    Records stand three to a row, at most as many as the split has; the last row may end in blanks.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    numbers = np.sort(rng.permutation(split.records)[:count])
    fields = ["image", "joints_px", "visible"]
    titles = ["picture", "joints"]
    if "parts" in pipeline.stored_fields(split, numbers[0]):
        fields, titles = [*fields, "parts"], [*titles, "parts"]
    record = pipeline.read_fields(split, numbers, fields)
    cells = []
    for i, image in enumerate(record["image"]):
        cells.append(
            [image, draw.overlay_skeleton(image, record["joints_px"][i], record["visible"][i])]
        )
        if "parts" in record:
            cells[-1].append(draw.PART_COLOURS[record["parts"][i, ..., 0]])
    columns = min(3, len(cells))
    blank = [np.full_like(cells[0][0], 255)] * len(titles)
    cells += [blank] * (-len(cells) % columns)
    rows = [
        [picture for record_cells in cells[i : i + columns] for picture in record_cells]
        for i in range(0, len(cells), columns)
    ]
    return draw.grid(rows, titles * columns, cell=cell)
