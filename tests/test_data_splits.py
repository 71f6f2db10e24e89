"""Training, validation and test images never mix; nothing is fitted on more than the first."""

from dataclasses import replace

import numpy as np
import pytest
from data_files import pixels
from gradreg_experiments.data import DataSet, split, standardise
from hypothesis import given
from hypothesis import strategies as st


def data_set(n=60, classes=3, test=7):
    labels = np.arange(n) % classes
    names = tuple(f"class {c}" for c in range(classes))
    images, others = pixels(n, 2, 4, 4), pixels(test, 2, 4, 4)
    return DataSet("small", images, labels, others, np.arange(test) % classes, names)


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 2**32), st.booleans())
def test_the_parts_are_disjoint_and_of_the_size_asked_for(train, validation, seed, balanced):
    data = data_set()
    if balanced:
        train, validation = 3 * -(-train // 3), 3 * (validation // 3)
    parts = split(data, train=train, validation=validation, seed=seed, balanced=balanced)
    rows, others = parts.train_rows, parts.validation_rows
    assert (len(rows), len(others)) == (train, validation)
    assert len({*rows.tolist(), *others.tolist()}) == train + validation
    np.testing.assert_array_equal(parts.train_images, data.train_images[rows])
    np.testing.assert_array_equal(parts.train_labels, data.train_labels[rows])
    np.testing.assert_array_equal(parts.validation_images, data.train_images[others])
    np.testing.assert_array_equal(parts.validation_labels, data.train_labels[others])
    np.testing.assert_array_equal(parts.test_images, data.test_images)
    np.testing.assert_array_equal(parts.test_labels, data.test_labels)
    if balanced:
        assert np.bincount(parts.train_labels, minlength=3).tolist() == [train // 3] * 3
        assert np.bincount(parts.validation_labels, minlength=3).tolist() == [validation // 3] * 3


def test_unlabelled_images_are_of_the_training_part_and_in_no_other():
    data = data_set()
    parts = split(data, train=20, validation=10, seed=4, unlabelled=30)
    used = [parts.train_rows, parts.validation_rows]
    left = np.setdiff1d(np.arange(60), np.concatenate(used))
    ours = {image.tobytes() for image in parts.unlabelled_images}
    assert ours == {data.train_images[row].tobytes() for row in left}
    assert len(parts.unlabelled_images) == 30
    with pytest.raises(ValueError, match="expected at most 30 unlabelled images"):
        split(data, train=20, validation=10, seed=4, unlabelled=31)


def test_all_images_can_be_used():
    for balanced in (False, True):
        parts = split(data_set(), train=45, validation=15, seed=1, balanced=balanced)
        rows = np.concatenate([parts.train_rows, parts.validation_rows])
        assert sorted(rows.tolist()) == list(range(60))


def test_a_split_is_that_of_its_seed():
    first, same, other = (split(data_set(), train=20, validation=20, seed=s) for s in (5, 5, 6))
    order = np.random.default_rng(5).permutation(60)
    np.testing.assert_array_equal(first.train_rows, order[:20])
    np.testing.assert_array_equal(first.train_rows, same.train_rows)
    np.testing.assert_array_equal(first.validation_rows, same.validation_rows)
    assert first.train_rows.tolist() != other.train_rows.tolist()


@pytest.mark.parametrize("balanced", [False, True])
def test_a_larger_training_set_holds_the_smaller_and_has_the_same_validation_set(balanced):
    small, large = (
        split(data_set(), train=n, validation=15, seed=2, balanced=balanced) for n in (9, 30)
    )
    assert set(small.train_rows.tolist()) < set(large.train_rows.tolist())
    np.testing.assert_array_equal(small.validation_rows, large.validation_rows)


def test_a_balanced_part_is_not_sorted_by_class():
    labels = split(data_set(), train=30, validation=0, seed=0, balanced=True).train_labels
    assert (np.diff(labels) != 0).sum() > 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"train": 50, "validation": 11}, "at most 60 images .* from small, got 50 [+] 11"),
        ({"train": 0}, "train to be a whole number >= 1, got 0"),
        ({"train": 2.0}, "train to be a whole number >= 1, got 2.0"),
        ({"validation": -1}, "validation to be a whole number >= 0, got -1"),
        ({"validation": True}, "validation to be a whole number >= 0, got True"),
        ({"seed": None}, "seed to be a whole number >= 0, got None"),
        (
            {"train": 10, "balanced": True},
            "train to be a multiple of the 3 classes of small, .* 10",
        ),
        ({"train": 9, "validation": 4, "balanced": True}, "validation to be a multiple .* got 4"),
        (
            {"train": 54, "validation": 9, "balanced": True},
            "expected 21 images of every class in small .* got 20 of class 'class 0'",
        ),
    ],
)
def test_what_cannot_be_split_is_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        split(data_set(), **({"train": 30, "validation": 9, "seed": 0} | arguments))


