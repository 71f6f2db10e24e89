"""The reference is right or refuses: what no formula may take, for every function that takes it."""

import numpy as np
import pytest

import gradreg_ref as ref
from gradreg_ref import losses, moments
from gradreg_ref.complex_step import STEP
from gradreg_ref.networks import BatchNorm, Conv2d, Dropout, Linear, Network, Residual

RNG = np.random.default_rng(0)
J, Z, Y = RNG.standard_normal((2, 3, 4)), RNG.standard_normal((2, 3)), np.array([0, 2])
P, SOFT = J[:, :, :2], np.full((2, 3), 1 / 3)
X = RNG.standard_normal((2, 4))

# Every place where a function takes an array of real numbers, with one that it takes.
TAKES = {
    "frobreg J": (J, lambda a: ref.frobreg(a)),
    "spectreg J": (J, lambda a: ref.spectreg(a, probes=P)),
    "spectreg probes": (P, lambda a: ref.spectreg(J, probes=a)),
    "doubleback J": (J, lambda a: ref.doubleback(a, Z, Y)),
    "doubleback logits": (Z, lambda a: ref.doubleback(J, a, Y)),
    "doubleback probabilities": (SOFT, lambda a: ref.doubleback(J, Z, a)),
    "doubleback targets": (SOFT, lambda a: ref.doubleback(J, Z, a, loss="mean_squared_error")),
    "jacreg J": (J, lambda a: ref.jacreg(a, Z)),
    "jacreg logits": (Z, lambda a: ref.jacreg(J, a)),
    "jacreg probes": (P, lambda a: ref.jacreg(J, Z, probes=a)),
    "onehot J": (J, lambda a: ref.onehot(a, Y)),
    "confidence penalty": (Z, lambda a: ref.confidence_penalty(a)),
    "weight decay": (J, lambda a: ref.weight_decay([a])),
    "contract J": (J, lambda a: ref.contract(a, P)),
    "contract R": (P, lambda a: ref.contract(J, a)),
    "cross-entropy": (Z, lambda a: losses.cross_entropy(a, Y)),
    "gram": (J, lambda a: moments.gram(a)),
    "moments": (J @ J.transpose(0, 2, 1), lambda a: moments.variance(a, "sphere")),
    "batch moments": (J @ J.transpose(0, 2, 1), lambda a: moments.batch_mean_variance(a, "sphere")),
    "fraction": (Z[0], lambda a: moments.fraction_variance(a, 2)),
    "fraction's variances": (Z[0] ** 2, lambda a: moments.fraction_variance(Z[0], 2, a)),
    "inputs": (X, lambda a: Network((Linear(J[0]),)).jacobian(a)),
    "weights": (J[0], lambda a: Network((Linear(a),)).jacobian(X)),
}
LABELS = {
    "doubleback": lambda y: ref.doubleback(J, Z, y),
    "onehot": lambda y: ref.onehot(J, y),
    "cross-entropy": lambda y: losses.cross_entropy(Z, y),
}


def hiding(a):
    """a, its first number masked."""
    mask = np.zeros(a.shape, bool)
    mask.flat[0] = True
    return np.ma.array(a, mask=mask)


@pytest.mark.parametrize("name", TAKES)
def test_masked_numbers_are_refused(name):
    """Also where nothing is hidden: the next batch may hide something."""
    a, function = TAKES[name]
    function(a)
    for masked in (hiding(a), np.ma.array(a)):
        with pytest.raises(TypeError, match=r"without a mask, .*\.filled\(value\)"):
            function(masked)
    np.testing.assert_array_equal(function(hiding(a).filled(a.flat[0])), function(a))


@pytest.mark.parametrize("name", [name for name in TAKES if name != "weights"])
def test_masked_numbers_in_a_list_are_refused(name):
    a, function = TAKES[name]
    with pytest.raises(TypeError, match="without a mask"):
        function([hiding(a)[0], a[0]])


