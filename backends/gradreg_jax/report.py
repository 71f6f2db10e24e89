"""What `check_model` found, as an object that prints as a table."""

from dataclasses import dataclass

LIMIT = 1e-3  # of the derivative: differences are good to about 1e-6 here


@dataclass(frozen=True)
class ModelReport:
    """What `check_model` found.

    Parameters
    ----------
    penalty : float
        The value, in float64.
    jacobian : float
        How far a product with the Jacobian is from differences of the logits in x, as a part of
        the product.
    off : float
        How far the penalty's parameter gradient is from differences of the value, as a part of
        the derivative.
    wrong : tuple of str
        Paths of the parameters at which the gradient is wrong.
    untrained : tuple of str
        Paths of the parameters that the penalty does not reach.
    alone : bool
        Whether each example's output depends on its own x alone.
    zero : bool
        Whether the penalty is zero, and stays so with other parameters. At a last layer of zeros it
        does not: the gradient is then compared beside it.
    """

    penalty: float
    jacobian: float
    off: float
    wrong: tuple[str, ...]
    untrained: tuple[str, ...]
    alone: bool
    zero: bool

    @property
    def ok(self) -> bool:
        """Return whether Jacobian and gradient are right and the penalty is not zero everywhere."""
        return max(self.jacobian, self.off) <= LIMIT and not self.zero

    def __str__(self) -> str:
        lines = [f"penalty     {self.penalty:.4g}" + (": WRONG, J is zero" if self.zero else "")]
        if self.jacobian > LIMIT:
            lines += [
                f"jacobian    WRONG: {self.jacobian:.1%} off the derivative of the logits, so that",
                "            the penalty is computed for another function; look for stop_gradient",
                "            and rounding on the way from x, and for a custom rule that is not the",
                "            derivative",
            ]
        if self.off <= LIMIT:
            lines += [
                f"gradient    right: agrees with differences of the penalty to {self.off:.0e}"
            ]
        else:
            where = ", ".join(self.wrong) or "all together"
            lines += [
                f"gradient    WRONG: {self.off:.0%} off, at {where}",
                "            stop_gradient hides it: close f over a parameter that is frozen; or a",
                "            custom_vjp or custom_jvp rule is wrong: residuals may depend on x",
            ]
        lines += [
            "examples    "
            + (
                "each depends on its own x alone"
                if self.alone
                else "depend on each other: exact penalties need a function of one example"
            ),
            "parameters  all trained" if not self.untrained else "",
            *(f"parameters  not trained: {name}" for name in self.untrained),
        ]
        return "\n".join(filter(None, lines))
