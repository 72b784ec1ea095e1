"""A dressed person: the mesh with the thickness of clothes and hair, posed, coloured, labelled."""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from data_prep.posed_people.body import clothing, head, kinematics, shells, skinning, template
from data_prep.posed_people.body.arithmetic import smoothstep
from data_prep.posed_people.body.kinematics import Pose
from data_prep.posed_people.body.outfit import Outfit
from data_prep.posed_people.body.person import Person, build_offsets
from volsynth import skeleton

_PART = {name: 1 + index for index, name in enumerate(skeleton.PART_NAMES)}
"""The label of each body part by its name; 0 is the background."""

UPPER_PART = np.array([_PART[f"{s}_upper_{k}"] for k in ("arm", "leg") for s in ("right", "left")])
"""The labels of the upper parts of the limbs: 1 + index in `skeleton.PARTS`."""

LOWER_PART = UPPER_PART + 1
"""The labels of the lower parts of the limbs, which follow those of the upper parts."""


class Figure(NamedTuple):
    """A person in an outfit, ready to be posed.

    Attributes:
      person: the person.
      outfit: what they wear.
      mesh: the undressed template with hair and skirt; its points are texture coordinates.
      points: [V, 3] float32, the points in the template pose, moved out by body shape, cloth and
        hair.
      weights: [V, NUM_BONES] the mesh's weights, sparse.
    """

    person: Person
    outfit: Outfit
    mesh: template.Mesh
    points: np.ndarray
    weights: scipy.sparse.csr_array


def dress(person: Person, outfit: Outfit) -> Figure:
    """Puts an outfit on a person."""
    meshes = [template.template()]
    if outfit.bottom == "skirt":
        meshes.append(shells.skirt(outfit))
    hanging = shells.hair(person)
    if hanging is not None:
        meshes.append(hanging)
    mesh = template.join(meshes) if len(meshes) > 1 else meshes[0]
    offsets = build_offsets(person, mesh)
    # Pieces are of triangles; every vertex belongs to triangles of one piece only.
    kind = np.full(len(mesh.points), -1)
    kind[mesh.triangles] = mesh.piece[:, None]
    arm = np.zeros(len(mesh.points), bool)
    arm[mesh.triangles] = (mesh.limb < 2)[:, None]
    body = kind == template.BODY
    offsets[body] += _cloth_thickness(outfit, mesh, arm)[body]
    skull = kind == template.HEAD
    # Short hair is thickness of the skull; longer hair is a shell of its own.
    offsets[skull] += head.hair_offsets(person, mesh.points[skull])
    points = mesh.points + mesh.normals * offsets[:, None]
    return Figure(person, outfit, mesh, points, scipy.sparse.csr_array(mesh.weights))


def _cloth_thickness(outfit: Outfit, mesh: template.Mesh, arm: np.ndarray) -> np.ndarray:
    """The distance (m) [V] of clothes from the skin.

    It is most at the open ends of sleeves and trousers.
    """
    y, along, member = mesh.points[:, 1], mesh.along, mesh.member
    loose = outfit.loose
    thickness = np.zeros(len(y), np.float32)
    on_arm = arm & (member > 0.5)
    reach = outfit.sleeve
    sleeve = (0.004 + (0.004 + 0.010 * loose) * np.clip(along / max(reach, 0.1), 0, 1)) * (
        along < reach
    )
    trunk = (0.004 + 0.008 * loose) * (y > outfit.hem - 0.01) * (y < 1.46)
    thickness += np.where(on_arm, sleeve, np.where(arm | (y > 0.95), trunk, 0))
    # Leggings lie on the skin, trousers do not.
    tight = 0.003 if outfit.bottom == "leggings" else 0.004 + 0.012 * loose
    on_leg = ~arm & (along < outfit.leg) & (y < 0.97)
    leg = tight * (0.5 + 0.5 * smoothstep(along, 0.2, min(outfit.leg, 1.6)))
    thickness += np.where(on_leg, leg, 0)
    return thickness


def place(figure: Figure, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Points [V, 3] and joints [15, 3] (m) of a posed figure, which stands on the floor y = 0."""
    posed = kinematics.solve(pose, figure.person.scales)
    matrices = skinning.bone_matrices(posed.frames, posed.origins, figure.person.scales)
    points = skinning.skin(figure.points, figure.weights, matrices)
    # By the lowest point, whatever it is: people also stand on hands and knees.
    floor = np.array([0.0, np.min(points[:, 1]), 0.0])
    return points - floor.astype(points.dtype), posed.joints - floor


def colours(
    figure: Figure, piece: np.ndarray, limb: np.ndarray, attributes: np.ndarray
) -> np.ndarray:
    """Colours of surface points, by body coordinates alone.

    Args:
      figure: the dressed person.
      piece: [N] which piece of the mesh.
      limb: [N] the nearest limb.
      attributes: [N, 5] template position (m), membership, position along the limb.

    Returns:
      [N, 3] RGB, 0 to 255.
    """
    person, outfit = figure.person, figure.outfit
    points, member, along = attributes[:, :3], attributes[:, 3], attributes[:, 4]
    # Piece by piece: each has its own rules, and needs only its own points.
    result = np.empty((len(piece), 3), np.float32)
    for kind in range(6):
        at = np.flatnonzero(piece == kind)
        if not len(at):
            continue
        p = points[at]
        if kind == template.BODY:
            result[at] = clothing.body_colours(
                person, outfit, p, member[at], along[at], limb[at] < 2
            )
        elif kind == template.HEAD:
            result[at] = head.head_colours(person, p)
        elif kind == template.HAIR:
            result[at] = head.hair_colours(person, p)
        elif kind == template.SKIRT:
            # Around the axis of the skirt; 0.18 m is about its radius.
            around = np.arctan2(p[:, 0], p[:, 2]) * 0.18
            result[at] = clothing.pattern_at(outfit.bottom_fabric, around, p[:, 1])
        else:
            foot = np.full(len(at), kind == template.FOOT)
            result[at] = clothing.extremity_colours(person, outfit, p, foot)
    return result


def parts(piece: np.ndarray, limb: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Labels [N] uint8 of surface points: 1 + index in `skeleton.PARTS`."""
    x, y, member, along = attributes[:, 0], attributes[:, 1], attributes[:, 3], attributes[:, 4]
    # By the side of the point: a triangle at the middle may have the limb of the other side.
    side = limb // 2 * 2 + (x > 0)
    label = np.where(along < 1.0, UPPER_PART[side], LOWER_PART[side])
    is_head = (piece == template.HEAD) | (piece == template.HAIR)
    # The seam between trunk and limb is where both have the same share.
    label = np.where(member < 0.5, np.where(y > 1.475, _PART["head"], _PART["torso"]), label)
    return np.where(is_head, _PART["head"], label).astype(np.uint8)
