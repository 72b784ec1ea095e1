"""The server of the study: FastAPI and uvicorn, of the extra `[study]`.

What the browser gets is the same whichever methods it compares: questions go by random names,
pictures by their question's name and the side they stand on, and all have one size.

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
from volsynth.study import comparison, questions, store
from volsynth.web import guard, serving

_YEAR = 365 * 24 * 3600  # s
_PAGE = ("index.html", "study.css", "study.js", "icon.svg")
# An answer has about a hundred bytes.
_LIMITS = guard.BodyLimits(most_bytes=2048)
_LONGEST_TOKEN = 64
_HEAD = (INDEX["head_top"], INDEX["head"])
# As many as a few dozens of judges look at at one time; a picture is shown more than once.
_CACHED_PICTURES = 64


class AnswerRequest(pydantic.BaseModel):
    """The body of POST /answer.

    Attributes:
      question: Name of the question.
      choice: The picture that is better, or "tie".
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    question: Annotated[str, pydantic.Field(max_length=64)]
    choice: Literal["left", "tie", "right"]


def cookie_name(study: comparison.Study) -> str:
    """The name of the cookie that holds a judge's token, another one for each study."""
    # Browsers send the cookies of one port to every port of a machine, where other studies may run.
    return f"judge-{study.identity[:8]}"


class Interview:
    """A study as its judges see it: what each of them is asked and shown.

    Attributes:
      study: What is compared.
      answers: The file of judges, questions and answers.
      games: The number of decisions that a judge makes in every task.
    """

    def __init__(self, study: comparison.Study, answers: store.AnswerStore, games: int) -> None:
        """Takes a study, the file of its answers, and the number of decisions in every task."""
        self.study, self.answers, self.games = study, answers, games
        self._picture = functools.lru_cache(_CACHED_PICTURES)(
            functools.partial(comparison.picture, study)
        )

    def find_judge(self, token: str | None) -> int | None:
        """The number of the judge with this token; None if there is none."""
        # Longer ones are none, and would be hashed for nothing.
        return self.answers.find_judge(token) if token and len(token) <= _LONGEST_TOKEN else None

    def require_judge(self, token: str | None) -> int:
        """The number of the judge with this token.

        Raises:
          HTTPException: 401, there is none.
        """
        number = self.find_judge(token)
        if number is None:
            raise HTTPException(401, "You have not begun, or this browser has forgotten it.")
        return number

    def begin(self, token: str | None) -> tuple[int, str | None]:
        """A judge to ask: the one with this token, or a new one if that has answered everything.

        Returns:
          The judge's number, and the token of a new judge; None for a judge who was there.

        Raises:
          HTTPException: 403, there are too many judges.
        """
        judge = self.find_judge(token)
        # Pressed twice, the button makes one judge; after the last question it makes another, for
        # the next person at the same browser.
        if judge is not None and self.answers.next_question(judge, self.games) is not None:
            return judge, None
        token = self.answers.new_judge()
        if token is None:
            # No 5xx: the page would try again for ever, and nobody would read why.
            raise HTTPException(403, f"There are {store.MOST_JUDGES} judges already.")
        return self.answers.find_judge(token), token

    def state(self, judge: int) -> dict[str, Any]:
        """The progress of a judge, and the question to answer next, as JSON."""
        asked = self.answers.next_question(judge, self.games)
        tasks = len(questions.TASKS)
        total = self.games * tasks
        state = {"begun": True, "games": self.games, "parts": tasks, "total": total}
        if asked is None:
            return {**state, "finished": True, "done": total}
        # Neither the methods nor the item: the page must not tell what it compares.
        return {
            **state,
            "finished": False,
            "done": self.answers.count_answers(judge),
            "question": asked.id,
            "task": asked.task,
            "part": questions.TASKS.index(asked.task) + 1,
            "number": asked.number + 1,
            "pose": _pose(self.study.joints(asked.item)) if asked.task == "correct pose" else None,
        }

    def answer(self, judge: int, given: AnswerRequest) -> None:
        """Keeps a judge's answer.

        Raises:
          HTTPException: 404, the judge was not asked that; 409, there is another answer already.
        """
        outcome = self.answers.answer(judge, given.question, given.choice)
        if outcome == "unknown":
            raise HTTPException(404, "You were not asked that question.")
        if outcome == "contradicted":
            raise HTTPException(409, "You gave another answer to that question before.")
        # "repeated" is no error: a page that got no response sends its answer again.

    def picture(
        self, judge: int, question: str, place: Literal["left", "right", "source"]
    ) -> bytes:
        """The PNG file of a picture that a judge was asked about.

        Raises:
          HTTPException: 404, the judge was not asked that, or the task shows no source.
        """
        asked = self.answers.question(judge, question)
        # In the other tasks, the source would tell more than judges are to know.
        if asked is None or (place == "source" and asked.task != "same person"):
            raise HTTPException(404, "There is no such picture.")
        if place == "source":
            return self._picture(self.study.source(asked.item))
        method = asked.left if place == "left" else asked.right
        return self._picture(self.study.folders[method].items[asked.item].generated)


