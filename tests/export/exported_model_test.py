"""Reading exported models: arrays that do not fit, folders that are not as they were written."""

import hashlib
import json
import os
import pathlib
import re
import shutil

import exported_runs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import volsynth
from volsynth import systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.export import exported_model, forward, model_folder, write
from volsynth.train import manifest


@pytest.fixture
def copied(folder, tmp_path):
    """A copy to do harm to."""
    return pathlib.Path(shutil.copytree(folder, tmp_path / "copied"))


# --- arrays ---------------------------------------------------------------------------------------


def image_model(inputs):
    """A model that returns its source image, of fields as given."""
    card = {"task": "image", "image_size": 32, "inputs": dict.fromkeys(inputs)}
    return exported_model.Model(
        pathlib.Path(), None, card, {}, lambda _, b: b["source_image"], False
    )


def poses_of(batch):
    return [(batch[f"{role}_joints"], batch[f"{role}_visible"]) for role in ("source", "target")]


FIELDS = ("source_image", "source_joints", "source_visible", "target_joints", "target_visible")


def test_images_may_be_of_any_float_and_visibility_of_numbers():
    batch = fake.batch(2, 32)
    (joints, visible), target = poses_of(batch)
    model = image_model(FIELDS)
    image = batch["source_image"].astype(np.float64)
    made = model(image, (joints.tolist(), visible.astype(int)), target)
    np.testing.assert_array_equal(made, batch["source_image"])
    assert model(jnp.asarray(image, jnp.bfloat16), (joints, visible), target).dtype == jnp.float32


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("source_image", lambda x: x[:, :16], r"source_image must have the shape \[B, 32, 32, 3\]"),
        ("source_image", lambda x: x[0], r"got \[32, 32, 3\]"),
        ("source_image", lambda x: x[:0], r"got \[0, 32, 32, 3\]"),
        ("source_image", lambda x: x.astype(np.uint8), "source_image must be floats, got uint8"),
        ("source_image", lambda x: (x + 1) * 127.5, r"must lie in \[-1, 1\], got values from"),
        ("source_image", lambda x: x * np.nan, "source_image holds values that are not finite"),
        ("source_image", lambda x: [[0], [0, 1]], "source_image is no array"),
        ("source_joints", lambda x: x[..., :2], r"source_joints must have the shape \[B, 15, 3\]"),
        ("target_visible", lambda x: x * 2, "target_visible must be true or false"),
        ("target_joints", lambda x: x[:1], "must have the same length, got .*'target_joints': 1"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(field, change, message):
    batch = fake.batch(2, 32)
    batch[field] = change(batch[field])
    with pytest.raises(UserError, match=message) as raised:
        image_model(FIELDS)(batch["source_image"], *poses_of(batch))
    assert "\n" not in str(raised.value)


def test_poses_that_are_none(folder):
    batch = fake.batch(1, 32)
    source, _ = poses_of(batch)
    with pytest.raises(UserError, match=r"target_joints is missing; this model takes source_image"):
        image_model(FIELDS)(batch["source_image"], source)
    with pytest.raises(UserError, match=r"source_pose must be a pair \(joints, visible\)"):
        image_model(FIELDS)(batch["source_image"], batch["source_joints"], source)
    with pytest.raises(UserError, match="takes an image and nothing else"):
        volsynth.load(folder)(batch["target_image"], source)


# --- what is not read ----------------------------------------------------------------------------


def fails(folder, message, program=None):
    with pytest.raises(UserError, match=message) as raised:
        volsynth.load(folder, program)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", model_folder.MAX_BYTES)
def test_a_changed_byte_is_found_wherever_it_is(copied, name):
    path = copied / name
    contents = bytearray(path.read_bytes())
    for at in (0, len(contents) // 2, len(contents) - 1):
        changed = contents.copy()
        changed[at] ^= 1
        path.write_bytes(changed)
        fails(copied, re.escape(name))
    path.write_bytes(contents[:-1])
    fails(copied, re.escape(name))
    path.unlink()
    fails(copied, f"{re.escape(name)} is missing")


def sealed(folder, **about):
    """A manifest for what is in the folder now, as whoever wants to deceive would write it."""
    manifest.write(folder, {model_folder.FORMAT_KEY: model_folder.FORMAT, **about})
    return folder


def test_files_that_do_not_belong_there(copied, tmp_path):
    (copied / "extra.py").touch()
    fails(copied, "extra.py does not belong there")
    (copied / "extra.py").unlink()
    (copied / "folder").mkdir()
    fails(copied, "folder is no regular file")
    (copied / "folder").rmdir()
    shutil.move(copied / "card.json", tmp_path / "card.json")
    (copied / "card.json").symlink_to(tmp_path / "card.json")
    fails(sealed(copied), "card.json is no regular file")
    (copied / "card.json").unlink()
    os.mkfifo(copied / "card.json")
    fails(copied, "card.json is no regular file")


def test_a_manifest_that_leads_out_of_the_folder(copied, tmp_path):
    text = (copied / manifest.NAME).read_text()
    outside = text.rsplit("\n", 2)[0].replace('"card.json"', '"../card.json"')
    shutil.move(copied / "card.json", tmp_path / "card.json")
    digest = hashlib.sha256(outside.encode()).hexdigest()
    (copied / manifest.NAME).write_text(f"{outside}\n{digest}\n")
    fails(copied, r"\.\./card.json is missing")
    sealed(copied)
    fails(copied, "card.json is missing")


@pytest.mark.parametrize("record", ["[]", '{"files": 1}', '{"files": {}, "about": []}', "[" * 9999])
def test_a_manifest_of_other_making(copied, record):
    if record.startswith('{"files": {}'):
        for path in copied.iterdir():
            path.unlink()
    digest = hashlib.sha256(record.encode()).hexdigest()
    (copied / manifest.NAME).write_text(f"{record}\n{digest}\n")
    fails(copied, "manifest.json is damaged")


def test_files_that_are_too_large_are_not_read(copied, monkeypatch):
    monkeypatch.setitem(model_folder.MAX_BYTES, "card.json", 100)
    fails(copied, r"card.json has \d+ bytes; at most 100 are read")


def test_folders_that_are_no_model(tmp_path):
    fails(tmp_path / "nowhere", r"no exported model \(No such file or directory\)")
    fails(tmp_path, r"no exported model \(manifest.json is missing\)")
    manifest.write(tmp_path, {"step": 3})
    fails(tmp_path, r"no exported model \(manifest.json is of something else\)")


def test_another_format(copied):
    fails(sealed(copied, **{model_folder.FORMAT_KEY: 2}), "format 2; this volsynth reads format 1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {**p, "estimator/new": np.zeros(3, np.float32)}, "unknown array, 'estimator/n"),
        (lambda p: dict(list(p.items())[1:]), "lacks 'estimator/"),
        (lambda p: {k: v[..., None] for k, v in p.items()}, r"as F32 \[.*the model takes F32 \["),
        (lambda p: {k: v.astype(np.float16) for k, v in p.items()}, "as F16"),
    ],
)
@pytest.mark.parametrize("program", [True, False])
def test_parameters_of_other_shapes(copied, change, message, program):
    path = copied / model_folder.PARAMETERS
    path.write_bytes(safetensors.numpy.save(change(safetensors.numpy.load_file(path))))
    fails(sealed(copied), message, program)


def test_parameters_that_are_none(copied):
    (copied / model_folder.PARAMETERS).write_bytes(b"\x80\x04K\x01.")
    fails(sealed(copied), "parameters.safetensors is damaged")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("card.json", lambda c: [], "card.json is damaged: no JSON object"),
        ("card.json", lambda c: {**c, "format": 99}, "card.json is damaged: 'format' is wrong"),
        ("card.json", lambda c: {**c, "task": "song"}, "card.json is damaged: 'task' is wrong"),
        ("card.json", lambda c: {**c, "image_size": True}, "'image_size' is wrong"),
        ("card.json", lambda c: {**c, "image_size": 0}, "'image_size' is wrong"),
        ("card.json", lambda c: {**c, "inputs": {}}, "'inputs' is wrong"),
        ("card.json", lambda c: {**c, "inputs": {"../x": 1}}, "'inputs' is wrong"),
        ("card.json", lambda c: {**c, "image_size": 64}, "other image sizes"),
        ("card.json", lambda c: {**c, "task": "image"}, "are of other tasks"),
        ("config.json", lambda c: [], "config.json is damaged: no JSON object"),
        ("config.json", lambda c: {"system": "x"}, "config.json is damaged"),
        ("config.json", lambda c: {**c, "system": "volumetrik"}, "did you mean 'volumetric'"),
        ("config.json", lambda c: {**c, "system": [1]}, "unknown system"),
        ("config.json", lambda c: {**c, "model": {**c["model"], "depth": 0}}, "must be at least 1"),
        ("config.json", lambda c: {**c, "model": {"depth": 1}}, "config.json: config.model lacks"),
        (
            "config.json",
            lambda c: {**c, "model": {**c["model"], "stem_kernel": "x"}},
            "config.json makes no system",
        ),
    ],
)
def test_a_card_and_a_config_that_do_not_fit(copied, name, change, message):
    values = json.loads((copied / name).read_text())
    (copied / name).write_text(json.dumps(change(values)))
    fails(sealed(copied), message, program=False)


