"""A folder of JPEGs: every image once, with its class; a cache that is whole and up to date."""

import os
import shutil

import numpy as np
import pytest
from data_files import WNIDS, jpeg, write_tiny_imagenet
from gradreg_experiments import needs
from gradreg_experiments.data import Broken, image_cache, load

from gradreg_verify.frameworks.registry import BackendUnavailable

pytest.importorskip("PIL", reason="Pillow is not installed")


@pytest.fixture
def folder(tmp_path):
    write_tiny_imagenet(tmp_path / "data" / "tiny-imagenet-200")
    return tmp_path / "data" / "tiny-imagenet-200"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "new" / "cache"


def read(folder, cache):
    return load("tiny-imagenet-200", folder.parent, cache)


def test_images_and_labels(folder, cache):
    data = read(folder, cache)
    assert data.train_images.shape == (36, 3, 64, 64)
    assert data.train_labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert data.classes == WNIDS
    for c in range(3):
        for i in range(12):  # number 10 after number 9
            colour = (77, 77, 77) if i == 1 else (10 * i, 80 * c, 0)
            expected = np.broadcast_to(np.array(colour)[:, None, None], (3, 64, 64))
            image = data.train_images[12 * c + i].astype(int)
            assert abs(image - expected).max() <= 3, (c, i)  # what JPEG loses
    assert data.test_labels.tolist() == [2, 1, 0, 2, 1, 0]
    assert abs(data.test_images[:, 2].mean(axis=(1, 2)) - 40 * np.arange(6)).max() <= 3
    assert data.train_labels.dtype == np.int64
    assert isinstance(data.train_images, np.memmap)


def test_channels_are_not_rows(folder, cache):
    """Pixels as Pillow gives them, row by row and column by column."""
    from io import BytesIO

    from PIL import Image

    rng = np.random.default_rng(1)
    path = folder / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_0.JPEG"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path, "JPEG")
    expected = np.asarray(Image.open(BytesIO(path.read_bytes())))
    image = read(folder, cache).train_images[0]
    np.testing.assert_array_equal(image[2], expected[:, :, 2])


def test_a_cache_with_a_pipe_in_it_keeps_nobody_waiting(folder, cache):
    read(folder, cache)
    (place,) = cache.iterdir()
    (place / "val.npy").unlink()
    os.mkfifo(place / "val.npy")
    with pytest.raises(Broken, match=f"written to {place}, got: no files train.npy, val.npy"):
        read(folder, cache)


def test_the_cache_is_made_once(folder, cache, monkeypatch):
    first = read(folder, cache)
    monkeypatch.setattr(image_cache, "decode", None)
    second = read(folder, cache)
    np.testing.assert_array_equal(first.train_images, second.train_images)
    assert first.files == second.files
    assert len(list(cache.iterdir())) == 1


def touched(folder):
    path = folder / "val" / "images" / "val_0.JPEG"
    os.utime(path, ns=(0, 0))


def removed(folder):
    (folder / "train" / WNIDS[1] / "images" / f"{WNIDS[1]}_11.JPEG").unlink()


def relabelled(folder):
    path = folder / "val" / "val_annotations.txt"
    path.write_text(path.read_text().replace(WNIDS[2], WNIDS[0]))


@pytest.mark.parametrize("change", [touched, removed, relabelled])
def test_the_cache_is_made_anew_when_the_sources_change(folder, cache, monkeypatch, change):
    read(folder, cache)
    change(folder)
    decoded, decode = [], image_cache.decode
    monkeypatch.setattr(image_cache, "decode", lambda data: (decoded.append(1), decode(data))[1])
    data = read(folder, cache)
    assert len(decoded) == len(data.train_labels) + len(data.test_labels)


def test_broken_images_are_all_named_and_no_cache_is_left(folder, cache):
    images = folder / "train" / WNIDS[0] / "images"
    (images / f"{WNIDS[0]}_2.JPEG").write_bytes(jpeg((1, 2, 3))[:-300])
    (images / f"{WNIDS[0]}_3.JPEG").write_bytes(b"")
    (images / f"{WNIDS[0]}_4.JPEG").write_bytes(jpeg((1, 2, 3), size=(64, 63)))
    (images / f"{WNIDS[0]}_5.JPEG").write_bytes(b"\xff\xd8" + bytes(500))
    (images / f"{WNIDS[0]}_6.JPEG").write_bytes(b"\x89PNG")
    with pytest.raises(Broken) as caught:
        read(folder, cache)
    for number, got in ((2, "runcated"), (3, "0 bytes"), (4, "64 × 63 pixels"), (5, "")):
        sentence = caught.value.sentences[number - 2]
        assert sentence.startswith(f"expected a whole JPEG of 64 × 64 in {images}")
        assert f"{WNIDS[0]}_{number}.JPEG, got: " in sentence
        assert got in sentence
    assert len(caught.value.sentences) == 5
    assert "is obtained from http" in str(caught.value)
    assert list(cache.iterdir()) == []


