"""An error names what is wrong: the first words, as they are."""

import numpy as np
import pytest

import gradreg_ref as ref
from gradreg_ref import checks, losses, moments, probes
from gradreg_ref.identify import identify
from gradreg_ref.networks import Network
from gradreg_ref.penalties import evaluate

J = np.ones((2, 3, 4))
z = np.ones((2, 3))
INTEGERS = [[1, 2]]

MESSAGES = {
    "expected reduction to be one of none, mean, sum": [
        lambda: ref.frobreg(J, reduction="max"),
        lambda: ref.confidence_penalty(z, reduction="max"),
    ],
    "expected penalty to be one of frobreg, spectreg": [
        lambda: evaluate("ridge", Network(()), np.ones((1, 2))),
    ],
    "expected a layer of gradreg_ref.networks, got 3": [lambda: Network((3,))],
    "expected layers as a tuple, got 'tanh'": [lambda: Network("tanh")],
    "expected q to be a whole number": [
        lambda: moments.group_variance(np.eye(2)[None], -1),
        lambda: moments.group_variance(np.eye(2)[None], float("nan")),
    ],
    "expected side to be one of output, input": [
        lambda: ref.spectreg(J, side="left", probes=J),
        lambda: moments.gram(J, "left"),
    ],
    "expected probe to be one of gaussian": [
        lambda: ref.spectreg(J, probe="uniform", rng=np.random.default_rng(0)),
        lambda: ref.spectreg(J, probe=J, rng=np.random.default_rng(0)),  # meant as probes=
        lambda: probes.draw("uniform", np.random.default_rng(0), 1, 2),
        lambda: moments.variance(np.eye(2), "uniform"),
        lambda: moments.batch_mean_variance(np.eye(2)[None], np.eye(2)),
    ],
    "expected num_probes to be a whole number": [
        lambda: ref.spectreg(J, num_probes=0, rng=np.random.default_rng(0)),
        lambda: probes.draw("gaussian", np.random.default_rng(0), 1, 2, 0),
        lambda: moments.variance(np.eye(2), "gaussian", 0),
    ],
    "expected loss to be one of cross_entropy": [lambda: losses.loss_gradient(z, z, "hinge")],
    "expected m to be a whole number": [lambda: identify(lambda r: 0.0, 0)],
    "expected J ": [lambda: ref.frobreg(J.astype(int))],
    "expected logits ": [lambda: ref.confidence_penalty(z.astype(int))],
    "expected weights ": [lambda: ref.weight_decay(INTEGERS)],
    "expected A ": [lambda: moments.mean(INTEGERS)],
    "expected probes ": [lambda: checks.probes(np.ones((1, 2, 1), int), 1, 2, False)],
    "expected x ": [lambda: Network(()).forward(np.ones((2, 2), int))],
    "expected y ": [
        lambda: losses.target_probabilities(np.ones((2, 3), int), 2, 3),
        lambda: losses.mean_squared_error(z, np.ones((2, 3), int)),
    ],
}


@pytest.mark.parametrize(
    ("message", "call"),
    [(message, call) for message, calls in MESSAGES.items() for call in calls],
)
def test_an_error_begins_by_naming_what_is_wrong(message, call):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert str(error.value).startswith(message)


def test_one_class_has_no_cross_entropy():
    with pytest.raises(ValueError, match="expected at least 2 logits, got m = 1"):
        losses.cross_entropy(np.ones((2, 1)), np.zeros(2, int))


def test_a_shared_set_of_probes_is_averaged_too():
    A = np.eye(3)[None].repeat(2, axis=0)
    one = moments.batch_mean_variance(A, "gaussian", 1, shared_probe=True)
    two = moments.batch_mean_variance(A, "gaussian", 2, shared_probe=True)
    assert two == one / 2


def test_complex_forms_are_identified():
    form = identify(lambda r: 2j * r[:, 0] * r[:, 1], 2)
    assert form.A.tolist() == [[0, 1j], [1j, 0]]


def test_one_probe_is_drawn_by_default():
    assert probes.draw("gaussian", np.random.default_rng(0), 2, 3).shape == (2, 3, 1)


def test_the_mean_is_the_default_reduction():
    assert ref.onehot(J, np.zeros(2, int)) == ref.onehot(J, np.zeros(2, int), reduction="mean")


def test_matrices_are_square_in_their_last_axes_and_symmetrised():
    with pytest.raises(ValueError, match=r"expected A with shape \(\.\.\., k, k\)"):
        moments.mean(np.ones((3, 3, 4)))
    assert moments.variance(np.array([[[0.0, 2.0], [0.0, 0.0]]]), "gaussian")[0] == 4


def test_rows_of_a_softmax_are_shifted_one_by_one():
    far_apart = np.array([[0.0, 0.0], [2000.0, 2000.0]])
    assert losses.softmax(far_apart).tolist() == [[0.5, 0.5]] * 2
    assert losses.log_softmax(far_apart).tolist() == [[-np.log(2)] * 2] * 2
