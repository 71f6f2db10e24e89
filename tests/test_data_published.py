"""The real data sets, where GRADREG_DATA names a folder that holds them."""

import os
from pathlib import Path

import numpy as np
import pytest
from gradreg_experiments.data import load

FOLDER = os.environ.get("GRADREG_DATA")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="GRADREG_DATA names no folder of published data sets"
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def load_or_skip(name):
        try:
            return load(name, Path(FOLDER), cache)
        except FileNotFoundError as missing:
            pytest.skip(str(missing))

    return load_or_skip


def test_mnist(read):
    data = read("mnist")
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # As often printed: mean 0.1307 and deviation 0.3081 of the training images.
    assert data.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.train_images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert {f.remark for f in data.files} <= {
        "the published file",
        "the published contents, compressed anew",
    }


def test_fashion_mnist(read):
    data = read("fashion-mnist")
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert np.bincount(data.train_labels).tolist() == [6000] * 10
    assert data.train_labels[0] == 9


def test_cifar_10(read):
    data = read("cifar-10")
    assert data.test_images.shape == (10_000, 3, 32, 32)
    assert len(data.train_labels) % 10_000 == 0
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.classes[data.test_labels[0]] == "cat"
    assert data.classes[data.train_labels[0]] == "frog"
    # Means of the channels of all training images, as often printed, in one batch to 0.01.
    means = data.train_images.mean(axis=(0, 2, 3)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.01)


def test_cifar_100(read):
    data = read("cifar-100")
    assert data.test_images.shape == (10_000, 3, 32, 32)
    assert np.bincount(data.test_labels).tolist() == [100] * 100
    assert data.classes[data.train_labels[0]] == "cattle"
    means = data.train_images.mean(axis=(0, 2, 3)) / 255
    assert means == pytest.approx([0.5071, 0.4865, 0.4409], abs=0.01)


def test_tiny_imagenet(read):
    pytest.importorskip("PIL", reason="Pillow is not installed")
    data = read("tiny-imagenet-200")
    assert data.test_images.shape == (10_000, 3, 64, 64)
    assert np.bincount(data.test_labels).tolist() == [50] * 200
    assert np.ptp(np.bincount(data.train_labels)) == 0
    assert data.classes[0] == "n02124075"
    assert data.classes[data.test_labels[0]] == "n03444034"
