"""How a test module states which claims its subject answers for.

``test_claims = holds("frobreg-formula")`` checks them on every backend, on networks that Hypothesis
draws and on the awkward ones below. `gradreg_verify` runs the same checks on bundled networks.
"""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from strategies import example as examples
from strategies import familiar

from gradreg_ref.networks import Activation, Linear, Network
from gradreg_verify import BY_ID, Example

COMPILED = ("jax",)  # a new shape costs a compilation


def at(layers, x, y, *, exact):
    """An example with targets and probes of ones."""
    n, m = len(x), layers[-1].weight.shape[0]
    y, ones = np.array(y), np.ones((n, m, 4))
    return Example(Network(layers), x, y, ones[:, :, 0], ones, exact)


# Logits 10 and −10: a softmax next to onehot.
SATURATED = at(
    (Linear(np.array([[10.0], [-10.0], [0.0]]), np.zeros(3)),), np.ones((2, 1)), [0, 1], exact=False
)
# J = 0: every penalty is zero, and no derivative of a square root is taken.
FLAT = at((Linear(np.zeros((2, 3)), np.array([0.25, 0.5])),), np.ones((1, 3)), [1], exact=True)
# Every ReLU exactly at its kink, where its derivative is 0 by convention.
KINK = at(
    (Linear(np.eye(2), np.zeros(2)), Activation("relu"), Linear(np.ones((3, 2)), np.ones(3))),
    np.zeros((2, 2)),
    [2, 0],
    exact=True,
)


def networks_for(target, exact=None):
    """Networks of any shape, or of few where every new one is compiled."""
    return (familiar if target.backend.name in COMPILED else examples)(exact)


def effort(target):
    """Examples of a property: a quarter where only the numbers change, never the program."""
    few = target.backend.name in COMPILED
    return settings(max_examples=max(1, settings().max_examples // (4 if few else 1)))


def holds(*ids):
    """A test of these claims of the ledger."""

    @pytest.mark.parametrize("claim", [BY_ID[i] for i in ids], ids=list(ids))
    def test(target, claim):
        @effort(target)
        @given(e=networks_for(target))
        @example(e=SATURATED)
        @example(e=FLAT)
        @example(e=KINK)
        def on(e):
            assume(claim.applies(e))
            claim.check(target, e)

        on()

    return test
