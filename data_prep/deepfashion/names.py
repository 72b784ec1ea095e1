"""Names of DeepFashion's images: paths in `img_highres`, and the flattened ones of public lists."""

import pathlib
import re
from typing import NamedTuple

_FLAT = re.compile(r"fashion(MEN|WOMEN)(.+?)id(\d{8})(\d{2})_(\d)(\w+)\.(?:jpg|png)")


class Name(NamedTuple):
    """What a name says.

    Attributes:
      person: gender, category and id: one piece of clothing, worn by one person.
      outfit: the variant of it, such as another colour.
    """

    person: str
    outfit: str


def flat(path: str) -> str:
    """The flattened name of a path in `img_highres`; of a name that is flat already, itself.

    MEN/Shirts_Polos/id_00001802/02_4_full.jpg is fashionMENShirts_Polosid0000180202_4full.jpg.
    """
    parts = pathlib.PurePosixPath(path).parts
    if len(parts) < 4 or parts[-4] not in ("MEN", "WOMEN"):
        return parts[-1] if parts else ""
    gender, category, item, file = parts[-4:]
    variant, _, rest = file.partition("_")
    return f"fashion{gender}{category}{item.replace('_', '')}{variant}_{rest.replace('_', '')}"


def parse(name: str) -> Name | None:
    """What a flattened name says; None where it is none."""
    found = _FLAT.fullmatch(name)
    if found is None:
        return None
    gender, category, item, variant, _, _ = found.groups()
    return Name(f"{gender}/{category}/id_{item}", variant)
