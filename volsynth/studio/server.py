"""The studio as a page in the browser: FastAPI and uvicorn, of the extra `[app]`.

docs/studio.md has the table of requests. Pictures, persons and motions are held in memory, by
random names; nothing that comes from the browser is a path.
"""

import contextlib
import functools
import importlib.resources
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import fastapi
import numpy as np
import pydantic
from starlette.exceptions import HTTPException

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import motions, persons, staged
from volsynth.generation.persons import Person
from volsynth.generation.source import Source, read_person
from volsynth.images import clips
from volsynth.poses import keypoint_files, pose_library, retargeting
from volsynth.poses.parsing import MOST_COORDINATE
from volsynth.skeleton import JOINTS, LIMBS, MIRROR, NUM_JOINTS, side_of
from volsynth.studio import people, rendering, store
from volsynth.studio.job_queue import BusyError, GoneError, Line
from volsynth.web import guard, serving

_PICTURE = guard.Body(32 << 20, ("image/*", "application/octet-stream"), patience=120.0)
_POSES = guard.Body(16 << 20, ("application/json", "text/csv"), patience=120.0)
_MOTION = guard.Body(2 << 20, patience=60.0)
_OTHER = guard.Body(256 << 10)

MOST_RENDERS = 128
"""That wait; a page asks for one at a time."""

MOST_READINGS = 64
"""Pictures and poses that wait to be read; the guard bounds their bytes."""

MOST_BYTES = 1 << 29
"""Of pictures, and half as much of persons and of motions."""

Number = Annotated[
    float, pydantic.Field(ge=-MOST_COORDINATE, le=MOST_COORDINATE, allow_inf_nan=False)
]
Pixel = Annotated[list[Number], pydantic.Field(min_length=2, max_length=2)]
Point = Annotated[list[Number], pydantic.Field(min_length=3, max_length=3)]
_all = pydantic.Field(min_length=NUM_JOINTS, max_length=NUM_JOINTS)
Joints = Annotated[list[Point], _all]
Name = Annotated[str, pydantic.Field(max_length=64)]


