"""Names of DeepFashion's images: paths in `img_highres`, and the flat names of public lists."""

import pathlib
import re
from typing import NamedTuple

_FLAT = re.compile(r"fashion(MEN|WOMEN)(.+?)id(\d{8})(\d{2})_(\d)(\w+)\.(?:jpg|png)")
"""The form of a flattened name: gender, category, id, variant, number and view."""


class Name(NamedTuple):
    """The person and the outfit that the name of an image stands for.

    Attributes:
      person: gender, category and id. They name one piece of clothing, worn by one person.
      outfit: the variant of the clothing, such as another colour.
    """

    person: str
    outfit: str


def flatten(path: str) -> str:
    """The flattened name of a path in `img_highres`; a name that is flat already stays.

    MEN/Shirts_Polos/id_00001802/02_4_full.jpg is fashionMENShirts_Polosid0000180202_4full.jpg.
    """
    # The last four parts only: folders of an archive may stand before them.
    parts = pathlib.PurePosixPath(path).parts
    if len(parts) < 4 or parts[-4] not in ("MEN", "WOMEN"):
        return parts[-1] if parts else ""
    gender, category, item, file = parts[-4:]
    variant, _, rest = file.partition("_")
    return f"fashion{gender}{category}{item.replace('_', '')}{variant}_{rest.replace('_', '')}"


def parse(name: str) -> Name | None:
    """Person and outfit of a flattened name; None where the name is no image of the set."""
    found = _FLAT.fullmatch(name)
    if found is None:
        return None
    gender, category, item, variant, _, _ = found.groups()
    # The item stands for the person: the names say nothing else about who wears it.
    return Name(f"{gender}/{category}/id_{item}", variant)
