"""A page of the studio, as a browser speaks for it."""

import io
import re

import numpy as np
from PIL import Image

from volsynth.poses import pose_library

HOST = "127.0.0.1:8766"
POST = {"origin": f"http://{HOST}"}


class Page:
    """One open page: what it asks, and whom it shows."""

    def __init__(self, client):
        self.client = client

    def get(self, path, **options):
        return self.client.get(path, **options)

    def post(self, path, body, **headers):
        """JSON, or bytes of the kind that `content_type` says."""
        kind = headers.pop("content_type", "image/png")
        sent = {**POST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if isinstance(body, bytes):
            return self.client.post(path, content=body, headers={**sent, "content-type": kind})
        return self.client.post(path, json=body, headers=sent)

    def bring(self, content, mask=None, pose=None):
        """Drops a picture, and says where in it the person is; the person's name.

        Args:
          content: of the picture.
          mask: of its mask; None where it has its own.
          pose: of `keypoint_files`; None for the server's suggestion.
        """
        found = self.post("/picture", content).json()
        if mask is not None:
            found = self.post(f"/picture/{found['picture']}/mask", mask).json()
        joints = found["pose"] if pose is None else joints_of(pose)
        joints = {key: joints[key] for key in ("joints_px", "joints_mm")}
        return self.post("/person", {"picture": found["picture"], **joints}).json()["person"]

    def render(self, person, joints, turn=0.0):
        """The picture of a pose in mm."""
        body = {"person": person, "joints_mm": np.asarray(joints).tolist(), "turn": turn}
        return pixels(self.post("/render", body))

    def frames(self, motion):
        """All pictures of a motion's answer, from its strips."""
        strips = []
        for start in range(0, motion["frames"], motion["batch"]):
            strip = pixels(self.get(f"/motion/{motion['motion']}/{start}"))
            strips.append(strip.reshape(-1, strip.shape[1], strip.shape[1], 3))
        return np.concatenate(strips)


def joints_of(pose):
    """A pose's joints as JSON."""
    return {key: getattr(pose, key).tolist() for key in ("joints_px", "joints_mm")}


def pixels(response):
    """A PNG that was answered."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"))


def png(image, **options):
    """An array as a file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", **options)
    return buffer.getvalue()


def named(name="waving"):
    """Joints of a pose of the package, mm."""
    return pose_library.named_pose(name).joints_mm


def refused(response, status, text=""):
    assert response.status_code == status, response.text
    (said,) = response.json().values()
    assert set(response.json()) == {"error"}
    assert text in said
    assert "\n" not in said
    assert "/" not in re.sub("(image|application|text)/", "", said)
    assert "content-security-policy" in response.headers
    return said


def picture_of(page, brought):
    return page.post("/picture", brought[0].read_bytes()).json()["picture"]
