"""A call can be repeated and leaves nothing behind. Asked of functions, one by one."""

from collections.abc import Iterator

import numpy as np

from gradreg_ref.penalties import PENALTIES
from gradreg_verify.claims.comparison import Target, arguments, same
from gradreg_verify.examples import Example
from gradreg_verify.frameworks.harness import Supply
from gradreg_verify.outcomes import Broken, NotAsked, NotHere, largest
from gradreg_verify.subject import readout
from gradreg_verify.subject.declared import DeclaredPenalty


def functions(target: Target, e: Example) -> Iterator[DeclaredPenalty]:
    """The functions that can be called at an example."""
    m = e.probes.shape[1]
    known = target.functions()
    if not known:
        raise NotAsked("this backend shows no functions")
    for one in known:
        d = one.declaration
        softmax = PENALTIES[d.kind].needs_classes({"loss": d.loss})
        if not (softmax and m == 1) and not (d.probe is not None and m <= d.num_probes):
            yield one


def repeatable(target: Target, e: Example) -> float:
    """The same seed gives the same number, whatever was called in between."""
    errors = []
    for one in functions(target, e):
        network, x, y = arguments(e, {"loss": one.declaration.loss})
        first, _, again = (
            one.harness.value(
                network, x, y, one.probes.of_seed(seed, network, x), device=one.device
            )
            for seed in (1, 2, 1)
        )
        what = f"{one.declaration.kind}, twice with one seed"
        errors.append(same(what, again, first, exact=True))
    return largest(errors)


def nothing_left_behind(target: Target, e: Example) -> float:
    """Model, inputs, their .grad, modes and global random state are as they were."""
    if e.batch_norm:
        raise NotHere("its statistics may move")
    compared = []
    for one in functions(target, e):
        network, x, y = arguments(e, {"loss": one.declaration.loss})
        d, taken = one.declaration, one.harness.arguments
        random = d.probe is not None and not {"generator", "key"} & set(taken)
        supply = one.probes.of_seed(1, network, x)
        changed = one.harness.side_effects(network, x, y, supply, random=random, device=one.device)
        if changed:
            raise Broken(f"a call of {one.declaration.kind} changes {'; '.join(changed)}")
        compared.append(0.0)
    return largest(compared)


def fresh_probes(target: Target, e: Example) -> float:
    """Two calls in a row draw different probes, for every example."""
    n, m, compared = 8, max(e.probes.shape[1], 3), []
    for one in target.functions():
        d = one.declaration
        if d.probe is None or m <= d.num_probes or not one.harness.draws_probes:
            continue
        network, x = readout.network(n, m)
        y = np.zeros(n, int)
        pair = one.harness.two_gradients(network, x, y, Supply(target.seed), device=one.device)
        first, second = (readout.second_moments(g, n, m) for g in pair)
        if (first == second).all():
            raise Broken("two calls in a row use the same probes: a seed is set in every call")
        if not d.shared_probe and (first == first[:1]).all():
            raise Broken("all examples of a batch have the same probe")
        compared.append(0.0)
    return largest(compared)
