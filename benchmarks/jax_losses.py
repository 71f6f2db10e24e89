"""What the steps of the JAX benchmark descend: the loss, and λ times a penalty."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gradreg_jax as gj
import jax
import jax.numpy as jnp
from timing import LAM

Model = Callable[[Any, Any], Any]
Loss = Callable[[Model, Any, Any, Any, Any], Any]


def cross_entropy(z: Any, y: Any) -> Any:
    """Compute the loss of every example, (n,)."""
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1)[:, 0]


def mean_square(v: Any) -> Any:
    """‖v‖² of an example, the mean over the batch."""
    return (v**2).sum() / len(v)


def plain(f: Model, params: Any, x: Any, y: Any, _: Any) -> Any:
    """The loss alone."""
    return cross_entropy(f(params, x), y).mean()


def hand_spectreg(f: Model, params: Any, x: Any, y: Any, key: Any) -> Any:
    """Compute the loss with SpectReg as one writes it by hand."""
    z, pullback = jax.vjp(lambda x: f(params, x), x)
    (v,) = pullback(jax.random.normal(key, z.shape))
    return cross_entropy(z, y).mean() + LAM * mean_square(v)


def jvp_spectreg(f: Model, params: Any, x: Any, y: Any, key: Any) -> Any:
    """SpectReg whose gradient is the gradient of 2 r·Jv with v = Jᵀr held fixed."""
    z, pullback = jax.vjp(lambda x: f(params, x), x)
    r = jax.random.normal(key, z.shape)
    v = jax.lax.stop_gradient(pullback(r)[0])
    # All factors on v: what comes back along J is then r itself, which has been back once already.
    _, J_v = jax.jvp(lambda x: f(params, x), (x,), (2 * LAM / len(x) * v,))
    surrogate = (r * J_v).sum()
    value = LAM * mean_square(v) + surrogate - jax.lax.stop_gradient(surrogate)
    return cross_entropy(z, y).mean() + value


def hand_doubleback(f: Model, params: Any, x: Any, y: Any, _: Any) -> Any:
    """Compute the loss with DoubleBack as one writes it by hand."""

    def total(x: Any) -> tuple[Any, Any]:
        losses = cross_entropy(f(params, x), y)
        return losses.sum(), losses.mean()

    v, loss = jax.grad(total, has_aux=True)(x)
    return loss + LAM * mean_square(v)


def hand_frobreg(f: Model, params: Any, x: Any, y: Any, _: Any) -> Any:
    """A loop over classes."""
    z, pullback = jax.vjp(lambda x: f(params, x), x)
    e = jnp.eye(z.shape[1])
    total = sum(mean_square(pullback(jnp.broadcast_to(e_k, z.shape))[0]) for e_k in e)
    return cross_entropy(z, y).mean() + LAM * total


def ours(penalty: Callable[..., Any]) -> Loss:
    """Loss and penalty from one pass: the form to train with."""

    def loss(f: Model, params: Any, x: Any, y: Any, key: Any) -> Any:
        o = gj.objective(f, params, x, y, penalty=penalty, key=key)
        return o.loss + LAM * o.penalty

    return loss


def alone(f: Model, params: Any, x: Any, y: Any, key: Any) -> Any:
    """A plain loss, and SpectReg with a pass of its own: XLA may find that the passes are equal."""
    return plain(f, params, x, y, key) + LAM * gj.spectreg(f, params, x, key=key)


def with_conv(loss: Loss) -> Loss:
    """The same loss of the network whose convolutions are `gradreg_jax.conv`."""
    return lambda f, *rest: loss(partial(f, convolve=gj.conv), *rest)


LOSSES: dict[str, Loss] = {
    "plain": plain,
    "spectreg": ours(gj.spectreg),
    "spectreg, penalty alone": alone,
    "spectreg by hand": hand_spectreg,
    "spectreg by hand, jvp": jvp_spectreg,
    "spectreg, forward": ours(partial(gj.spectreg, mode="forward")),
    "spectreg, gradreg_jax.conv": with_conv(ours(gj.spectreg)),
    "doubleback": ours(gj.doubleback),
    "doubleback by hand": hand_doubleback,
    "jacreg, 1 probe": ours(partial(gj.jacreg, num_probes=1)),
    "frobreg": ours(gj.frobreg),
    "frobreg by hand": hand_frobreg,
}
