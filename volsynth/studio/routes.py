"""The requests of the studio's page, one router for each kind of thing (docs/studio.md)."""

import contextlib
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import fastapi
import numpy as np
from starlette.exceptions import HTTPException

from volsynth.errors import UserError
from volsynth.generation import motions, persons
from volsynth.images import clips
from volsynth.poses import pose_library, retargeting
from volsynth.poses.keypoint_files import Pose
from volsynth.studio import page_poses, pictures, rendering
from volsynth.studio.request_bodies import MotionRequest, PersonRequest, RenderRequest
from volsynth.studio.state import Studio


def picture_routes(studio: Studio) -> fastapi.APIRouter:
    """Requests about the page itself and about the pictures that visitors bring."""
    router = fastapi.APIRouter()

    @router.get("/about")
    def get_about() -> dict[str, Any]:
        return studio.about

    @router.post("/picture", status_code=201)
    async def add_picture(request: fastapi.Request) -> dict[str, Any]:
        content = await request.body()
        return _keep_picture(
            studio, await _read(studio, pictures.read_picture, content, studio.estimator)
        )

    @router.post("/picture/{name}/mask", status_code=201)
    async def add_mask(name: str, request: fastapi.Request) -> dict[str, Any]:
        picture = studio.pictures.get(name)
        content = await request.body()
        # A new name: whoever sends two masks at once must not get the pose of the other one.
        return _keep_picture(
            studio, await _read(studio, pictures.with_mask, picture, content, studio.estimator)
        )

    @router.get("/picture/{name}")
    async def show_picture(name: str) -> fastapi.Response:
        picture = studio.pictures.get(name)
        content = await studio.readings.run(lambda: pictures.encode_png(pictures.preview(picture)))
        return _png_response(content)

    return router


def person_routes(studio: Studio) -> fastapi.APIRouter:
    """Requests about persons, who are pictures with joints, and about files of poses."""
    router = fastapi.APIRouter()

    @router.post("/person", status_code=201)
    async def add_person(given: PersonRequest) -> dict[str, Any]:
        picture = studio.pictures.get(given.picture)
        side = studio.renderer.image_size
        person = await _read(
            studio, page_poses.cut_out_person, picture, given.joints_px, given.joints_mm, side
        )
        encoded = rendering.EncodedPerson(person)
        name = studio.persons.add(encoded, studio.renderer.bytes_per_person)
        return {"person": name, **page_poses.describe_person(person)}

    @router.get("/person/{name}")
    async def show_person(name: str) -> fastapi.Response:
        return _png_response(pictures.encode_png(studio.persons.get(name).person.image))

    @router.post("/poses")
    async def read_poses(request: fastapi.Request) -> dict[str, Any]:
        content_type = request.headers["content-type"]
        suffix = ".csv" if content_type.lower().startswith("text/csv") else ".json"
        poses = await _read(studio, page_poses.read_poses, await request.body(), suffix)
        return {"poses": poses, "fps": None}

    return router


def render_routes(studio: Studio) -> fastapi.APIRouter:
    """Requests about a person in one pose."""
    router = fastapi.APIRouter()

    @router.post("/render")
    async def render(given: RenderRequest, request: fastapi.Request) -> fastapi.Response:
        encoded = studio.persons.get(given.person)
        pose = page_poses.target_pose(given.joints_mm)
        with _client_errors():
            bodies, square = persons.fit_poses([pose], encoded.person, given.turn)

        def render_png():
            # In the job, so that the seconds are the model's and not those of waiting.
            start = time.perf_counter()
            content = pictures.encode_png(studio.renderer.render(encoded, bodies, square, 1)[0])
            return content, time.perf_counter() - start

        content, seconds = await studio.renders.run(render_png, client_gone=request.is_disconnected)
        joints = json.dumps(page_poses.rounded(square.joints(bodies[0])[:, :2]))
        return _png_response(content, {"x-seconds": f"{seconds:.4f}", "x-joints": joints})

    return router


