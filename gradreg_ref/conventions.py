"""What other implementations compute, as a multiple of the batch mean that stands here.

λ carries over by these factors and by nothing else. Every row is held against its formula, written
out on explicit Jacobians, in tests/test_conventions.py.
"""

from dataclasses import dataclass

from gradreg_ref import checks


@dataclass(frozen=True)
class Convention:
    """Theirs = scale · n^a · i^b · (1/n) Σ_b P_b, for the penalty P of that name here.

    Parameters
    ----------
    penalty : str
        What it is a multiple of.
    formula : str
        Theirs, for n examples and i input coordinates; J_b is the Jacobian of one.
    scale, n_power, i_power
        Of the factor: its number, a and b.
    source : str
        Where it is from.
    """

    penalty: str
    formula: str
    source: str
    scale: float = 1.0
    n_power: int = 0
    i_power: int = 0

    def factor(self, n: int, i: int) -> float:
        """Theirs over the batch mean."""
        return self.scale * n**self.n_power * i**self.i_power


CONVENTIONS: dict[str, Convention] = {
    "paper": Convention(
        "frobreg",
        "1/n Σ_b ‖J_b‖²",
        "Varga, Csiszárik, Zombori (arXiv:1712.09936): SpectReg, FrobReg, JacReg, DoubleBack",
    ),
    "jacobian_regularizer": Convention(
        "frobreg",
        "1/(2n) Σ_b ‖J_b‖²",
        "facebookresearch/jacobian_regularizer (arXiv:1908.02729), and CEBRA",
        scale=0.5,
    ),
    "torchdeq": Convention(
        "frobreg",
        "1/(n·i) Σ_b ‖J_b‖²",
        "locuslab/deq and torchdeq, jac_loss_estimate; there m = i",
        i_power=-1,
    ),
    "sum": Convention(
        "frobreg",
        "Σ_b ‖J_b‖²",
        "the gradient of a sum of losses, taken for that of their mean",
        n_power=1,
    ),
    "R1": Convention(
        "frobreg",
        "γ/2 · 1/n Σ_b ‖∇D(x_b)‖²",
        "Mescheder et al. (arXiv:1801.04406), StyleGAN; m = 1, times γ",
        scale=0.5,
    ),
    "tulip": Convention(
        "doubleback",
        "1/(2n) Σ_b ‖∇L_b‖²",
        "cfinlay/tulip (arXiv:1905.11468)",
        scale=0.5,
    ),
    "mean_loss": Convention(
        "doubleback",
        "‖∂L̄/∂x‖², L̄ = 1/n Σ_b L_b",
        "the gradient of the mean loss, squared and summed over the batch",
        n_power=-1,
    ),
    "mean_loss_mean": Convention(
        "doubleback",
        "1/n ‖∂L̄/∂x‖², L̄ = 1/n Σ_b L_b",
        "the gradient of the mean loss, its square averaged over the batch",
        n_power=-2,
    ),
    "confidence_penalty_scripts": Convention(
        "confidence_penalty",
        "Σ_b Σ_k p log p",
        "the authors' scripts",
        n_power=1,
    ),
    "weight_decay_paper": Convention(
        "weight_decay",
        "½ Σ ‖W‖²",
        "Varga, Csiszárik, Zombori (arXiv:1712.09936), and the weight_decay of torch's optimisers",
        scale=0.5,
    ),
}


def equal_lam(convention: str, lam: float, *, n: int | None = None, i: int | None = None) -> float:
    """λ · factor: the λ that gives here what `lam` gives there.

    Parameters
    ----------
    convention : str
        A name of `CONVENTIONS`.
    lam : float
        Theirs.
    n, i : int
        Examples in a batch, input coordinates; where the factor has them.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        An unknown convention, a number below 1, or one that is needed and missing.

    Examples
    --------
    >>> equal_lam("jacobian_regularizer", 0.01)
    0.005
    >>> equal_lam("sum", 0.01, n=50)
    0.5
    """
    known = CONVENTIONS[checks.choice("a convention", convention, CONVENTIONS)]
    if n is None and known.n_power:
        raise ValueError(f"expected n, the examples in a batch, for {convention}, got none")
    if i is None and known.i_power:
        raise ValueError(f"expected i, the input coordinates, for {convention}, got none")
    sizes = {"n": 1 if n is None else n, "i": 1 if i is None else i}
    return lam * known.factor(**{name: checks.count(name, value) for name, value in sizes.items()})