def test_a_program_that_makes_something_else(copied):
    card = json.loads((copied / "card.json").read_text())
    (copied / "card.json").write_text(json.dumps({**card, "task": "image"}))
    fails(sealed(copied), "program.stablehlo does not make what card.json says", program=True)


# --- models of earlier versions ------------------------------------------------------------------


@pytest.fixture
def of_before(tmp_path):
    """A model whose config names a key as an earlier version did; its arrays are named alike."""
    run = exported_runs.write(tmp_path / "run", "configs/deformable.py:smoke")
    out = tmp_path / "model"
    write.export(run, out)
    names = safetensors.numpy.load_file(out / model_folder.PARAMETERS)
    assert not any("params" in name.split("/") for name in names)
    config = json.loads((out / "config.json").read_text())
    config["loss"]["game"] = config["loss"].pop("gan_loss")
    (out / "config.json").write_text(json.dumps(config))
    return sealed(out)


def test_a_model_of_an_earlier_version_is_run_by_its_program_and_not_rebuilt(of_before):
    batch = fake.batch(2, 32)
    model = volsynth.load(of_before)
    assert model.is_program
    assert model.config.loss.game == "minimax"
    image = np.asarray(model.predict(batch))
    assert (image.shape, image.dtype) == ((2, 32, 32, 3), np.float32)
    assert np.ptp(image) > 0.1
    exported_runs.assert_same(volsynth.load(of_before, program=True).predict(batch), image)
    why = r"config.json: config.loss (lacks gan_loss|has no key 'game')"
    wanted = rf"{why}.*Export it again with the present version of volsynth: volsynth export\.$"
    fails(of_before, wanted, program=False)
    # Neither where the program cannot be run.
    (of_before / model_folder.PROGRAM).write_bytes(b"")
    with pytest.warns(UserWarning, match="the code of volsynth is used"):
        fails(sealed(of_before), wanted)


