"""The studio's server: what every page is told, and fifty pages at once."""

import asyncio

import httpx2
import numpy as np
import own_pictures
from visiting import HOST, POST, joints_of, named

from volsynth.poses import pose_library, retargeting
from volsynth.skeleton import HIPS, INDEX, JOINTS
from volsynth.studio import server


def test_the_page_is_told_what_there_is(visit):
    page = visit()
    about = page.get("/about").json()
    assert about["joints"] == list(JOINTS)
    assert about["bones"] == [[parent, child] for parent, child, _ in retargeting.BONES]
    assert [about["joints"][at] for at in about["mirror"][3:9]] == [
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_shoulder", "right_elbow", "right_wrist"),
    ]
    assert [INDEX["neck"], INDEX["left_shoulder"], "left"] in about["limbs"]
    assert (about["estimator"], about["person"]) == (False, None)
    assert about["model"]["image_size"] == own_pictures.SIDE
    assert {"standing", "waving"} <= {pose["name"] for pose in about["poses"]}
    for pose in about["poses"]:
        joints = np.array(pose["joints_mm"])
        np.testing.assert_allclose(joints[list(HIPS)].mean(axis=0), 0, atol=0.06)
        wanted = named(pose["name"])
        np.testing.assert_allclose(joints - joints[0], wanted - wanted[0], atol=0.11)
    assert [motion["name"] for motion in about["motions"]] == list(pose_library.MOTIONS)
    assert about["motions"][0]["frames"] == len(pose_library.named_motion(pose_library.MOTIONS[0]))
    assert set(about["limits"]) == {"picture_bytes", "poses_bytes", "frames"}
    policy = page.get("/").headers["content-security-policy"]
    assert "img-src 'self' blob:;" in policy
    assert "unsafe" not in policy


def test_fifty_pages_at_once_meet_no_error(dots, brought):
    app = server.make_app(dots, None, [HOST])
    content = brought[0].read_bytes()
    poses = ("waving", "sitting", "star", "t_pose", "walking")

    async def one(client, number):
        sent = {**POST, "content-type": "image/png"}
        picture = (await client.post("/picture", content=content, headers=sent)).json()
        given = {"picture": picture["picture"], **joints_of(brought[1])}
        person = (await client.post("/person", json=given, headers=POST)).json()["person"]
        made = {}
        for at in range(2):
            name = poses[(number + at) % len(poses)]
            body = {"person": person, "joints_mm": named(name).tolist()}
            found = await client.post("/render", json=body, headers=POST)
            assert found.status_code == 200, found.text
            made[name] = found.content
        return made

    async def all_at_once():
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    made = asyncio.run(all_at_once())
    # Nobody got another one's pose.
    for name in poses:
        assert len({each[name] for each in made if name in each}) == 1
    assert len({each["waving"] for each in made if "waving" in each}
               | {each["star"] for each in made if "star" in each}) == 2  # fmt: skip