def test_a_class_that_is_missing_is_named():
    data = data_set()
    data = replace(data, train_labels=np.where(data.train_labels == 1, 0, data.train_labels))
    with pytest.raises(
        ValueError, match=r"expected 1 images of every class .* 0 of class 'class 1'"
    ):
        split(data, train=3, validation=0, seed=0, balanced=True)


def flat(images):
    return images.reshape(len(images), -1).astype(np.float64)


@pytest.mark.parametrize("n", [30, 1029])
def test_a_feature_has_mean_0_and_deviation_1_over_the_training_images(n):
    parts = split(data_set(n + 10), train=n, validation=10, seed=0)
    scaled = standardise(parts, "feature")
    x = flat(parts.train_images)
    for part in ("train", "validation", "test"):
        images = getattr(scaled, f"{part}_images")
        expected = (flat(getattr(parts, f"{part}_images")) - x.mean(axis=0)) / x.std(axis=0)
        assert images.dtype == np.float32
        np.testing.assert_allclose(flat(images), expected, atol=1e-6)  # float32, |x| up to 3


def test_one_mean_and_deviation_for_a_channel():
    parts = split(data_set(), train=30, validation=10, seed=0)
    parts.train_images[:, 1] //= 3  # channels of different scale
    scaled = standardise(parts)
    for channel in range(2):
        x = flat(parts.train_images[:, channel])
        for part in ("train", "validation", "test"):
            before, after = (getattr(p, f"{part}_images")[:, channel] for p in (parts, scaled))
            expected = (flat(before) - x.mean()) / x.std()
            np.testing.assert_allclose(flat(after), expected, atol=1e-6)


def test_other_images_have_no_part_in_it():
    parts = split(data_set(), train=30, validation=10, seed=0)
    changed = replace(
        parts, validation_images=0 * parts.validation_images, test_images=pixels(3, 2, 4, 4)
    )
    np.testing.assert_array_equal(
        standardise(parts).train_images, standardise(changed).train_images
    )


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_pixel_is_0_in_training_and_not_scaled_elsewhere(value):
    parts = split(data_set(), train=30, validation=10, seed=0)
    parts.train_images[:, 0, 1, 2] = value
    parts.test_images[0, 0, 1, 2] = 100
    scaled = standardise(parts, "feature")
    assert not scaled.train_images[:, 0, 1, 2].any()
    assert scaled.test_images[0, 0, 1, 2] == 100 - value


def test_the_split_itself_stays_as_it_is_and_is_standardised_once():
    parts = split(data_set(), train=30, validation=0, seed=0)
    before = parts.train_images.copy()
    scaled = standardise(parts)
    np.testing.assert_array_equal(parts.train_images, before)
    assert scaled.validation_images.shape == (0, 2, 4, 4)
    with pytest.raises(ValueError, match=r"expected images of uint8, .* got float32"):
        standardise(scaled)
    with pytest.raises(
        ValueError, match="standardisation to be one of channel, feature; got 'pixel'"
    ):
        standardise(parts, "pixel")