@pytest.mark.parametrize("name", LABELS)
def test_masked_labels_are_refused(name):
    with pytest.raises(TypeError, match="without a mask"):
        LABELS[name](hiding(Y))


@pytest.mark.parametrize("name", TAKES)
def test_what_are_no_numbers_is_refused(name):
    a, function = TAKES[name]
    for wrong in (a.astype(str), a.astype(object), a.astype("M8[s]")):
        with pytest.raises(TypeError, match=r"as an array of numbers, got dtype .*dtype=float"):
            function(wrong)
    np.testing.assert_array_equal(function(np.array(a.astype(object), dtype=float)), function(a))


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("y", [["cat", "dog"], np.array([0, 2], object), [0, [1, 2]], "02"])
def test_labels_that_are_no_numbers_are_refused(name, y):
    with pytest.raises((TypeError, ValueError), match=r"^expected (y|labels) (as|with)"):
        LABELS[name](y)


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(TypeError, match=r"expected J as an array of numbers, got list: .*inhomog"):
        ref.frobreg([[[1.0, 2.0], [1.0]]])


@pytest.mark.parametrize(
    "name", [n for n in TAKES if n not in ("contract J", "contract R", "weights")]
)
def test_complex_numbers_are_refused_but_for_a_complex_step(name):
    """Σ z² of complex numbers is no norm; of a step's it is the value and its derivative."""
    a, function = TAKES[name]
    with pytest.raises(TypeError, match=r"real, got complex128 .*two real coordinates"):
        function(a + 0.5j)
    if not name.startswith("fraction"):  # a number for a report, which nothing differentiates
        np.testing.assert_allclose(np.real(function(a + 1j * STEP)), function(a), rtol=1e-14)


def test_complex_weights_show_in_logits_and_jacobian():
    network = Network((Linear(J[0] + 0.5j),))
    for function in (
        lambda: ref.weight_decay(network.weights()),
        lambda: ref.frobreg(network.jacobian(X)),
        lambda: ref.confidence_penalty(network.forward(X)),
    ):
        with pytest.raises(TypeError, match="real, got complex128"):
            function()


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_other_kinds_of_arrays_are_the_numbers_they_hold(tmp_path):
    """np.matrix multiplies by *, a file is read: both are plain arrays first."""
    W = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert ref.weight_decay([np.matrix(W)]) == 30
    assert ref.confidence_penalty(np.matrix(W)) == ref.confidence_penalty(W)
    on_disk = np.memmap(tmp_path / "J", dtype=float, mode="w+", shape=J.shape)
    on_disk[:] = J
    assert ref.frobreg(on_disk) == ref.frobreg(J)


@pytest.mark.parametrize("shared", ["False", 0, 1, None, np.array([True])])
def test_a_flag_is_true_or_false(shared):
    """The text "False" counts as true."""
    rng = np.random.default_rng(0)
    for function in (
        lambda: ref.spectreg(J, rng=rng, shared_probe=shared),
        lambda: ref.spectreg(J, probes=P, shared_probe=shared),
        lambda: ref.jacreg(J, Z, num_probes=1, rng=rng, shared_probe=shared),
        lambda: ref.jacreg(J, Z, shared_probe=shared),
        lambda: moments.batch_mean_variance(J @ J.transpose(0, 2, 1), "sphere", 1, shared),
    ):
        with pytest.raises(TypeError, match="expected shared_probe to be True or False, got"):
            function()
    assert ref.jacreg(J, Z, shared_probe=np.False_) == ref.jacreg(J, Z)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: ref.confidence_penalty(z),
        lambda z: ref.jacreg(J[:1, :2], z),
        lambda z: ref.doubleback(J[:1, :2], z, Y[:1]),
        lambda z: losses.cross_entropy(z, Y[:1]),
    ],
)
def test_logits_whose_differences_overflow_are_refused(function):
    """p log p was 0 · −∞: NaN."""
    function(np.array([[1e38, -1e38]], np.float32))
    for z in (np.array([[3e38, -3e38]], np.float32), np.array([[1e308, -1e308]])):
        with pytest.raises(ValueError, match=f"differences are finite in {z.dtype}, got an over"):
            function(z)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize(
    "function",
    [
        lambda a: ref.frobreg(a),
        lambda a: ref.spectreg(a, probes=P),
        lambda a: ref.onehot(a, Y),
        lambda a: ref.weight_decay([a, a]),
    ],
)
def test_squares_that_overflow_are_refused(function):
    with pytest.raises(ValueError, match="finite penalty, got an overflow; scale the network"):
        function(1e200 * J)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("values", [np.zeros(0), [], 1.0, np.ones((2, 3))])
