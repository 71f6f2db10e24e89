"""Small files in the published formats, for the tests of the readers."""

import gzip
import io
import struct

import numpy as np

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def idx(array):
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


def write_mnist(folder, train=20, test=10, packed=True):
    """The four files; their arrays by name."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for prefix, n in (("train", train), ("t10k", test)):
        arrays[f"{prefix}-images-idx3-ubyte"] = pixels(n, 28, 28)
        arrays[f"{prefix}-labels-idx1-ubyte"] = np.arange(n, dtype=np.uint8) % 10
    for name, array in arrays.items():
        data = idx(array)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return arrays


def python_2(value):
    """Opcodes of a value, as Python 2 and the NumPy of that time wrote them."""
    if isinstance(value, np.ndarray):
        n, k = (python_2(size) for size in value.shape)
        head = (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02"
            b"K\x00\x85U\x01b\x87Rq\x03"
        )
        kind = (
            b"cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNN"
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        )
        return (
            head + b"(K\x01" + n + k + b"\x86" + kind + b"\x89" + python_2(value.tobytes()) + b"tb"
        )
    if isinstance(value, list):
        thousands = (value[i : i + 1000] for i in range(0, len(value), 1000))
        return b"]" + b"".join(b"(" + b"".join(map(python_2, part)) + b"e" for part in thousands)
    if isinstance(value, int):
        return (
            struct.pack("<cB", b"K", value) if 0 <= value < 256 else struct.pack("<ci", b"J", value)
        )
    text = value.encode() if isinstance(value, str) else value
    return struct.pack("<cI", b"T", len(text)) + text


def python_2_pickle(fields):
    """The file that holds a dict."""
    inside = b"".join(python_2(key) + python_2(value) for key, value in fields.items())
    return b"\x80\x02}q\x00(" + inside + b"u."


def cifar_batch(n, classes=10, kind="", **other):
    """Fields of a published file."""
    labels = [i % classes for i in range(n)]
    fields = {f"{kind}labels": labels, "data": pixels(n, 3072), "filenames": ["a.png"]}
    return fields | other


def write_cifar_10(folder, batches=(1,), n=20):
    folder.mkdir(parents=True, exist_ok=True)
    fields = {f"data_batch_{i}": cifar_batch(n) for i in batches}
    fields["test_batch"] = cifar_batch(10)
    fields["batches.meta"] = {"label_names": [f"class {i}" for i in range(10)]}
    for name, content in fields.items():
        (folder / name).write_bytes(python_2_pickle(content))
    return fields


def write_cifar_100(folder, n=200):
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"train": cifar_batch(n, 100, "fine_"), "test": cifar_batch(100, 100, "fine_")}
    fields["meta"] = {"fine_label_names": [f"class {i}" for i in range(100)]}
    for name, content in fields.items():
        (folder / name).write_bytes(python_2_pickle(content))
    return fields


def jpeg(value, mode="RGB", size=(64, 64)):
    """An image of one colour, which JPEG keeps but for rounding."""
    from PIL import Image

    out = io.BytesIO()
    Image.new(mode, size, value).save(out, "JPEG", quality=95)
    return out.getvalue()


WNIDS = ("n01443537", "n01629819", "n01641577")


def write_tiny_imagenet(folder, train=12, validation=6):
    """Image i of class c has the colour (10 i, 80 c, 0); number 1 is grey."""
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("".join(f"{w}\n" for w in WNIDS))
    for c, wnid in enumerate(WNIDS):
        images = folder / "train" / wnid / "images"
        images.mkdir(parents=True)
        for i in range(train):
            data = jpeg(77, "L") if i == 1 else jpeg((10 * i, 80 * c, 0))
            (images / f"{wnid}_{i}.JPEG").write_bytes(data)
    lines = []
    for i in range(validation):
        (folder / "val" / "images" / f"val_{i}.JPEG").write_bytes(jpeg((0, 0, 40 * i)))
        lines.append(f"val_{i}.JPEG\t{WNIDS[-1 - i % 3]}\t0\t32\t44\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
