"""Small files of weights in every format, and what is expected of reading them."""

import numpy as np
import pytest
import torch_writer as by_hand

from volsynth.errors import UserError
from volsynth.pretrained import weights

LAYOUT = {"a.weight": (2, 3), "a.bias": (3,)}
WRITERS = {"zip": by_hand.zipped, "legacy": by_hand.legacy}


def arrays(dtype="float32"):
    rng = np.random.default_rng(0)
    # Without bits that bfloat16 would lose.
    return {name: np.round(rng.uniform(-9, 9, s)).astype(dtype) for name, s in LAYOUT.items()}


def flat(arrays):
    return {str(i): array.ravel() for i, array in enumerate(arrays.values())}


def tensors(arrays, **rest):
    return {
        name: by_hand.tensor(str(i), array.dtype.name, array.shape, **rest)
        for i, (name, array) in enumerate(arrays.items())
    }


def torch_file(form, arrays):
    return WRITERS[form](by_hand.state_dict(tensors(arrays)), flat(arrays))


def load(tmp_path, contents, layout=LAYOUT):
    path = tmp_path / "file"
    path.write_bytes(contents)
    return weights.load(path, layout)


def assert_equal(loaded, arrays):
    assert list(loaded) == list(LAYOUT)
    for name, array in loaded.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays[name].astype(np.float32))


def assert_refused(tmp_path, contents, message, layout=LAYOUT):
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path, contents, layout)
    assert str(error.value).startswith(f"weights {str(tmp_path / 'file')!r}: ")
    assert "\n" not in str(error.value)