class Given(pydantic.BaseModel):
    """A body."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class GivenPerson(Given):
    """Where the person of a picture is."""

    picture: Name
    joints_px: Annotated[list[Pixel | None], _all]
    joints_mm: Joints | None = None


class GivenPose(Given):
    """A pose to render."""

    person: Name
    joints_mm: Joints
    turn: Number = 0.0


class GivenMotion(Given):
    """A motion to render: one by name, or the poses of all frames."""

    person: Name
    name: Name | None = None
    poses: (
        Annotated[list[Joints], pydantic.Field(min_length=1, max_length=people.MOST_FRAMES)] | None
    ) = None
    fps: Annotated[float, pydantic.Field(ge=clips.LEAST_FPS, le=clips.MOST_FPS)] | None = None
    turn: Number = 0.0


def body_of(path: str) -> guard.Body:
    """What bodies a path takes."""
    if path == "/picture" or (path.startswith("/picture/") and path.endswith("/mask")):
        return _PICTURE
    return {"/poses": _POSES, "/motion": _MOTION}.get(path, _OTHER)


@contextlib.contextmanager
def _from_the_client() -> Iterator[None]:
    """What is wrong with what they sent is told to them."""
    try:
        yield
    except UserError as error:
        raise HTTPException(422, str(error)) from error


def make_app(
    renderer: rendering.Renderer,
    estimator: exported_model.Model | None,
    hosts: Sequence[str],
    who: Person | None = None,
) -> guard.Guard:
    """The application.

    Args:
      renderer: ready to render.
      estimator: finds the poses in pictures; None to guess.
      hosts: see `volsynth.web.guard.Guard`.
      who: the person that the page begins with.
    """
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    side = renderer.image_size
    seen_pictures: store.Store[people.Picture] = store.Store(MOST_BYTES)
    seen_people: store.Store[rendering.Seen] = store.Store(MOST_BYTES // 2)
    seen_motions: store.Store[rendering.Motion] = store.Store(MOST_BYTES // 2)
    renders, readings = Line(MOST_RENDERS), Line(MOST_READINGS)
    library = _motions()
    first = None
    if who is not None:
        first = {"person": seen_people.keep(rendering.Seen(who)), **people.told(who)}
    about = {**_about(renderer, estimator, library), "person": first}

    async def read(work, *arguments):
        with _from_the_client():
            return await readings.do(work, *arguments)

    def of_picture(picture):
        height, width = picture.image.shape[:2]
        pose = picture.pose and {
            "joints_px": people.rounded(picture.pose.joints_px),
            "joints_mm": people.rounded(picture.pose.joints_mm),
            "from": picture.by,
        }
        return {
            "picture": seen_pictures.add(picture, picture.nbytes),
            "width": width,
            "height": height,
            "background": "unknown" if picture.mask is None else "known",
            "pose": pose,
        }

    @app.get("/about")
    def tell() -> dict[str, Any]:
        return about

    @app.post("/picture", status_code=201)
    async def take_picture(request: fastapi.Request) -> dict[str, Any]:
        return of_picture(await read(people.read, await request.body(), estimator))

    @app.post("/picture/{name}/mask", status_code=201)
    async def take_mask(name: str, request: fastapi.Request) -> dict[str, Any]:
        picture = seen_pictures.get(name)
        return of_picture(await read(people.masked, picture, await request.body(), estimator))

    @app.get("/picture/{name}")
    async def show_picture(name: str) -> fastapi.Response:
        picture = seen_pictures.get(name)
        return _png(await readings.do(lambda: people.png(people.shown(picture))))

    @app.post("/person", status_code=201)
    async def take_person(given: GivenPerson) -> dict[str, Any]:
        picture = seen_pictures.get(given.picture)
        found = await read(people.person, picture, given.joints_px, given.joints_mm, side)
        name = seen_people.add(rendering.Seen(found), renderer.bytes_per_person)
        return {"person": name, **people.told(found)}

    @app.get("/person/{name}")
    async def show_person(name: str) -> fastapi.Response:
        return _png(people.png(seen_people.get(name).who.image))

    @app.post("/poses")
    async def take_poses(request: fastapi.Request) -> dict[str, Any]:
        kind = request.headers["content-type"]
        suffix = ".csv" if kind.lower().startswith("text/csv") else ".json"
        poses = await read(people.read_poses, await request.body(), suffix)
        return {"poses": poses, "fps": None}

    @app.post("/render")
    async def render(given: GivenPose, request: fastapi.Request) -> fastapi.Response:
        seen = seen_people.get(given.person)
        with _from_the_client():
            bodies, square = persons.fit_poses(
                [people.wanted(given.joints_mm)], seen.who, given.turn
            )

        def work():
            start = time.perf_counter()
            image = people.png(renderer.pictures(seen, bodies, square, 1)[0])
            return image, time.perf_counter() - start

        image, seconds = await renders.do(work, gone=request.is_disconnected)
        joints = json.dumps(people.rounded(square.joints(bodies[0])[:, :2]))
        return _png(image, {"x-seconds": f"{seconds:.4f}", "x-joints": joints})

    @app.post("/motion", status_code=201)
    async def take_motion(given: GivenMotion) -> dict[str, Any]:
        seen = seen_people.get(given.person)
        if (given.name is None) == (given.poses is None):
            raise HTTPException(422, "A motion has a name, or else poses.")
        if given.name is None:
            poses, fps = [people.wanted(joints) for joints in given.poses], given.fps or motions.FPS
        elif given.name in library:
            poses, fps = library[given.name], given.fps or pose_library.MOTION_FPS
        else:
            raise HTTPException(422, f"There is no such motion; there are {', '.join(library)}.")
        bodies, square = await read(persons.fit_poses, poses, seen.who, given.turn)
        unturned = bodies
        if given.turn:
            unturned, _ = await read(persons.fit_poses, poses, seen.who)
        motion = rendering.Motion(seen, bodies, square, fps)
        name = seen_motions.add(motion, motion.nbytes + renderer.bytes_per_person)
        joints = np.stack([body.joints for body in unturned]) / retargeting.body_size(seen.who.body)
        return {
            "motion": name,
            "frames": motion.frames,
            "fps": fps,
            "batch": rendering.BATCH,
            "joints_mm": people.rounded(people.from_pelvis(joints)),
            "joints_px": people.rounded([square.joints(body)[:, :2] for body in bodies]),
        }

    async def frames_of(motion, start, stop, request):
        # A batch at a time, so that others' poses need not wait for a whole motion.
        for batch in motion.needed(start, stop):
            await renders.do(motion.make, renderer, batch, gone=request.is_disconnected)
        return motion.pictures(start, stop)

    @app.get("/motion/{name}/clip.{kind}")
    async def show_clip(
        name: str, kind: Literal["gif", "mp4"], request: fastapi.Request
    ) -> fastapi.Response:
        motion = seen_motions.get(name)
        with _from_the_client():
            clips.check_format(pathlib.Path(f"clip.{kind}"), motion.fps)
        frames = await frames_of(motion, 0, motion.frames, request)
        content = await readings.do(_clip, kind, frames, motion.fps)
        headers = {"content-disposition": f'attachment; filename="clip.{kind}"'}
        kinds = {"gif": "image/gif", "mp4": "video/mp4"}
        return fastapi.Response(content, media_type=kinds[kind], headers=headers)

    @app.get("/motion/{name}/{start}")
    async def show_frames(
        name: str,
        start: Annotated[int, fastapi.Path(ge=0, lt=people.MOST_FRAMES)],
        request: fastapi.Request,
    ) -> fastapi.Response:
        motion = seen_motions.get(name)
        if start >= motion.frames:
            raise HTTPException(404, "There is no such frame.")
        began = time.perf_counter()
        stop = min(start + rendering.BATCH, motion.frames)
        frames = await frames_of(motion, start, stop, request)
        seconds = time.perf_counter() - began
        return _png(people.png(np.concatenate(frames)), {"x-seconds": f"{seconds:.4f}"})

    page = importlib.resources.files("volsynth.studio") / "page"
    serving.add_page(app, "volsynth.studio", sorted(file.name for file in page.iterdir()))
    _add_errors(app)
    return guard.Guard(app, hosts, body_of, images="'self' blob:")


def _add_errors(app):
    def invalid(errors):
        error = errors[0]
        place, *within = error["loc"]
        if place == "path":
            return 404, "There is no such thing."
        where = ".".join(map(str, within))[:80]
        return 422, f"{where or 'The body'}: {error['msg'][:200]}."

    for kind, status, line, headers in (
        (store.ForgottenError, 410, "The server has forgotten it: drop the picture again.", None),
        (store.UnknownError, 404, "There is no such thing.", None),
        # They do not hear it.
        (GoneError, 499, "You did not wait.", None),
        (BusyError, 503, "Too many are waiting. Try again soon.", {"retry-after": "1"}),
    ):
        app.add_exception_handler(
            kind, functools.partial(_refused, status=status, line=line, headers=headers)
        )
    serving.add_errors(app, invalid, (UserError,))


def _refused(request, error, status, line, headers):
    return serving.error(status, line, headers)


def _png(content, headers=None):
    return fastapi.Response(content, media_type="image/png", headers=headers)


def _clip(kind, frames, fps):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"clip.{kind}"
        clips.write(path, frames, fps)
        return path.read_bytes()


def _kinds_of_clips():
    """The endings of clips that can be made here."""
    kinds = ["gif"]
    with contextlib.suppress(UserError):
        clips.check_format(pathlib.Path("clip.mp4"), 25.0)
        kinds.append("mp4")
    return kinds


@functools.cache
def _motions():
    return {name: pose_library.named_motion(name) for name in pose_library.MOTIONS}


def _about(renderer, estimator, library):
    card = renderer.card
    return {
        "model": {
            "system": card.get("system"),
            "image_size": renderer.image_size,
            "steps": card.get("step"),
            "data": card.get("trained_on", {}).get("data"),
        },
        "estimator": estimator is not None,
        "joints": JOINTS,
        "bones": [[parent, child] for parent, child, _ in retargeting.BONES],
        "mirror": MIRROR,
        "limbs": [[a, b, side_of(a, b)] for a, b in LIMBS],
        "poses": [
            {
                "name": pose.action,
                "joints_mm": people.rounded(people.from_pelvis(pose.joints_mm[None])[0]),
            }
            for pose in keypoint_files.read(pose_library.POSES_FILE)
        ],
        "motions": [
            {"name": name, "frames": len(poses), "fps": pose_library.MOTION_FPS}
            for name, poses in library.items()
        ],
        "clips": _kinds_of_clips(),
        "limits": {
            "picture_bytes": _PICTURE.most,
            "poses_bytes": _POSES.most,
            "frames": people.MOST_FRAMES,
        },
    }


def serve(
    model: pathlib.Path,
    estimator: pathlib.Path | None = None,
    source: Source | None = None,
    host: str = "127.0.0.1",
    port: int = 8766,
    names: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serves the studio until it is stopped by Ctrl-C or SIGTERM.

    Args:
      model: exported, that makes pictures.
      estimator: exported, that finds poses.
      source: the person that the page begins with.
      host: address to listen at.
      port: 0 takes a free one.
      names: by which browsers reach the server, with their ports where these are not 80 or 443;
        beside `host` itself, and the names of this machine for itself where it is one.
      say: is told what goes on, a line at a time.

    Raises:
      UserError: something cannot be read, the address cannot be listened at, or nobody knows by
        what name it is reached.
    """
    serving.check(host, port, names)
    with serving.listening(host, port) as listener:
        port = listener.getsockname()[1]
        finder = rendering.load_estimator(estimator) if estimator else None
        renderer = rendering.Renderer(staged.load_staged(model))
        who = None
        if source:
            who = read_person(source, renderer.image_size, finder, keep_picture=False)
        say("compiling the model; it takes up to a minute")
        renderer.warm_up()
        app = make_app(renderer, finder, [*serving.own_names(host, port), *names], who)
        serving.say_where(say, host, port)
        serving.run(app, listener)
