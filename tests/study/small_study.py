"""Small studies: every picture is of one colour, and a brighter one is of a better method."""

import io
import json

import numpy as np
from PIL import Image

METHODS = ("delta", "alpha", "carol", "bravo")
"""The methods in the order of their brightness, the darkest first."""

BRIGHTNESS = dict(zip(METHODS, (40, 90, 140, 190)))
HOST = "127.0.0.1:8765"
POST = {"origin": f"http://{HOST}"}


def joints(seed=0):
    """Fifteen joints, mm."""
    return np.random.default_rng(seed).normal(0, 400, (15, 3)).round(2).tolist()


def write_folder(path, method, level, items=6, side=16, kind="png", **changed):
    """One method's folder; `changed` overrides values of every item."""
    path.mkdir(parents=True, exist_ok=True)
    entries = []
    for i in range(items):
        # Names that give the method away, as they may in real folders.
        names = {"generated": f"{method}-{i}.{kind}", "source": f"source-{i}.png"}
        Image.new("RGB", (side, side), (level, level + i, level)).save(path / names["generated"])
        Image.new("RGB", (16, 16), (250, i, 0)).save(path / names["source"])
        entries.append({"id": f"test-{i:03}", **names, "target_joints": joints(i), **changed})
    about = {"format": 1, "method": method, "items": entries}
    (path / "study.json").write_text(json.dumps(about))
    return path


def brightness(data):
    """The mean of a picture, 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(data))).mean()


def preferred(pictures, rng, scale=30.0):
    """The choice of someone who likes bright pictures, with some doubt.

    Args:
      pictures: bytes of the left and the right one.
      rng: the doubt.
      scale: of brightness, beneath which it counts.
    """
    left, right = (brightness(data) for data in pictures)
    surprise = rng.logistic()
    if abs((left - right) / scale + surprise) < 0.3:
        return "tie"
    return "left" if (left - right) / scale + surprise > 0 else "right"


def changed(path, change):
    """Changes the first item of a folder's `study.json`, or all of it."""
    about = json.loads((path / "study.json").read_text())
    change(about)
    (path / "study.json").write_text(json.dumps(about))