def make_app(
    study: comparison.Study, answers: store.AnswerStore, games: int, hosts: Sequence[str]
) -> guard.Guard:
    """Makes the application that answers the page, behind its guard.

    Args:
      study: what is compared.
      answers: where answers go.
      games: the number of decisions that a judge makes in every task.
      hosts: the values of the header Host that are answered; see `volsynth.web.guard.Guard`.
    """
    # FastAPI's pages of documentation load scripts from elsewhere, which the guard would block.
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_routes(Interview(study, answers, games)))
    serving.add_page(app, "volsynth.study", _PAGE)
    # Other errors may name a file, and with it a method: they go to the log only.
    serving.add_error_handlers(app, _describe_invalid, (UserError, sqlite3.Error))
    return guard.Guard(app, hosts, lambda path: _LIMITS)


def _routes(interview):
    """The requests of the page."""
    router = fastapi.APIRouter()
    cookie = cookie_name(interview.study)
    Token = Annotated[str | None, fastapi.Cookie(alias=cookie)]

    # Functions without `async` run in threads, so that a flush of the disk holds nobody up.
    @router.post("/begin", status_code=201)
    def begin(response: fastapi.Response, token: Token = None) -> dict[str, Any]:
        judge, new_token = interview.begin(token)
        if new_token is not None:
            response.set_cookie(
                cookie, new_token, max_age=_YEAR, path="/", httponly=True, samesite="strict"
            )
        return interview.state(judge)

    @router.get("/question")
    def get_question(token: Token = None) -> dict[str, Any]:
        judge = interview.find_judge(token)
        # No error: whoever opens the page for the first time asks this, too.
        return {"begun": False} if judge is None else interview.state(judge)

    @router.post("/answer")
    def answer(given: AnswerRequest, token: Token = None) -> dict[str, Any]:
        judge = interview.require_judge(token)
        interview.answer(judge, given)
        return interview.state(judge)

    @router.get("/picture/{question}/{place}")
    def show_picture(
        question: str, place: Literal["left", "right", "source"], token: Token = None
    ) -> fastapi.Response:
        content = interview.picture(interview.require_judge(token), question, place)
        return fastapi.Response(content, media_type="image/png")

    return router


def _describe_invalid(errors):
    """The status and the one line for pydantic's errors about a request."""
    if any(each["loc"][0] == "path" for each in errors):
        return 404, "There is no such picture."
    return 422, 'An answer is {"question": its name, "choice": "left", "tie" or "right"}.'


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
      results: the methods' folders; see `volsynth.study.folders`.
      database: the file of answers; a study that is in it already goes on.
      games: the number of decisions that a judge makes in every task.
      host: the address to listen at.
      port: the port; 0 takes a free one.
      names: further names by which browsers reach the server, with their ports where these are not
        80 or 443. `host` itself is one, and so are this machine's names for itself where `host` is
        one of them.
      say: is told what goes on, a line at a time.

    Raises:
      UserError: the folders make no study, the database is another study's, the address cannot be
        listened at, or no name by which browsers reach the server is known.
    """
    if games < 1:
        raise UserError(f"--games must be at least 1, got {games}.")
    serving.check_address(host, port, names)
    study = comparison.open_study(results, say)
    answers = store.AnswerStore(database, study.methods, study.items, study.identity)
    with contextlib.closing(answers), serving.open_socket(host, port) as listener:
        port = listener.getsockname()[1]
        app = make_app(study, answers, games, [*serving.host_names(host, port), *names])
        say(
            f"{len(study.methods)} methods, {len(study.items)} items, {games} decisions in each of "
            f"{len(questions.TASKS)} tasks; answers go to {database}"
        )
        serving.announce(say, host, port, "it goes on where it was")
        serving.run(app, listener)


def _pose(joints: np.ndarray) -> dict[str, Any]:
    """A pose as the page draws it.

    Returns:
      {"joints": mm from the middle of the pose, None for unknown ones; "limbs": the two joints of
      each, and the person's side that it is on; "head", "radius": the joints and the radius of the
      ball that stands for the head}.
    """
    low, high = np.nanmin(joints, axis=0), np.nanmax(joints, axis=0)
    # From the middle of the box, about which the page turns the skeleton, so that it stays in view.
    centred = np.round(joints - (low + high) / 2, 1)
    radius = 0.62 * float(np.linalg.norm(joints[_HEAD[0]] - joints[_HEAD[1]]))
    return {
        # JSON has no NaN.
        "joints": [None if math.isnan(sum(joint)) else joint for joint in centred.tolist()],
        "limbs": [[a, b, side_of(a, b)] for a, b in LIMBS if (a, b) != _HEAD],
        "head": list(_HEAD),
        "radius": 0 if math.isnan(radius) else round(radius, 1),
    }