@pytest.mark.parametrize("text", ["{", "[" * 100000])
def test_a_card_that_is_no_json(copied, text):
    (copied / "card.json").write_text(text)
    fails(sealed(copied), "card.json is damaged: no JSON object")


@pytest.mark.parametrize("keep", [0, 100, -50])
def test_a_program_that_was_cut_off_gives_way_to_the_code(folder, copied, keep):
    path = copied / model_folder.PROGRAM
    path.write_bytes(path.read_bytes()[:keep])
    fails(sealed(copied), r"program.stablehlo cannot be run here: .*program=False", program=True)
    with pytest.warns(UserWarning, match="the code of volsynth is used"):
        model = volsynth.load(copied)
    assert not model.is_program
    image = fake.batch(1, 32)["target_image"]
    if keep == 0:
        exported_runs.assert_same(
            model(image), jax.tree.map(np.asarray, volsynth.load(folder)(image))
        )


def test_a_program_for_other_devices(copied):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "PLATFORMS", ("tpu",))
        system = systems.make(load_config(exported_runs.POSE))
        (copied / model_folder.PROGRAM).write_bytes(
            forward.serialise(system, 32, ("target_image",))
        )
    fails(sealed(copied), "it is for tpu, this is cpu", program=True)


def program_of(function):
    """A serialised program of the pose estimator's inputs, whatever it does with them."""
    _, layout = forward.forward(systems.make(load_config(exported_runs.POSE)), 32)
    parameters = {k: jax.ShapeDtypeStruct(v, np.float32) for k, v in layout.items()}
    batch = {"target_image": fake.spec(1, 32)["target_image"]}
    made = jax.export.export(
        jax.jit(function), disabled_checks=[jax.export.DisabledSafetyCheck.custom_call("mine")]
    )(parameters, batch)
    return bytes(made.serialize())


def test_a_program_that_calls_foreign_functions_is_not_run(copied):
    def calling(parameters, batch):
        shape = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
        return jax.ffi.ffi_call("mine", shape)(batch["target_image"])

    (copied / model_folder.PROGRAM).write_bytes(program_of(calling))
    for program in (True, None):
        fails(sealed(copied), r"calls foreign functions \(\['mine'\]\), and is not run", program)
    assert not volsynth.load(copied, program=False).is_program


def test_a_program_of_other_inputs(copied):
    system = systems.make(load_config(exported_runs.POSE))
    blob = forward.serialise(system, 32, ("source_image", "target_image"))
    (copied / model_folder.PROGRAM).write_bytes(blob)
    message = r"takes \['source_image', 'target_image'\], card.json says \['target_image'\]"
    fails(sealed(copied), message)