def test_a_batch_has_an_example_and_one_value_for_each(values, reduction):
    with pytest.raises(ValueError, match=r"expected one value per example, .*skip empty batches"):
        ref.reduce(values, reduction)


def test_lists_of_values_are_reduced():
    assert (ref.reduce([1.0, 2.0], "mean"), ref.reduce([1, 2], "sum")) == (1.5, 3)
    for wrong in (hiding(Z[0]), ["a"]):
        with pytest.raises(TypeError, match="expected values "):
            ref.reduce(wrong, "mean")


@pytest.mark.parametrize("R", [P[0], P[:1], P[:, :1], P[:, :2]])
def test_columns_fit_their_jacobian(R):
    """einsum repeats an axis of length 1 as often as it takes."""
    with pytest.raises(ValueError, match=r"and R with shape \(n, k, q\), got .*R\[None\]"):
        ref.contract(J, R)


def test_weights_are_given_one_by_one():
    network = Network((Linear(J[0]),))
    with pytest.raises(TypeError, match=r"got Network; of a network pass network\.weights\(\)"):
        ref.weight_decay(network)
    assert ref.weight_decay(network.weights()) == (J[0] * J[0]).sum()


ONE, TWO = np.ones(1), np.ones(2)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Linear(np.ones((3, 1))), X),
        (Conv2d(np.ones((1, 1, 2, 2))), np.ones((2, 3, 4, 4))),
        (BatchNorm(ONE, ONE, ONE, ONE), X),
    ],
)
def test_inputs_fit_their_layer(layer, x):
    """einsum repeats an axis of length 1 as often as it takes."""
    name = type(layer).__name__
    with pytest.raises(
        ValueError, match=rf"expected {name} inputs with shape \(n, 1, \.\.\.\), got"
    ):
        Network((layer,)).forward(x)


def test_every_array_of_a_network_is_looked_at():
    masked = hiding(TWO)
    for layer in (
        Linear(np.eye(2), masked),
        BatchNorm(TWO, TWO, masked, TWO),
        Dropout(masked, 0.5),
        Residual((Linear(np.eye(2)), Linear(hiding(np.eye(2))))),
    ):
        with pytest.raises(TypeError, match=r"expected \w+\.\w+ without a mask"):
            Network((layer,))


def test_a_network_without_parameters_has_none():
    assert Network(()).parameters().shape == (0,)


def test_variances_of_a_fraction_are_those_of_its_examples():
    with pytest.raises(ValueError, match=r"expected variances with shape \(3,\) like P, got \(2,"):
        moments.fraction_variance(Z[0], 2, TWO)
    for P, k, message in ((J[0], 2, r"P with shape \(n,\) and k <= n"), (Z[0], 4, "and k = 4")):
        with pytest.raises(ValueError, match=message):
            moments.fraction_variance(P, k)
    for wrong, name in (((Y, 1), "P"), ((Z[0], 1, np.arange(3)), "variances")):
        with pytest.raises(TypeError, match=f"expected {name} of a floating dtype"):
            moments.fraction_variance(*wrong)
    with pytest.raises(ValueError, match="expected k to be a whole number"):
        moments.fraction_variance(Z[0], 0)


def test_a_list_of_matrices_is_a_batch():
    A = J @ J.transpose(0, 2, 1)
    expected = moments.batch_mean_variance(A, "sphere")
    assert moments.batch_mean_variance(A.tolist(), "sphere") == expected
