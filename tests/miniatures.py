"""Small archives in the layout of real ones, filled with rendered people under known cameras."""

import functools
import pathlib
from typing import NamedTuple

import av
import cdflib.cdfwrite
import h5py
import numpy as np
import scipy.io
from scipy.spatial.transform import Rotation

from data_prep.posed_people.body import figure
from data_prep.posed_people.motion import actions, primitives
from data_prep.posed_people.plan import Group
from data_prep.posed_people.rendering import records, scene
from volsynth import skeleton

BACKGROUND = np.array([96, 128, 80], np.uint8)
EVERY = 5
"""People are in every fifth frame; the others are bare, so that a wrong frame shows."""

# Index of each of our joints in the archives' orders.
HUMAN36M = dict(
    head_top=15, head=14, neck=13, right_shoulder=25, right_elbow=26, right_wrist=27,
    left_shoulder=17, left_elbow=18, left_wrist=19, right_hip=1, right_knee=2, right_ankle=3,
    left_hip=6, left_knee=7, left_ankle=8,
)  # fmt: skip
MPI_INF_3DHP = dict(
    head_top=7, head=6, neck=5, right_shoulder=14, right_elbow=15, right_wrist=16,
    left_shoulder=9, left_elbow=10, left_wrist=11, right_hip=23, right_knee=24, right_ankle=25,
    left_hip=18, left_knee=19, left_ankle=20,
)  # fmt: skip
TEST_SET = dict(
    head_top=0, neck=1, right_shoulder=2, right_elbow=3, right_wrist=4, left_shoulder=5,
    left_elbow=6, left_wrist=7, right_hip=8, right_knee=9, right_ankle=10, left_hip=11,
    left_knee=12, left_ankle=13, head=16,
)  # fmt: skip
H36M_CAMERAS = ("54138969", "55011271", "58860488", "60457274")
DISTORTION = np.array([-0.2070989, 0.2477752, -0.0030752, -0.0009757, -0.00142447])


class View(NamedTuple):
    """A camera of a miniature: numbers, and rows and columns of its frames."""

    rotation: np.ndarray
    position: np.ndarray
    intrinsics: np.ndarray
    distortion: np.ndarray
    shape: tuple[int, int]


class Shot(NamedTuple):
    """A frame with labels: [H, W, 3] image, [H, W] mask and parts, [H, W] depth in mm."""

    image: np.ndarray
    mask: np.ndarray
    parts: np.ndarray
    depth: np.ndarray


def views(side: int = 200, lens: bool = True) -> list[View]:
    """Four cameras around the room, all seeing the whole of it."""
    found = []
    for number, camera in enumerate(scene.CAMERAS):
        shape = (side + 2, side) if number in (0, 3) else (side, side)
        focal = 1.1 * side + number
        k = np.array([[focal, 0, 0.51 * side], [0, focal - 0.3, 0.5 * side + number], [0, 0, 1]])
        found.append(
            View(camera.rotation, camera.position, k, DISTORTION if lens else np.zeros(5), shape)
        )
    return found


@functools.cache
def worn() -> figure.Figure:
    """The person in all of the frames."""
    return records.dressed(Group(3, 1))


