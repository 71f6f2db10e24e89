"""Small files in the published formats, for the tests of the readers."""

import gzip
import io
import pickle
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


def cifar_batch(n, classes=10, kind="", **other):
    """Fields as Python 2 wrote them: with keys in bytes."""
    labels = [i % classes for i in range(n)]
    fields = {f"{kind}labels": labels, "data": pixels(n, 3072), "filenames": [b"a.png"]}
    return {key.encode(): value for key, value in (fields | other).items()}


def write_cifar_10(folder, batches=(1,), n=20):
    folder.mkdir(parents=True, exist_ok=True)
    fields = {f"data_batch_{i}": cifar_batch(n) for i in batches}
    fields["test_batch"] = cifar_batch(10)
    fields["batches.meta"] = {b"label_names": [f"class {i}".encode() for i in range(10)]}
    for name, content in fields.items():
        (folder / name).write_bytes(pickle.dumps(content, 3))
    return fields


def write_cifar_100(folder, n=200):
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"train": cifar_batch(n, 100, "fine_"), "test": cifar_batch(100, 100, "fine_")}
    fields["meta"] = {b"fine_label_names": [f"class {i}".encode() for i in range(100)]}
    for name, content in fields.items():
        (folder / name).write_bytes(pickle.dumps(content, 3))
    return fields


def write_svhn(folder, n=20):
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    fields = {}
    for name in ("train_32x32.mat", "test_32x32.mat"):
        y = (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None]
        fields[name] = {"X": pixels(32, 32, 3, n), "y": y}
        savemat(folder / name, fields[name], do_compression=True)
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
