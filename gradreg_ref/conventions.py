"""Penalties of other implementations: a factor times the batch mean of ours.

Multiply the λ of the other implementation by this factor. ``tests/test_conventions.py`` computes
every formula of the table from explicit Jacobians and compares it with its factor.
"""

from dataclasses import dataclass

from gradreg_ref import checks


@dataclass(frozen=True)
class _Convention:
    """Theirs = scale · n^a · i^b · (1/n) Σ_b P_b, where P_b is our penalty of one example.

    Parameters
    ----------
    penalty : str
        The name of P in this package.
    formula : str
        Their formula, for n examples with i input coordinates; J_b is the Jacobian of one example.
    source : str
        Who computes it.
    scale : float
        The number in the factor.
    n_power, i_power : int
        The exponents a and b in the factor.
    """

    penalty: str
    formula: str
    source: str
    scale: float = 1.0
    n_power: int = 0
    i_power: int = 0

    def factor(self, n: int | None = None, i: int | None = None) -> float:
        """Compute scale · n^a · i^b from the n and i that the factor needs.

        Parameters
        ----------
        n, i : int, optional
            Examples in a batch, and input coordinates. What has the exponent 0 may be left out.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            A number below 1, or one that is needed and missing.
        """
        value = self.scale
        for name, size, power in (
            ("n, the examples in a batch", n, self.n_power),
            ("i, the input coordinates", i, self.i_power),
        ):
            if size is not None:
                value *= checks.count(name[0], size) ** power
            elif power:
                raise ValueError(f"expected {name}, for {self.formula}, got none")
        return value


CONVENTIONS: dict[str, _Convention] = {
    "paper": _Convention(
        "frobreg",
        "1/n Σ_b ‖J_b‖²",
        "Varga, Csiszárik, Zombori (arXiv:1712.09936): SpectReg, FrobReg, JacReg, DoubleBack",
    ),
    "jacobian_regularizer": _Convention(
        "frobreg",
        "1/(2n) Σ_b ‖J_b‖²",
        "facebookresearch/jacobian_regularizer (arXiv:1908.02729), and CEBRA",
        scale=0.5,
    ),
    "torchdeq": _Convention(
        "frobreg",
        "1/(n·i) Σ_b ‖J_b‖²",
        "locuslab/deq and torchdeq, jac_loss_estimate; there m = i",
        i_power=-1,
    ),
    "sum": _Convention(
        "frobreg",
        "Σ_b ‖J_b‖²",
        "a sum over the batch in place of the mean",
        n_power=1,
    ),
    "R1": _Convention(
        "frobreg",
        "γ/2 · 1/n Σ_b ‖∇D(x_b)‖²",
        "Mescheder et al. (arXiv:1801.04406), StyleGAN; m = 1, times γ",
        scale=0.5,
    ),
    "tulip": _Convention(
        "doubleback",
        "1/(2n) Σ_b ‖∇L_b‖²",
        "cfinlay/tulip (arXiv:1905.11468)",
        scale=0.5,
    ),
    "mean_loss": _Convention(
        "doubleback",
        "‖∂L̄/∂x‖², L̄ = 1/n Σ_b L_b",
        "the gradient of the mean loss, squared and summed over the batch",
        n_power=-1,
    ),
    "mean_loss_mean": _Convention(
        "doubleback",
        "1/n ‖∂L̄/∂x‖², L̄ = 1/n Σ_b L_b",
        "the gradient of the mean loss, its square averaged over the batch",
        n_power=-2,
    ),
    "confidence_penalty_scripts": _Convention(
        "confidence_penalty",
        "Σ_b Σ_k p log p",
        "the authors' scripts",
        n_power=1,
    ),
    "weight_decay_paper": _Convention(
        "weight_decay",
        "½ Σ ‖W‖²",
        "Varga, Csiszárik, Zombori (arXiv:1712.09936), and the weight_decay of torch's optimisers",
        scale=0.5,
    ),
}


def equal_lam(convention: str, lam: float, *, n: int | None = None, i: int | None = None) -> float:
    """Convert the λ of another implementation: lam · factor.

    Parameters
    ----------
    convention : str
        A name of `CONVENTIONS`.
    lam : float
        Their λ.
    n, i : int, optional
        Examples in a batch, and input coordinates; needed if the factor contains them.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        An unknown convention; a λ that is no finite number; a number below 1, or one that is
        needed and missing.

    Examples
    --------
    >>> equal_lam("jacobian_regularizer", 0.01)
    0.005
    >>> equal_lam("sum", 0.01, n=50)
    0.5
    """
    known = CONVENTIONS[checks.choice("a convention", convention, CONVENTIONS)]
    return checks.number("lam", lam) * known.factor(n, i)
