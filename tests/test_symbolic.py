"""The identities of the derivations, by algebra: for all J, z and A of the sizes here at once."""

from itertools import product

import pytest

sp = pytest.importorskip("sympy")

M, I = 3, 2  # logits, input coordinates


def matrix(name, rows, columns):
    """Of free real symbols."""
    return sp.Matrix(rows, columns, sp.symbols(f"{name}:{rows * columns}", real=True))


J, z, x = matrix("J", M, I), matrix("z", M, 1), matrix("x", I, 1)
A = J * J.T
r = matrix("r", M, 1)
exponentials = z.applyfunc(sp.exp)
p = exponentials / sum(exponentials)


def norm2(matrix):
    return sum(entry**2 for entry in matrix)


def zero(expression):
    return sp.simplify(sp.expand(expression)) == 0


def gaussian(exponents):
    """E Π r_k^{e_k}: the product of 1, 3, 15, … for even exponents."""
    return sp.prod([sp.factorial2(e - 1) if e % 2 == 0 and e else 1 - e % 2 for e in exponents])


def signs(exponents):
    return int(all(e % 2 == 0 for e in exponents))


def sphere(exponents):
    """r = √m g/‖g‖: the gaussian moment over E‖g‖^{Σe}, times m^{Σe/2}."""
    half = sum(exponents) // 2
    radius = sp.prod([M + 2 * j for j in range(half)])  # E ‖g‖^{2·half}
    return gaussian(exponents) * sp.Integer(M) ** half / radius


def onehot(exponents):
    """√m e_c: a monomial in one coordinate alone, or constant."""
    used, degree = [e for e in exponents if e], sum(exponents)
    if len(used) > 1:
        return 0
    return sp.sqrt(M) ** degree / M if used else 1


LAWS = {"gaussian": gaussian, "rademacher": signs, "sphere": sphere, "onehot": onehot}


def mean(polynomial, law):
    """E of a polynomial in r, monomial by monomial."""
    terms = sp.Poly(sp.expand(polynomial), *r).terms()
    return sum(coefficient * LAWS[law](exponents) for exponents, coefficient in terms)


spectreg = norm2(J.T * r)


@pytest.mark.parametrize("law", LAWS)
def test_spectreg_is_unbiased(law):
    assert zero(mean(spectreg, law) - norm2(J))


@pytest.mark.parametrize("law", LAWS)
def test_its_gradient_is_unbiased(law):
    for entry in J:
        assert zero(mean(sp.diff(spectreg, entry), law) - 2 * entry)


trace, squares = A.trace(), norm2(A)
diagonal = sum(A[k, k] ** 2 for k in range(M))
VARIANCES = {
    "gaussian": 2 * squares,
    "rademacher": 2 * (squares - diagonal),
    "sphere": sp.Rational(2 * M, M + 2) * (squares - trace**2 / M),
    "onehot": M * diagonal - trace**2,
}


@pytest.mark.parametrize("law", LAWS)
def test_variance(law):
    quadratic = (r.T * A * r)[0]
    variance = mean(quadratic**2, law) - mean(quadratic, law) ** 2
    assert zero(variance - VARIANCES[law])


@pytest.mark.parametrize("law", LAWS)
def test_the_formulas_are_those_of_the_reference(law):
    import numpy as np

    from gradreg_ref import moments

    numbers = np.random.default_rng(0).normal(size=(M, I))
    theirs = moments.variance(numbers[None] @ numbers.T[None], law)
    ours = VARIANCES[law].subs(dict(zip(J, numbers.ravel(), strict=True)))
    assert float(ours) == pytest.approx(float(np.ravel(theirs)[0]), rel=1e-12)


def test_all_orthogonal_probes_together_are_exact():
    """R = √m Q with QQᵀ = I and m columns, over √m: ‖JᵀR‖² = ‖J‖². Here Q of signs, m = 4."""
    hadamard = sp.Matrix(4, 4, lambda i, j: (-1) ** bin(i & j).count("1"))
    wide = matrix("K", 4, I)
    assert zero(norm2(wide.T * hadamard) / 4 - norm2(wide))


def test_doubleback_is_the_projection_on_p_minus_y():
    logits = J * x
    for c in range(M):
        loss = sp.log(sum(logits.applyfunc(sp.exp))) - logits[c]
        gradient = sp.Matrix([sp.diff(loss, coordinate) for coordinate in x])
        residual = p.subs(dict(zip(z, logits, strict=True))) - sp.eye(M)[:, c]
        assert all(zero(entry) for entry in gradient - J.T * residual)


def test_the_jacobian_of_the_softmax():
    S = sp.diag(*p) - p * p.T
    assert all(zero(entry) for entry in p.jacobian(z) - S)
    assert all(zero(entry) for entry in S * sp.ones(M, 1))  # shifts of the logits do nothing


def test_the_gradient_of_the_confidence_penalty():
    value = sum(p_k * sp.log(p_k) for p_k in p)
    for k in range(M):
        assert zero(sp.diff(value, z[k]) - p[k] * (sp.log(p[k]) - value))


def test_frobreg_of_a_linear_model_is_weight_decay():
    assert (J * x).jacobian(x) == J


def test_a_mean_loss_gives_one_over_the_square_of_the_batch():
    """∂L̄/∂x_b = 1/n ∂L_b/∂x_b, so that its square is 1/n² of the per-example one."""
    n = 3
    losses = [sp.Function("L")(s) for s in sp.symbols(f"s:{n}")]
    for loss in losses:
        (s,) = loss.args
        assert zero(sp.diff(sum(losses) / n, s) ** 2 - sp.diff(loss, s) ** 2 / n**2)


def test_a_wrong_variance_is_seen():
    assert not zero(VARIANCES["gaussian"] - VARIANCES["rademacher"])
    signs_only = [sp.Matrix(s) for s in product((-1, 1), repeat=M)]
    by_hand = sum((s.T * A * s)[0] ** 2 for s in signs_only) / len(signs_only) - trace**2
    assert zero(by_hand - VARIANCES["rademacher"])