def test_an_image_without_end_is_one_of_the_problems(folder, cache):
    images = folder / "train" / WNIDS[0] / "images"
    with (images / f"{WNIDS[0]}_2.JPEG").open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    (images / f"{WNIDS[0]}_3.JPEG").write_bytes(b"")
    with pytest.raises(Broken) as caught:
        read(folder, cache)
    first, second = caught.value.sentences
    assert f"{WNIDS[0]}_2.JPEG, got: expected at most {image_cache.LIMIT} bytes" in first
    assert "0 bytes" in second


def test_an_interruption_leaves_no_cache(folder, cache, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_cache, "decode", stop)
    with pytest.raises(KeyboardInterrupt):
        read(folder, cache)
    assert list(cache.iterdir()) == []
    monkeypatch.undo()
    assert len(read(folder, cache).train_labels) == 36


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a device of Linux")
def test_a_full_disk_is_an_error(folder, cache, monkeypatch):
    """No problem of the images; and mapped memory would end the process by a signal."""
    decode_all = image_cache.decode_all

    def onto_a_full_disk(images, _, problems):
        with open("/dev/full", "wb") as full:
            return decode_all(images, full, problems)

    monkeypatch.setattr(image_cache, "decode_all", onto_a_full_disk)
    with pytest.raises(Broken, match=f"No space left on device: '{cache}") as caught:
        read(folder, cache)
    assert len(caught.value.sentences) == 1
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_is_named(folder, cache):
    read(folder, cache)
    (place,) = cache.iterdir()
    path = place / "train.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Broken, match=f"expected the cache that was written to {place}.*delete"):
        read(folder, cache)


def test_another_process_may_be_faster(folder, cache, monkeypatch):
    decode, inner = image_cache.decode, []

    def overtaken(data):
        if not inner:
            inner.append(1)
            read(folder, cache)
        return decode(data)

    monkeypatch.setattr(image_cache, "decode", overtaken)
    assert len(read(folder, cache).train_labels) == 36
    assert len(list(cache.iterdir())) == 1


def rewritten(name, text):
    return lambda folder: (folder / name).write_text(text)


def appended(name, text):
    return lambda folder: (folder / name).write_text((folder / name).read_text() + text)


ANNOTATIONS = "val/val_annotations.txt"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "train" / "n00000001").mkdir(), "classes of wnids.txt in .*got n00000001"),
        (
            lambda f: shutil.rmtree(f / "train" / WNIDS[1]),
            rf"expected JPEG files \(\*\.JPEG\) in .*{WNIDS[1]}/images, got none",
        ),
        (
            lambda f: [p.unlink() for p in (f / "train" / WNIDS[1] / "images").iterdir()],
            rf"expected JPEG files \(\*\.JPEG\) in .*{WNIDS[1]}/images, got none",
        ),
        (lambda f: shutil.rmtree(f / "train"), "expected a folder .*train, got none"),
        (lambda f: shutil.rmtree(f / "val" / "images"), "in .*val/images, got none"),
        (lambda f: shutil.rmtree(f / "val"), "val_annotations.txt, got no such file"),
        (lambda f: (f / "wnids.txt").unlink(), "wnids.txt, got no such file"),
        (rewritten("wnids.txt", ""), "a different class such as n01443537 in each line"),
        (rewritten("wnids.txt", "../../etc\n"), "a different class such as n01443537"),
        (appended("wnids.txt", f"{WNIDS[0]}\n"), "a different class such as n01443537"),
        (
            lambda f: (f / "wnids.txt").write_bytes(b"\xff\xfe"),
            "expected text in .*wnids.txt, got: 'utf-8' codec",
        ),
        (
            appended(ANNOTATIONS, "val_9.JPEG\tn00000001\n"),
            "annotations.txt: line 7: expected a class of wnids.txt, got 'n00000001'",
        ),
        (appended(ANNOTATIONS, "val_9.JPEG\n"), "line 7: expected a class of wnids.txt, got ''"),
        (
            appended(ANNOTATIONS, f"val_0.JPEG\t{WNIDS[0]}\n"),
            "line 7: expected 'val_0.JPEG' once, got it twice",
        ),
        (
            appended(ANNOTATIONS, f"../../secret.JPEG\t{WNIDS[0]}\n"),
            "got '../../secret.JPEG' annotated, but not in val/images",
        ),
        (
            lambda f: (f / "val" / "images" / "val_6.JPEG").write_bytes(b""),
            "got 'val_6.JPEG' in val/images, but not annotated",
        ),
    ],
)
def test_a_folder_that_is_not_as_published(folder, cache, damage, sentence):
    damage(folder)
    with pytest.raises(Broken, match=sentence):
        read(folder, cache)
    assert not cache.exists()


def test_all_that_is_wrong_with_a_folder_is_told(folder, cache):
    (folder / "train" / "n00000001").mkdir()
    shutil.rmtree(folder / "train" / WNIDS[1])
    appended(ANNOTATIONS, "val_9.JPEG\tn00000001\n")(folder)
    with pytest.raises(Broken) as caught:
        read(folder, cache)
    assert len(caught.value.sentences) == 4


def test_the_cache_is_asked_for(folder):
    with pytest.raises(ValueError, match=r"expected a folder for the decoded images .*pass cache="):
        read(folder, None)


def test_without_pillow_the_extra_is_named(folder, cache, monkeypatch):
    monkeypatch.setattr(needs, "find_spec", lambda _: None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'gradreg-ref\[experiments\]'"):
        read(folder, cache)
