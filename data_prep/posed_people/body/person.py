"""The people: proportions, build, skin, face and hair, drawn at random from a number."""

from typing import NamedTuple

import numpy as np

from data_prep.posed_people.body import skinning
from data_prep.posed_people.body.skinning import limb_bone
from data_prep.posed_people.body.template import BODY, Mesh

SKIN_TONES = np.array(
    [
        (246, 214, 190), (236, 192, 160), (224, 172, 134), (204, 148, 108),
        (176, 120, 82), (144, 94, 64), (112, 72, 50), (84, 54, 40),
    ],
    float,
)  # fmt: skip
"""Colours of skin (RGB) from light to dark; a person has a mixture of two neighbours."""

HAIR_COLOURS = np.array(
    [
        (28, 24, 24), (52, 36, 28), (92, 60, 36), (128, 84, 48), (190, 148, 86), (224, 190, 124),
        (140, 62, 32), (150, 146, 142),
    ],
    float,
)  # fmt: skip
"""Colours of hair (RGB); the first three are the dark ones."""

HAIR_STYLES = ("buzz", "short", "swept", "afro", "bob", "long", "ponytail", "bun")
"""The names of the hair styles."""

BUILD_LOW, BUILD_HIGH = 0.86, 1.20
"""The smallest and the largest build."""


class Person(NamedTuple):
    """One person, as drawn from their number.

    Attributes:
      number: the person's number, unique in the data set.
      female: whether the body has a bust, waist and hips of a woman; wardrobe and hair follow
        loosely.
      build: girth of limbs and trunk, 1 is the template's.
      scales: [NUM_BONES, 3] stretch of every bone along its axes.
      bust: depth (m) added to the chest.
      belly: depth (m) added to the belly.
      skin: [3] RGB of the skin, 0 to 255.
      hair: [3] RGB of the hair.
      hair_style: one of HAIR_STYLES.
      eyes: [3] RGB of the iris.
      beard: how dense the beard is, 0 to 1.
    """

    number: int
    female: bool
    build: float
    scales: np.ndarray
    bust: float
    belly: float
    skin: np.ndarray
    hair: np.ndarray
    hair_style: str
    eyes: np.ndarray
    beard: float


def _scales(rng: np.random.Generator, female: bool, build: float) -> np.ndarray:
    """Stretch [NUM_BONES, 3] of all bones, around the means of women and men."""
    height = rng.normal(0.945, 0.035) if female else rng.normal(1.015, 0.038)
    height = float(np.clip(height, 0.84, 1.12))
    leg, arm, torso = height * rng.normal(1.0, 0.022, 3)
    width = height * (0.93 if female else 1.06) * rng.normal(1.0, 0.025)
    hips = height * (1.03 if female else 0.97) * rng.normal(1.0, 0.025)
    # Bones of the trunk vary less in girth than limbs do.
    girth = 0.5 * (1 + build)
    # Heads differ less than bodies do.
    head = 0.97 * height**0.4 * rng.normal(1.0, 0.015)
    scales = np.ones((skinning.NUM_BONES, 3))
    scales[skinning.PELVIS] = hips * girth, torso, hips * girth
    scales[skinning.CHEST] = width * (0.6 + 0.4 * girth), torso, height * girth
    scales[skinning.SPINE_HALF] = 0.5 * (scales[skinning.PELVIS] + scales[skinning.CHEST])
    neck = 0.90 if female else 1.05
    scales[skinning.NECK_HALF] = neck * girth, torso, neck * girth
    scales[skinning.HEAD] = head
    for limb in range(4):
        thick = height * build * ((0.90 if female else 1.06) if limb < 2 else 1.0)
        length = arm if limb < 2 else leg
        bones = slice(limb_bone(limb, 0), limb_bone(limb, 8))
        scales[bones] = thick, length, thick
        scales[limb_bone(limb, skinning.END)] = height * (0.95 if female else 1.03)
        root = scales[skinning.CHEST if limb < 2 else skinning.PELVIS]
        # The bone at the root blends limb and trunk, and so does its girth.
        half = limb_bone(limb, skinning.HALF_ROOT)
        scales[half] = 0.5 * (scales[half] + [root[0], root[1], root[2]])
    return scales


def draw_person(number: int, seed: int) -> Person:
    """Draws the person of a number: a pure function of number and seed.

    Args:
      number: the number of the person.
      seed: the seed of the data set.
    """
    # The 1 keeps these numbers apart from those of outfits (2, 3), shots (4) and sequences (5).
    rng = np.random.default_rng([seed, 1, number])
    female = bool(rng.random() < 0.5)
    build = float(np.clip(rng.normal(0.99, 0.085), BUILD_LOW, BUILD_HIGH))
    tone = rng.uniform(0, len(SKIN_TONES) - 1)
    low = int(tone)
    # Between two tones, so that persons differ in their skin.
    skin = SKIN_TONES[low] + (tone - low) * (SKIN_TONES[min(low + 1, 7)] - SKIN_TONES[low])
    # Dark skin goes with dark hair and brown eyes.
    dark = tone > 4
    hair = HAIR_COLOURS[rng.integers(0, 3 if dark else len(HAIR_COLOURS))]
    chances = (
        (0.02, 0.08, 0.10, 0.10, 0.22, 0.26, 0.14, 0.08)
        if female
        else (0.22, 0.38, 0.22, 0.08, 0.03, 0.03, 0.02, 0.02)
    )
    return Person(
        number=number,
        female=female,
        build=build,
        scales=_scales(rng, female, build),
        bust=float(rng.uniform(0.012, 0.034)) if female else 0.0,
        belly=float(max(0.0, 0.22 * (build - 0.97) + rng.normal(0, 0.006))),
        skin=skin,
        hair=hair * rng.uniform(0.85, 1.1),
        hair_style=str(rng.choice(HAIR_STYLES, p=chances)),
        eyes=np.array(
            [(70, 46, 30), (60, 90, 130), (70, 100, 60)][rng.integers(0, 1 if dark else 3)]
        ),
        # Nearly half of the men have none.
        beard=0.0 if female else float(max(0.0, rng.uniform(-0.8, 1.0))),
    )


def build_offsets(person: Person, mesh: Mesh) -> np.ndarray:
    """Offsets [V] (m) of the person's shape from the template's, outwards along its normals."""
    x, y = np.abs(mesh.points[:, 0]), mesh.points[:, 1]
    front = np.clip(mesh.normals[:, 2], 0, 1)
    trunk = 1.0 - mesh.member

    def bump(centre_x: float, centre_y: float, width: float, height: float) -> np.ndarray:
        return np.exp(-(((x - centre_x) / width) ** 2) - ((y - centre_y) / height) ** 2) * trunk

    offset = person.bust * bump(0.075, 1.300, 0.055, 0.050) * front
    offset += person.belly * bump(0.0, 1.050, 0.12, 0.11) * (0.35 + 0.65 * front)
    if person.female:
        offset -= 0.012 * bump(0.14, 1.10, 0.08, 0.075)
        offset += 0.010 * bump(0.15, 0.90, 0.09, 0.08)
    else:
        offset += 0.006 * bump(0.0, 1.36, 0.25, 0.07)
    # Head, hands and feet are the same on every build.
    used = np.zeros(len(offset), bool)
    used[mesh.triangles[mesh.piece == BODY]] = True
    return np.where(used, offset, 0.0).astype(np.float32)
