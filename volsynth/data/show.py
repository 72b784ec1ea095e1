"""A contact sheet of a prepared data set: its pictures, with the skeletons drawn over them."""

import numpy as np
from PIL import Image

from volsynth import draw, skeleton
from volsynth.data import pipeline, prepared

# Ten colours that are told apart, one per part; the background stays dark.
_PART_COLOURS = np.array(
    [
        (40, 40, 40),
        (255, 225, 170),
        (160, 160, 160),
        (230, 80, 60),
        (255, 150, 110),
        (50, 110, 220),
        (120, 180, 255),
        (190, 60, 130),
        (245, 140, 190),
        (40, 150, 130),
        (130, 215, 190),
    ],
    np.uint8,
)
assert len(_PART_COLOURS) == skeleton.NUM_PARTS + 1


def contact_sheet(split: prepared.Split, count: int, seed: int = 0, cell: int = 128) -> Image.Image:
    """A table of random records: picture, skeleton over it, and part labels where there are any."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    numbers = np.sort(rng.permutation(split.records)[:count])
    fields = ["image", "joints_px", "visible", "person", "action", "camera"]
    record = pipeline.read_fields(split, numbers, [*fields, "parts"])
    cells, titles = [], []
    for i in range(len(numbers)):
        image = record["image"][i]
        over = draw.overlay_skeleton(image, record["joints_px"][i], record["visible"][i])
        cells.append([image, over, _PART_COLOURS[record["parts"][i, ..., 0]]])
        titles.append(f"{record['person'][i].decode()} {record['action'][i].decode()}")
    columns = min(3, len(cells))
    rows = [
        [picture for triple in cells[i : i + columns] for picture in triple]
        for i in range(0, len(cells) - len(cells) % columns, columns)
    ]
    return draw.grid(rows, ["picture", "joints", "parts"] * columns, cell=cell)