@functools.cache
def body(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [V, 3] and our joints [15, 3] of the person in the world, mm."""
    style = primitives.draw_style(np.random.default_rng(1))
    points, joints = figure.place(worn(), actions.pose_at("walk", 0.37 * step, style))
    spot = scene.Placement(np.array([150.0 * step - 200, 40.0 * step]), 0.5 + 0.9 * step)
    return scene.to_world(points, spot), scene.to_world(joints, spot)


def lens(points: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Camera points [N, 3] moved to where a camera without a lens would see them the same.

    Written out from the archive's own formula: no factor 2 in the cross terms.
    """
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    k1, k2, k3, p1, p2 = distortion
    r2 = x * x + y * y
    factor = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * y + p2 * x
    seen = np.stack([x * factor + p2 * r2, y * factor + p1 * r2, np.ones_like(x)], -1)
    return seen * points[:, 2:]


def see(points: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """World points [N, 3] in camera coordinates (mm) and in pixels [N, 2]."""
    inside = (points - view.position) @ view.rotation.T
    flat = lens(inside, view.distortion) @ view.intrinsics.T
    return inside, flat[:, :2] / flat[:, 2:]


def draw(step: int, view: View, shift=(0, 0, 0)) -> Shot:
    """The person in front of a flat background."""
    inside, _ = see(body(step)[0] + np.array(shift), view)
    flat = lens(inside, view.distortion).astype(np.float32)
    side = max(view.shape)
    picture = scene.render(worn(), flat, view.rotation[:, 2], view.intrinsics, side)
    rows, columns = (slice(0, n) for n in view.shape)
    mask = picture.mask[rows, columns, 0] > 0
    image = np.where(mask[..., None], picture.image[rows, columns], BACKGROUND)
    return Shot(image, mask, picture.parts[rows, columns, 0], picture.depth[rows, columns, 0])


@functools.cache
def shots(number: int, steps: int, side: int, with_lens: bool) -> tuple[Shot, ...]:
    """The frames of one camera that show the person."""
    return tuple(draw(step, views(side, with_lens)[number]) for step in range(steps))


def in_order(joints: np.ndarray, indices: dict[str, int], count: int) -> np.ndarray:
    """Our joints [15, c] as [count, c] of an archive; joints that are not ours are the pelvis."""
    hips = joints[[skeleton.INDEX["right_hip"], skeleton.INDEX["left_hip"]]].mean(0)
    result = np.tile(hips, (count, 1))
    for name, index in indices.items():
        result[index] = joints[skeleton.INDEX[name]]
    return result


def frames_of(pictures: list[np.ndarray], bare: np.ndarray) -> list[np.ndarray]:
    """A video's frames: the pictures, with bare frames between."""
    return [f for picture in pictures for f in (picture, *[bare] * (EVERY - 1))]


def write_video(path: pathlib.Path, frames: list[np.ndarray], codec: str) -> None:
    """A real video file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=50)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj444p" if codec == "mjpeg" else "yuv420p"
        stream.options = (
            {"crf": "4", "preset": "ultrafast"} if codec == "libx264" else {"qmin": "1", "q": "1"}
        )
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def write_cdf(path: pathlib.Path, values: np.ndarray) -> None:
    """`Pose` [N, K] as the archive has it: one record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = cdflib.cdfwrite.CDF(path, cdf_spec={"Majority": "row_major"})
    about = {"Variable": "Pose", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True}
    file.write_var(about | {"Dim_Sizes": list(values.shape)}, var_data=values[None].astype("f4"))
    file.close()


def write_masks(path: pathlib.Path, masks: list[np.ndarray]) -> None:
    """`Masks` as MATLAB 7.3 writes a cell array of logical images: references, axes reversed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset("Masks", (len(masks), 1), dtype=h5py.ref_dtype)
        for index, mask in enumerate(masks):
            cell = file.create_dataset(f"#refs#/m{index}", data=mask.T.astype(np.uint8))
            cells[index, 0] = cell.ref
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def metadata_xml(side: int, names: dict[str, dict[tuple[str, str], str]]) -> str:
    """Cameras and names; `names` has file names by subject and (action, performance)."""
    extrinsics = np.zeros((4, 11, 6))
    for number, view in enumerate(views(side)):
        # Subjects have other numbers than the right ones where nobody should look.
        extrinsics[number] = np.arange(66).reshape(11, 6)
        angles = Rotation.from_matrix(view.rotation).as_euler("XYZ")
        for subject in names:
            extrinsics[number, int(subject[1:]) - 1] = [*angles, *view.position]
    intrinsics = [
        [*np.diag(v.intrinsics)[:2], *v.intrinsics[:2, 2], *v.distortion] for v in views(side)
    ]
    numbers = np.concatenate([extrinsics.ravel(), np.ravel(intrinsics)])
    rows = sorted({key for table in names.values() for key in table})
    table = "".join(
        f"<tr><td>{i}</td><td>{performance}</td>"
        + "".join(f"<td>{names[s].get((action, performance), '')}</td>" for s in names)
        + "</tr>"
        for i, (action, performance) in enumerate(rows)
    )
    head = "<tr><td/><td/>" + "".join(f"<td>{s}</td>" for s in names) + "</tr>"
    w0 = " ".join(repr(float(n)) for n in numbers)
    return f"<metadata><mapping>{head}{table}</mapping><w0>[{w0}]</w0></metadata>"


def human36m_recording(
    root: pathlib.Path, subject: str, name: str, steps: int = 3, side: int = 200,
    cameras: tuple[int, ...] = (0, 1, 2, 3), shift=(0, 0, 0), boxes: bool = True,
) -> None:  # fmt: skip
    """Files of one performance; its positions stand beside the person by `shift` (mm)."""
    folder = root / subject
    joints = [
        in_order(body(step)[1], HUMAN36M, 32) + np.array(shift)
        for step in range(steps)
        for _ in range(EVERY)
    ]
    write_cdf(
        folder / "MyPoseFeatures/D3_Positions" / f"{name}.cdf",
        np.array(joints).reshape(len(joints), 96),
    )
    for number in cameras:
        view, camera = views(side)[number], f"{name}.{H36M_CAMERAS[number]}"
        seen = [see(j, view) for j in joints]
        for kind, which in (("D3_Positions_mono", 0), ("D2_Positions", 1)):
            values = np.array([s[which] for s in seen]).reshape(len(joints), -1)
            write_cdf(folder / "MyPoseFeatures" / kind / f"{camera}.cdf", values)
        taken = shots(number, steps, side, True)
        bare = np.broadcast_to(BACKGROUND, (*view.shape, 3))
        pictures = frames_of([shot.image for shot in taken], bare)
        write_video(folder / "Videos" / f"{camera}.mp4", pictures, "libx264")
        segments = folder / "MySegmentsMat"
        # A spot far from the person, which the boxes cut off.
        masks = [shot.mask.copy() for shot in taken]
        for mask in masks:
            mask[:4, :4] = boxes
        nothing = np.zeros(view.shape, bool)
        write_masks(segments / "ground_truth_bs" / f"{camera}.mat", frames_of(masks, nothing))
        if boxes:
            around = [_box(s[1], view.shape) for s in seen[::EVERY]]
            write_masks(segments / "ground_truth_bb" / f"{camera}.mat", frames_of(around, nothing))


def _box(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    (left, top), (right, bottom) = (np.round(e).astype(int) for e in (pixels.min(0), pixels.max(0)))
    box = np.zeros(shape, bool)
    box[top - 4 : bottom + 5, left - 4 : right + 5] = True
    return box


def calibration_text(cameras: dict[int, View]) -> str:
    """`camera.calibration`."""
    lines = ["Skeletool Camera Calibration File V1.0"]
    for number, view in cameras.items():
        intrinsic, extrinsic = np.eye(4), np.eye(4)
        intrinsic[:3, :3], extrinsic[:3, :3] = view.intrinsics, view.rotation
        extrinsic[:3, 3] = -view.rotation @ view.position
        k, m = (" ".join(f"{n:.9g}" for n in matrix.ravel()) for matrix in (intrinsic, extrinsic))
        lines += [
            f"name          {number}", "  sensor      10 10",
            f"  size        {view.shape[1]} {view.shape[0]}", "  animated    0",
            f"  intrinsic   {k} ", f"  extrinsic   {m} ", "  radial      0",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def mpi_recording(
    folder: pathlib.Path, steps: int = 3, side: int = 200, cameras: tuple[int, ...] = (0, 8),
    extra: int = 0, chair: tuple[int, ...] = (), codec: str = "mpeg4",
) -> None:  # fmt: skip
    """Files of one recording; `extra` annotations more than frames, a chair in these steps."""
    seen_by = {number: views(side, lens=False)[i] for i, number in enumerate(cameras)}
    folder.mkdir(parents=True)
    (folder / "camera.calibration").write_text(calibration_text(seen_by))
    joints = [in_order(body(s)[1], MPI_INF_3DHP, 28) for s in range(steps) for _ in range(EVERY)]
    joints += [joints[-1]] * extra
    cells = {name: np.empty((14, 1), object) for name in ("annot2", "annot3", "univ_annot3")}
    for number in range(14):
        view = seen_by.get(number, next(iter(seen_by.values())))
        seen = [see(j, view) for j in joints]
        cells["annot2"][number, 0] = np.array([s[1].ravel() for s in seen])
        cells["annot3"][number, 0] = np.array([s[0].ravel() for s in seen])
        cells["univ_annot3"][number, 0] = 0.9 * cells["annot3"][number, 0]
    numbers = {"cameras": np.arange(14), "frames": np.arange(len(joints))[:, None]}
    scipy.io.savemat(folder / "annot.mat", cells | numbers, do_compression=True)
    for i, (number, view) in enumerate(seen_by.items()):
        taken, bare = shots(i, steps, side, False), np.zeros((*view.shape, 3), np.uint8)
        foregrounds, chairs = [], []
        for step, shot in enumerate(taken):
            lower = np.isin(shot.parts, [7, 8, 9, 10])
            foregrounds.append(255 * np.stack([shot.mask, shot.mask & ~lower, lower], -1))
            white = np.full((*view.shape, 3), 255, np.uint8)
            if step in chair:
                rows, columns = np.nonzero(shot.mask)
                white[rows.max() - 12 : rows.max(), columns.min() : columns.min() + 12] = 0
            chairs.append(white)
        for part, pictures, empty in (
            ("imageSequence", [s.image for s in taken], bare + BACKGROUND),
            ("FGmasks", [f.astype(np.uint8) for f in foregrounds], bare),
            ("ChairMasks", chairs, bare + np.uint8(255)),
        ):
            write_video(folder / part / f"video_{number}.avi", frames_of(pictures, empty), codec)
