"""Files of torch.save, put together by hand: their pickles, one instruction at a time."""

import io
import struct
import zipfile

import numpy as np

ORDERED = b"ccollections\nOrderedDict\n"
MAGIC = 0x1950A86A20F9469CFC6C
KINDS = {"float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "int64": "Long"}


def text(value, python2=False):
    data = value.encode()
    if python2:
        return b"U" + bytes([len(data)]) + data
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def call(name, *arguments):
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def pickled(body):
    return b"\x80\x02" + body + b"."


def storage(key, dtype, count, *view, module="torch"):
    kind = f"c{module}\n{KINDS[dtype]}Storage\n".encode()
    return b"(" + text("storage") + kind + text(key) + text("cpu") + number(count) + b"".join(
        view
    ) + b"tQ"  # fmt: skip


def tensor(key, dtype, shape, strides=None, offset=0, count=None, view=(), module="torch"):
    if strides is None:
        strides = np.cumprod([1, *shape[:0:-1]])[::-1].tolist()
    count = int(np.prod(shape)) if count is None else count
    return call(
        "torch._utils._rebuild_tensor_v2",
        storage(key, dtype, count, *view, module=module),
        number(offset),
        numbers(shape),
        numbers(strides),
        b"\x89",
        ORDERED + b")R",
    )


def state_dict(entries, python2=False):
    items = b"".join(text(key, python2) + value for key, value in entries.items())
    # With an attribute, as torch gives it.
    metadata = b"}" + text("_metadata") + ORDERED + b")Rsb"
    return pickled(ORDERED + b")R(" + items + b"u" + metadata)


def zipped(state, storages, root="archive", byteorder=b"little", compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", state)
        archive.writestr(f"{root}/byteorder", byteorder)
        for key, array in storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
    return buffer.getvalue()


def legacy(state, storages, little_endian=b"\x88", magic=MAGIC):
    head = b"\x8a\x0a" + magic.to_bytes(10, "little")
    system = b"}" + text("little_endian") + little_endian + b"s"
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    parts = [pickled(head), pickled(number(1001)), pickled(system), state, pickled(keys)]
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    return b"".join(parts)
