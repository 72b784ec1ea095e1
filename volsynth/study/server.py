"""The study as a page in the browser: FastAPI and uvicorn, of the extra `[study]`.

What the browser gets is the same whichever methods it compares: questions go by random names,
pictures by their question's name and the side they stand on, and have one size.

| address | does |
|---|---|
| `GET /` and the files beside it | the page |
| `POST /begin` | makes a judge, whose token goes into a cookie; the judge's question |
| `GET /question` | the judge's open question, or a new one; or that there is no such judge |
| `POST /answer` | keeps an answer; the next question |
| `GET /picture/QUESTION/PLACE` | a picture: `left`, `right` or `source` |
"""

import contextlib
import functools
import math
import pathlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import fastapi
import numpy as np
import pydantic
from starlette.exceptions import HTTPException

from volsynth.errors import UserError
from volsynth.skeleton import INDEX, LIMBS, side_of
from volsynth.study import folders, questions, store
from volsynth.web import guard, serving

_YEAR = 365 * 24 * 3600  # s
_PAGE = ("index.html", "study.css", "study.js", "icon.svg")
_BODY = guard.Body(most=2048)
"""An answer has about a hundred bytes."""

_HEAD = (INDEX["head_top"], INDEX["head"])
_KEPT_PICTURES = 64
"""As many as are shown to a few dozens of judges at a time."""


class Given(pydantic.BaseModel):
    """The body of an answer."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    question: Annotated[str, pydantic.Field(max_length=64)]
    choice: Literal["left", "tie", "right"]


def cookie_name(study: folders.Study) -> str:
    """Browsers send cookies to every port of a machine: each study needs one of its own."""
    return f"judge-{study.identity[:8]}"


def make_app(
    study: folders.Study, kept: store.Store, games: int, hosts: Sequence[str]
) -> guard.Guard:
    """The application.

    Args:
      study: what is compared.
      kept: where answers go.
      games: how many decisions a judge makes in every task.
      hosts: see `volsynth.web.guard.Guard`.
    """
    cookie = cookie_name(study)
    Token = Annotated[str | None, fastapi.Cookie(alias=cookie)]
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    picture = functools.lru_cache(_KEPT_PICTURES)(functools.partial(folders.picture, study))

    def known(token):
        return kept.judge(token) if token and len(token) <= 64 else None

    def judge_of(token):
        number = known(token)
        if number is None:
            raise HTTPException(401, "You have not begun, or this browser has forgotten it.")
        return number

    def state(judge):
        asked = kept.next_question(judge, games)
        tasks = len(questions.TASKS)
        found = {"begun": True, "games": games, "parts": tasks, "total": games * tasks}
        if asked is None:
            return {**found, "finished": True, "done": games * tasks}
        return {
            **found,
            "finished": False,
            "done": kept.answered(judge),
            "question": asked.id,
            "task": asked.task,
            "part": questions.TASKS.index(asked.task) + 1,
            "number": asked.number + 1,
            "pose": _pose(study.joints(asked.item)) if asked.task == "correct pose" else None,
        }

    @app.post("/begin", status_code=201)
    def begin(response: fastapi.Response, token: Token = None) -> dict[str, Any]:
        judge = known(token)
        # Pressed twice, the button makes one judge; after the last question it makes another.
        if judge is None or kept.next_question(judge, games) is None:
            token = kept.new_judge()
            if token is None:
                # No 5xx: the page would try again for ever, and nobody read why.
                raise HTTPException(403, f"There are {store.MOST_JUDGES} judges already.")
            judge = kept.judge(token)
            response.set_cookie(
                cookie, token, max_age=_YEAR, path="/", httponly=True, samesite="strict"
            )
        return state(judge)

    @app.get("/question")
    def question(token: Token = None) -> dict[str, Any]:
        judge = known(token)
        return {"begun": False} if judge is None else state(judge)

    @app.post("/answer")
    def answer(given: Given, token: Token = None) -> dict[str, Any]:
        judge = judge_of(token)
        outcome = kept.answer(judge, given.question, given.choice)
        if outcome == "unknown":
            raise HTTPException(404, "You were not asked that question.")
        if outcome == "contradicted":
            raise HTTPException(409, "You gave another answer to that question before.")
        return state(judge)

    @app.get("/picture/{question}/{place}")
    def show(
        question: str, place: Literal["left", "right", "source"], token: Token = None
    ) -> fastapi.Response:
        asked = kept.question(judge_of(token), question)
        # The source would tell more than the other tasks ask for.
        if asked is None or (place == "source" and asked.task != "same person"):
            raise HTTPException(404, "There is no such picture.")
        if place == "source":
            file = study.source(asked.item)
        else:
            method = asked.left if place == "left" else asked.right
            file = study.folders[method].items[asked.item].generated
        return fastapi.Response(picture(file), media_type="image/png")

    serving.add_page(app, "volsynth.study", _PAGE)

    def invalid(errors):
        if any(each["loc"][0] == "path" for each in errors):
            return 404, "There is no such picture."
        return 422, 'An answer is {"question": its name, "choice": "left", "tie" or "right"}.'

    # What else goes wrong may name a file, and with it a method.
    serving.add_errors(app, invalid, (UserError, sqlite3.Error))
    return guard.Guard(app, hosts, lambda path: _BODY)


def serve(
    results: Sequence[pathlib.Path],
    database: pathlib.Path,
    games: int = 200,
    host: str = "127.0.0.1",
    port: int = 8765,
    names: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serves a study until it is stopped by Ctrl-C or SIGTERM.

    Args:
      results: folders; see `volsynth.study.folders`.
      database: file; one that is there is gone on with.
      games: decisions of a judge in every task.
      host: address to listen at.
      port: 0 takes a free one.
      names: by which browsers reach the server, with their ports where these are not 80 or 443;
        beside `host` itself, and the names of this machine for itself where it is one.
      say: is told what goes on, a line at a time.

    Raises:
      UserError: the folders make no study, the database is another study's, the address cannot be
        listened at, or nobody knows by what name it is reached.
    """
    if games < 1:
        raise UserError(f"--games must be at least 1, got {games}.")
    serving.check(host, port, names)
    study = folders.open_study(results, say)
    kept = store.Store(database, study.methods, study.items, study.identity)
    with contextlib.closing(kept), serving.listening(host, port) as listener:
        port = listener.getsockname()[1]
        app = make_app(study, kept, games, [*serving.own_names(host, port), *names])
        say(
            f"{len(study.methods)} methods, {len(study.items)} items, {games} decisions in each of "
            f"{len(questions.TASKS)} tasks; answers go to {database}"
        )
        serving.say_where(say, host, port, "it goes on where it was")
        serving.run(app, listener)


def _pose(joints: np.ndarray) -> dict[str, Any]:
    """A pose as the page draws it: mm from its middle, null for unknown; limbs with the person's
    side they are on; and a ball for the head."""
    low, high = np.nanmin(joints, axis=0), np.nanmax(joints, axis=0)
    centred = np.round(joints - (low + high) / 2, 1)
    radius = 0.62 * float(np.linalg.norm(joints[_HEAD[0]] - joints[_HEAD[1]]))
    return {
        "joints": [None if math.isnan(sum(joint)) else joint for joint in centred.tolist()],
        "limbs": [[a, b, side_of(a, b)] for a, b in LIMBS if (a, b) != _HEAD],
        "head": list(_HEAD),
        "radius": 0 if math.isnan(radius) else round(radius, 1),
    }
