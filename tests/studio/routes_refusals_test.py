"""The requests that the studio's server refuses, each with one line of JSON."""

import json
import struct
import zlib

import numpy as np
import pytest
from visiting import POST, joints_of, named, picture_of, pixels, png, refused

NOBODY = "x" * 22
POSE = named().tolist()


# --- pictures ------------------------------------------------------------------------------------


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(width, height, content=b""):
    """A PNG that says how large it is, and has hardly anything in it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + content + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the picture cannot be read as a picture (PNG, JPEG, WEBP, BMP, TIFF)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be read as a picture"),
        (b"GIF89a" + bytes(60), "cannot be read as a picture"),
        (b"%PDF-1.4", "cannot be read as a picture"),
        (b"PK\x03\x04" + bytes(60), "cannot be read as a picture"),
        (bomb(9000, 9000), "9000 x 9000 pixels are too many; at most 64,000,000"),
        (bomb(2**31 - 1, 2**31 - 1), "pixels are too many"),
        (bomb(60, 60, chunk(b"IDAT", zlib.compress(bytes(50)))), "cannot be read as a picture"),
        # Texts of a picture may be compressed, too.
        (
            bomb(60, 60, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000), 9))),
            "cannot be read as a picture",
        ),
        (png(np.full((60, 60, 4), 0, np.uint8)), "the picture: there is nobody"),
        (
            png(np.pad(np.full((9, 9, 4), 255, np.uint8), ((20, 20), (20, 20), (0, 0)))),
            "the picture: the person is 9 pixels large; at least 16",
        ),
        (png(np.zeros((60, 60), np.uint16)), "8 bits a channel"),
    ],
)
def test_pictures_that_are_none(page, content, text):
    refused(page.post("/picture", content), 422, text)


def test_what_a_decoder_says_is_one_line_without_paths(page, brought):
    content = brought[0].read_bytes()
    rng = np.random.default_rng(0)
    said = set()
    for _ in range(40):
        broken = bytearray(content)
        for at in rng.integers(8, len(content), 4):
            broken[at] = rng.integers(256)
        found = page.post("/picture", bytes(broken))
        if found.status_code != 201:
            said.add(refused(found, 422, "the picture"))
    assert said


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/picture", "image/png", 422),
        ("/picture", "application/octet-stream", 422),
        ("/picture", "application/json", 415),
        ("/picture", "multipart/form-data; boundary=x", 415),
        ("/picture", "text/plain", 415),
        ("/picture", "imagery/png", 415),
        (f"/picture/{NOBODY}/mask", "image/webp", 410),
        (f"/picture/{NOBODY}/mask", "text/html", 415),
        ("/poses", "text/csv; charset=utf-8", 422),
        ("/poses", "image/png", 415),
        ("/person", "image/png", 415),
        ("/render", "text/plain", 415),
        ("/motion", "text/csv", 415),
    ],
)
def test_kinds_of_bodies(page, path, kind, status):
    refused(page.post(path, b"x", content_type=kind), status)


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/picture", "image/png", 32 << 20),
        (f"/picture/{NOBODY}/mask", "image/png", 32 << 20),
        ("/poses", "application/json", 16 << 20),
        ("/motion", "application/json", 2 << 20),
        ("/person", "application/json", 256 << 10),
        ("/render", "application/json", 256 << 10),
        ("/elsewhere", "application/json", 256 << 10),
        ("/elsewhere/mask", "application/json", 256 << 10),
    ],
)
def test_bodies_that_are_too_large_are_refused_before_they_are_read(page, path, kind, most):
    headers = {**POST, "content-type": kind, "content-length": str(most + 1)}
    found = page.client.post(path, content=b"", headers=headers)
    refused(found, 413, f"A request may have {most} bytes.")


def test_a_body_of_unknown_length_is_refused_while_it_arrives(page):
    sent = []

    def chunks():
        for number in range(1000):
            sent.append(number)
            yield bytes(1 << 16)

    found = page.client.post("/render", content=chunks(), headers={
        **POST, "content-type": "application/json"})  # fmt: skip
    refused(found, 413, "A request may have 262144 bytes.")


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/person", "/render", "/motion"])
@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "The body is not JSON."),
        (b"\xff\xfe", 400, "body"),
        (b"[" * 100_000, 400, "body"),
        (b"", 422, "The body: Field required."),
        (b"[]", 422, "The body: "),
        (b"null", 422, "The body: "),
        (b"{}", 422, "Field required."),
        (b'{"person": "' + b"x" * 65 + b'", "picture": "' + b"x" * 65 + b'"}', 422, "64 char"),
        (b'{"person": 3, "picture": 3}', 422, "valid string"),
        (b'{"person": "x", "picture": "x", "path": "a"}', 422, ""),
    ],
)
def test_bodies_that_are_no_question(page, path, body, status, text):
    refused(page.post(path, body, content_type="application/json"), status, text)


def changed(joints, at, value):
    rows = [list(row) for row in joints]
    rows[at[0]] = value if len(at) == 1 else rows[at[0]]
    if len(at) == 2:
        rows[at[0]][at[1]] = value
    return rows


BAD_JOINTS = [
    (POSE[:14], "at least 15 items"),
    ([*POSE, POSE[0]], "at most 15 items"),
    (changed(POSE, (3,), [1, 2]), "joints_mm.3: List should have at least 3 items"),
    (changed(POSE, (3,), [1, 2, 3, 4]), "at most 3 items"),
    (changed(POSE, (3,), None), "joints_mm.3: Input should be a valid list."),
    (changed(POSE, (3, 1), "7"), "joints_mm.3.1: Input should be a valid number."),
    (changed(POSE, (3, 1), True), "joints_mm.3.1: Input should be a valid number."),
    (changed(POSE, (3, 1), None), "joints_mm.3.1: Input should be a valid number."),
    (changed(POSE, (3, 1), float("nan")), "joints_mm.3.1: "),
    (changed(POSE, (3, 1), float("inf")), "joints_mm.3.1: "),
    (changed(POSE, (3, 1), -1e7), "greater than or equal to -1000000"),
    (changed(POSE, (3, 1), 10**400), "joints_mm.3.1: "),
    ({"a": 1}, "joints_mm: Input should be a valid list."),
    ("x" * 5000, "joints_mm: Input should be a valid list."),
]


@pytest.mark.parametrize(("joints", "text"), BAD_JOINTS)
def test_joints_that_are_none(page, joints, text):
    body = json.dumps({"person": NOBODY, "joints_mm": joints}).encode()
    refused(page.post("/render", body, content_type="application/json"), 422, text)
    body = json.dumps({"person": NOBODY, "poses": [POSE, joints]}).encode()
    found = page.post("/motion", body, content_type="application/json")
    refused(found, 422, text.replace("joints_mm", "poses.1"))


def test_poses_that_are_none(page, brought):
    person = page.bring(brought[0].read_bytes())

    def fails(text, **given):
        refused(page.post("/render", {"person": person, "joints_mm": POSE, **given}), 422, text)

    fails("the pose: the joints of a pose lie all in one place", joints_mm=[[1, 2, 3]] * 15)
    fails("turn: Input should be a valid number", turn="9")
    fails("turn: Input should be", turn=1e9)
    body = json.dumps({"person": person, "joints_mm": POSE, "turn": float("nan")}).encode()
    refused(page.post("/render", body, content_type="application/json"), 422, "turn: ")


def test_persons_that_are_none(page, brought):
    given = {"picture": picture_of(page, brought), **joints_of(brought[1])}
    px, mm = np.array(given["joints_px"]), np.array(given["joints_mm"])

    def fails(text, **changes):
        refused(page.post("/person", {**given, **changes}), 422, text)

    fails("the pose: 15 joints lie outside of the picture of 120 x 160 pixels",
          joints_px=(px + 1000).tolist())  # fmt: skip
    fails("0 joints are known; 2 are needed at least", joints_px=[None] * 15)
    fails("too few of them are neighbours", joints_px=[*px[:3].tolist(), *[None] * 12])
    fails("the joints of a pose lie all in one place", joints_px=[[60, 80]] * 15, joints_mm=None)
    fails("joints_px and joints_mm are of different poses", joints_mm=(-mm * (1, 1, -1)).tolist())
    fails("mask holds nothing near the joints",
          joints_px=(px / 100).tolist(), joints_mm=None)  # fmt: skip
    fails("joints_px.2: List should have at least 2 items", joints_px=[[1, 2]] * 2 + [[1]] * 13)
    fails("joints_mm: List should have at least 15 items", joints_mm=[])
    assert page.post("/person", given).status_code == 201


def test_motions_that_are_none(page, brought):
    person = page.bring(brought[0].read_bytes())

    def fails(text, **given):
        refused(page.post("/motion", {"person": person, **given}), 422, text)

    fails("A motion has a name, or else poses.")
    fails("A motion has a name, or else poses.", name="walking", poses=[POSE])
    fails("There is no such motion; there are walking", name="../motions")
    fails("poses: List should have at least 1 item", poses=[])
    fails("poses: List should have at most 600 items", poses=[[[1, 2, 3]] * 15] * 601)
    fails("fps: Input should be greater than or equal to 1", name="walking", fps=0.5)
    fails("fps: Input should be less than or equal to 120", name="walking", fps=121)
    fails("one place", poses=[POSE, [[0, 0, 0]] * 15])
    motion = page.post("/motion", {"person": person, "poses": [POSE] * 3}).json()
    address = f"/motion/{motion['motion']}"
    for start in ("3", "599", "600", "-1", "1.5", "x", "9" * 50, "%2e%2e", "clip.webm", "clip."):
        refused(page.get(f"{address}/{start}"), 404)
    assert pixels(page.get(f"{address}/2")).shape == (32, 32, 3)


def ours(*poses, **head):
    content = {"format": "volsynth-keypoints", "version": 1, "poses": list(poses), **head}
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "poses.json is not JSON"),
        (b"\xff", "poses.json is not text in UTF-8"),
        (b"[" * 100_000, "poses.json is not JSON"),
        (b"[]", "poses.json has no known format"),
        (ours(), "poses.json has 0 poses"),
        (ours({"joints_mm": POSE[:3]}), "must have 15 joints"),
        (ours({"image": "a"}), "has neither 'joints_px' nor 'joints_mm'"),
        (ours({"joints_mm": changed(POSE, (0, 0), float("nan"))}), "NaN is no number"),
        (ours({"joints_mm": [None] * 15}), "0 joints are known"),
        (ours(*[{"joints_mm": POSE, "frame": 4}] * 2), "has several poses of one frame"),
        (ours(*[{"joints_px": [[1, 2]] * 15}] * 601), "the file has 601 poses; at most 600"),
        (ours(order="\ud800"), "no order of joints"),
        (ours({"image": "\ud800" + "y" * 9000, "joints_px": 3}), "poses.json: pose 0 (?yyy"),
    ],
)
def test_files_of_poses_that_are_none(page, content, text):
    refused(page.post("/poses", content, content_type="application/json"), 422, text)


def test_names_of_poses_are_text_that_can_be_sent(page):
    content = ours({"joints_mm": POSE, "action": "\ud800" + "y" * 9000})
    found = page.post("/poses", content, content_type="application/json").json()
    assert found["poses"][0]["name"] == "?" + "y" * 99


# --- names ---------------------------------------------------------------------------------------

ADDRESSES = ["/picture/{}", "/person/{}", "/motion/{}/0", "/motion/{}/clip.gif"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    ("name", "status"),
    [
        (NOBODY, 410),
        ("x", 404),
        ("x" * 23, 404),
        ("%2e%2e%2fetc%2fpasswd", 404),
        ("..%5c..", 404),
        ("%00", 404),
        ("é" * 22, 404),
        ("x" * 600, 414),
    ],
)
def test_names_that_were_never_given(page, address, name, status):
    refused(page.get(address.format(name)), status)


def test_persons_and_pictures_that_are_forgotten_or_never_were(page):
    given = {"joints_mm": POSE, "turn": 0}
    for name, status in ((NOBODY, 410), ("x", 404), ("../../x", 404), ("", 404)):
        refused(page.post("/render", {"person": name, **given}), status)
        refused(page.post("/motion", {"person": name, "name": "walking"}), status)
        body = {"picture": name, "joints_px": [[1, 2]] * 15}
        refused(page.post("/person", body), status)
    said = refused(page.post("/render", {"person": NOBODY, **given}), 410)
    assert said == "The server has forgotten it: drop the picture again."


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/openapi.json",
        "/page/index.html",
        "/../server.py",
        "/index.html",
        "/picture/a/b/c",
    ],
)
def test_addresses_outside_of_the_page(page, path):
    refused(page.get(path), 404)


def test_methods_that_are_none(page):
    refused(page.get("/render"), 405)
    refused(page.client.request("DELETE", "/about", headers=POST), 405)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example", "origin": "http://evil.example"}, 421),
        ({"sec-fetch-site": "same-origin"}, 201),
    ],
)
@pytest.mark.parametrize("path", ["/picture", "/person", "/poses", "/render", "/motion"])
def test_what_other_sites_send_is_refused(page, brought, path, headers, status):
    sent = {**POST, "content-type": "application/json", **headers}
    sent = {name: value for name, value in sent.items() if value is not None}
    if path == "/picture":
        sent["content-type"] = "image/png"
    found = page.client.post(path, content=brought[0].read_bytes(), headers=sent)
    if status == 201:
        assert found.status_code in (201, 400, 422)
    else:
        refused(found, status)


def test_other_sites_may_link_to_the_page_and_use_nothing_of_it(page, brought):
    foreign = {"sec-fetch-site": "cross-site"}
    assert page.get("/", headers=foreign).status_code == 200
    name = picture_of(page, brought)
    for path in ("/about", f"/picture/{name}"):
        refused(page.get(path, headers=foreign), 403)
        refused(page.get(path, headers={"origin": "http://evil.example"}), 403)
        own = page.get(path, headers={"sec-fetch-site": "same-origin"})
        assert own.headers["cross-origin-resource-policy"] == "same-origin"
        assert own.headers["cache-control"] == "no-store"
