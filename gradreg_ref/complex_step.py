"""Exact derivatives without automatic differentiation: f′(θ)·d = Im f(θ + ihd) / h.

With h = 2⁻²⁰⁰ the error h² is far below rounding and nothing is subtracted, so the derivative has
the accuracy of f itself. f must be analytic where it is evaluated, as everything here is; a kink
takes the branch of the real part. (Squire, Trapp, "Using complex variables to estimate derivatives
of real functions", 1998.)
"""

from collections.abc import Callable

import numpy as np

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array

STEP = 2.0**-200


def directional_derivative(
    f: Callable[[Network], Array], network: Network, direction: Array
) -> Array:
    """Compute d/dt f(θ + t·direction) at t = 0, in the shape of f's value.

    One random direction checks a whole gradient, almost surely. A real number of a complex one, as
    abs, .real or .astype(float) make it, counts as a constant: it is detached.
    """
    theta = network.parameters()
    slope = f(network.with_parameters(theta + 1j * STEP * direction)).imag / STEP
    # The error of the step itself is of order h²: what is below h is not a derivative.
    return np.where(np.abs(slope) < STEP, 0.0, slope)


def gradient(f: Callable[[Network], Array], network: Network) -> Array:
    """Compute ∇_θ f, one component per parameter; f must return a scalar array."""
    columns = np.eye(network.parameters().size)
    return np.array([directional_derivative(f, network, e) for e in columns])