def motion_routes(studio: Studio) -> fastapi.APIRouter:
    """Requests about a person in a motion."""
    router = fastapi.APIRouter()

    @router.post("/motion", status_code=201)
    async def add_motion(given: MotionRequest) -> dict[str, Any]:
        encoded = studio.persons.get(given.person)
        poses, fps = _poses_of_motion(given, studio.motion_library)
        bodies, square = await _read(studio, persons.fit_poses, poses, encoded.person, given.turn)
        unturned = bodies
        if given.turn:
            # The page turns the skeleton that it shows by itself.
            unturned, _ = await _read(studio, persons.fit_poses, poses, encoded.person)
        motion = rendering.RenderedMotion(encoded, bodies, square, fps)
        # A motion holds its person, too, even after the person's own name is forgotten.
        name = studio.motions.add(motion, motion.nbytes + studio.renderer.bytes_per_person)
        size = retargeting.body_size(encoded.person.body)
        joints = np.stack([body.joints for body in unturned]) / size
        return {
            "motion": name,
            "frames": motion.num_frames,
            "fps": fps,
            "batch": rendering.BATCH,
            "joints_mm": page_poses.rounded(page_poses.relative_to_pelvis(joints)),
            "joints_px": page_poses.rounded([square.joints(body)[:, :2] for body in bodies]),
        }

    # Before the route of frames, which would take "clip.gif" for the number of a frame.
    @router.get("/motion/{name}/clip.{kind}")
    async def show_clip(
        name: str, kind: Literal["gif", "mp4"], request: fastapi.Request
    ) -> fastapi.Response:
        motion = studio.motions.get(name)
        with _client_errors():
            clips.check_format(pathlib.Path(f"clip.{kind}"), motion.fps)
        frames = await _render_frames(studio, motion, 0, motion.num_frames, request)
        content = await studio.readings.run(_encode_clip, kind, frames, motion.fps)
        headers = {"content-disposition": f'attachment; filename="clip.{kind}"'}
        media_types = {"gif": "image/gif", "mp4": "video/mp4"}
        return fastapi.Response(content, media_type=media_types[kind], headers=headers)

    @router.get("/motion/{name}/{start}")
    async def show_frames(
        name: str,
        start: Annotated[int, fastapi.Path(ge=0, lt=page_poses.MOST_FRAMES)],
        request: fastapi.Request,
    ) -> fastapi.Response:
        motion = studio.motions.get(name)
        if start >= motion.num_frames:
            raise HTTPException(404, "There is no such frame.")
        began = time.perf_counter()
        stop = min(start + rendering.BATCH, motion.num_frames)
        frames = await _render_frames(studio, motion, start, stop, request)
        seconds = time.perf_counter() - began
        # One picture of all frames, one below the other, costs the page one request.
        content = pictures.encode_png(np.concatenate(frames))
        return _png_response(content, {"x-seconds": f"{seconds:.4f}"})

    return router


@contextlib.contextmanager
def _client_errors() -> Iterator[None]:
    """Answers 422 where what a client sent is wrong; elsewhere a `UserError` is the server's."""
    try:
        yield
    except UserError as error:
        raise HTTPException(422, str(error)) from error


async def _read(studio: Studio, job: Callable[..., Any], *arguments: object) -> Any:
    """Runs a job on what a client sent, in its turn."""
    with _client_errors():
        return await studio.readings.run(job, *arguments)


def _keep_picture(studio, picture):
    """Holds a picture, and tells the page about it."""
    height, width = picture.image.shape[:2]
    pose = picture.pose and {
        "joints_px": page_poses.rounded(picture.pose.joints_px),
        "joints_mm": page_poses.rounded(picture.pose.joints_mm),
        "visible": picture.pose.visible.tolist(),
        "from": picture.pose_source,
    }
    return {
        "picture": studio.pictures.add(picture, picture.nbytes),
        "width": width,
        "height": height,
        "background": "unknown" if picture.mask is None else "known",
        "pose": pose,
    }


def _poses_of_motion(
    given: MotionRequest, library: dict[str, list[Pose]]
) -> tuple[Sequence[Pose], float]:
    """The poses of a motion that is asked for, and its frames per second."""
    if (given.name is None) == (given.poses is None):
        raise HTTPException(422, "A motion has a name, or else poses.")
    if given.name is None:
        return [page_poses.target_pose(joints) for joints in given.poses], given.fps or motions.FPS
    if given.name not in library:
        raise HTTPException(422, f"There is no such motion; there are {', '.join(library)}.")
    return library[given.name], given.fps or pose_library.MOTION_FPS


async def _render_frames(studio, motion, start, stop, request):
    """Pictures of frames `start` to `stop`, those rendered that are not there yet."""
    # Each batch waits for its own turn, so that others' poses need not wait for a whole motion.
    for batch in motion.missing_batches(start, stop):
        await studio.renders.run(
            motion.render_batch, studio.renderer, batch, client_gone=request.is_disconnected
        )
    return motion.frames(start, stop)


def _encode_clip(kind, frames, fps):
    """The bytes of a clip's file."""
    # ffmpeg writes MP4 to files only: to finish one, it goes back to its beginning.
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"clip.{kind}"
        clips.write(path, frames, fps)
        return path.read_bytes()


def _png_response(content, headers=None):
    return fastapi.Response(content, media_type="image/png", headers=headers)
