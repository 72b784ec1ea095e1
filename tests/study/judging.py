"""Requests of a judge's page to the study's server."""

from small_study import POST


def begin(client):
    """Begins as a judge, or comes back as one; the state."""
    return client.post("/begin", json={}, headers=POST).json()


def answer(client, state, choice="left"):
    """Answers the question of a state; the response."""
    body = {"question": state["question"], "choice": choice}
    return client.post("/answer", json=body, headers=POST)


def picture(client, state, place):
    """The response with a picture of a state's question: left, right or source."""
    return client.get(f"/picture/{state['question']}/{place}")
