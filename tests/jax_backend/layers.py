"""Layers people train with, each in a small model, and what either mode makes of them.

``python tests/jax_backend/layers.py`` rewrites the table of docs/jax.md; a test holds the two
together. Values are held against the explicit Jacobian, parameter gradients against differences of
the *value*, of fourth order, along one direction: nothing is differentiated twice to judge.
"""

import re
from functools import lru_cache
from pathlib import Path

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import gradreg_ref as ref

PAGE = Path(__file__).parents[2] / "docs" / "jax.md"
MARKS = re.compile(r"(?<=<!-- layers -->\n).*?(?=<!-- end -->)", re.DOTALL)
MODES = ("reverse", "forward")
VALUE = 2.0**-46  # 64 roundings of float64: the same sums in another order
GRADIENT = 1e-6  # the differences that judge are good to about 1e-9
# JAX takes this softmax in float32 whatever comes: 16 roundings, and those divided by the step.
SINGLE = {"`dot_product_attention`": (2.0**-20, 1e-3)}
N, K = 3, 3

rng = np.random.default_rng(0)


def weights(*shape):
    return rng.standard_normal(shape) / np.sqrt(shape[0])


def between(layer, width=6):
    """Linear map, the layer, tanh, linear map, on (n, 6)."""
    params = {"W": weights(6, 6), "b": weights(6), "V": weights(width, K)}
    return lambda p, x: jnp.tanh(layer(x @ p["W"] + p["b"])) @ p["V"], params, (N, 6)


def image(layer, width):
    """Convolution, the layer, tanh, linear map, on (n, 2, 5, 5)."""
    params = {"W": weights(3, 2, 3, 3), "V": weights(width, K)}

    def f(p, x):
        z = jnp.tanh(layer(lax.conv_general_dilated(x, p["W"], (1, 1), "SAME")))
        return z.reshape(len(x), -1) @ p["V"]

    return f, params, (N, 2, 5, 5)


def pool(start, operation):
    """Windows of 2 × 2."""
    return lambda z: lax.reduce_window(z, start, operation, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def layer_norm(z):
    return (z - z.mean(1, keepdims=True)) / jnp.sqrt(z.var(1, keepdims=True) + 1e-5)


def batch_norm(z):
    """With running statistics."""
    return (z - jnp.arange(6) / 10) / jnp.sqrt(jnp.arange(1, 7) / 5 + 1e-5)


def softmax_attention(q, k, v):
    scores = jax.nn.softmax(jnp.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(q.shape[-1]))
    return jnp.einsum("nhqk,nkhd->nqhd", scores, v)


def attention(attend):
    def f(p, x):
        q, k, v = (jnp.einsum("nti,ihd->nthd", x, p[name]) for name in "qkv")
        return attend(q, k, v).reshape(len(x), -1) @ p["V"]

    return f, {name: weights(4, 2, 3) for name in "qkv"} | {"V": weights(30, K)}, (N, 5, 4)


def gru():
    def f(p, x):
        def step(h, x_t):
            z, r = jax.nn.sigmoid(jnp.stack([x_t @ p["Z"] + h @ p["Y"], x_t @ p["R"] + h @ p["Q"]]))
            new = jnp.tanh(x_t @ p["H"] + (r * h) @ p["U"])
            return (1 - z) * h + z * new, None

        h, _ = lax.scan(step, jnp.zeros((len(x), 4), x.dtype), jnp.swapaxes(x, 0, 1))
        return h @ p["V"]

    gates = {name: weights(4, 4) for name in "ZYRQHU"}
    return f, gates | {"V": weights(4, K)}, (N, 5, 4)


def solve():
    """A = MMᵀ + I, then A⁻¹x by Cholesky factors."""

    def f(p, x):
        factor = jax.scipy.linalg.cho_factor(p["M"] @ p["M"].T + jnp.eye(6))
        return jnp.tanh(jax.scipy.linalg.cho_solve(factor, x.T).T) @ p["V"]

    return f, {"M": weights(6, 6), "V": weights(6, K)}, (N, 6)


def inverse():
    """A matrix of the input itself: (xxᵀ + I)⁻¹."""

    def f(p, x):
        A = jnp.einsum("nij,nkj->nik", x, x) + jnp.eye(3)
        return jnp.tanh(jnp.linalg.solve(A, x @ p["W"])).reshape(len(x), -1) @ p["V"]

    return f, {"W": weights(4, 2), "V": weights(6, K)}, (N, 3, 4)


def gated():
    """By the input, through which nothing is differentiated."""

    def f(p, x):
        return jnp.tanh((x @ p["W"]) * jnp.sin(lax.stop_gradient(x))) @ p["V"]

    return f, {"W": weights(6, 6), "V": weights(6, K)}, (N, 6)


@jax.custom_jvp
def own_sine(z):
    return jnp.sin(z)


own_sine.defjvp(lambda z, t: (own_sine(*z), jnp.cos(*z) * t[0]))


@jax.custom_vjp
def own_tanh(z):
    return jnp.tanh(z)


own_tanh.defvjp(lambda z: (jnp.tanh(z), jnp.tanh(z)), lambda t, g: ((1 - t**2) * g,))


def looped(z):
    """A number of steps that is known when it runs."""
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, z))[1]


CASES = {
    "dense, tanh": between(lambda z: z),
    **{
        name: between(layer)
        for name, layer in {
            "ReLU, ReLU6": lambda z: jax.nn.relu(z) + jax.nn.relu6(z + 5),
            "GELU, SiLU, SELU": lambda z: jax.nn.gelu(z) + jax.nn.silu(z) * jax.nn.selu(z),
            "softmax": jax.nn.softmax,
            "layer norm": layer_norm,
            "batch norm, evaluation": batch_norm,
            "`fft`": lambda z: jnp.abs(jnp.fft.fft(z, axis=1)),
            "`jax.checkpoint`": jax.checkpoint(lambda z: jnp.sin(z) ** 2),
            "`custom_jvp`": own_sine,
            "`custom_vjp`": own_tanh,
            "`lax.cond`": lambda z: lax.cond(z.sum() > 0, jnp.sin, jnp.cos, z),
            "`fori_loop`": lambda z: lax.fori_loop(0, 3, lambda _, c: jnp.sin(c), z),
            "`while_loop`": looped,
        }.items()
    },
    "GLU": between(jax.nn.glu, width=3),
    "convolution": image(lambda z: z, 75),
    "max pool": image(pool(-jnp.inf, lax.max), 12),
    "average pool": image(lambda z: pool(0.0, lax.add)(z) / 4, 12),
    "attention": attention(softmax_attention),
    "`dot_product_attention`": attention(jax.nn.dot_product_attention),
    "GRU by `lax.scan`": gru(),
    "Cholesky": solve(),
    "`solve`, of the input": inverse(),
    "`stop_gradient`": gated(),
}


def penalties(f, mode, x, r):
    """SpectReg in that mode, and FrobReg, whose own products are reversed."""

    def both(p):
        drawn = gj.spectreg(f, p, x, probes=r, mode=mode)
        return jnp.stack([drawn, gj.frobreg(f, p, x)] if mode == "reverse" else [drawn])

    return both


@lru_cache
def jacobian(name):
    """J[n, k, i] as a whole, by jax.jacfwd; where there is none, by jax.jacrev."""
    f, params, shape = CASES[name]
    x = inputs(shape)

    def full(derivative):
        # Examples do not mix: the derivative of their sum holds all of them.
        of_sum = derivative(lambda x: f(params, x).sum(axis=0))
        J = jax.jit(of_sum)(x)
        return np.moveaxis(np.asarray(J).reshape(K, N, -1), 1, 0)

    try:
        return full(jax.jacfwd)
    except TypeError:
        return full(jax.jacrev)


def inputs(shape):
    return np.random.default_rng(1).standard_normal(shape)


def outcome(name, mode):
    """ "right", by how much it is wrong, or the error."""
    f, params, shape = CASES[name]
    with jax.enable_x64(True):
        x, g = inputs(shape), np.random.default_rng(2)
        r = g.standard_normal((N, x[0].size if mode == "forward" else K, 1))
        direction = {k: g.standard_normal(a.shape) for k, a in params.items()}
        size = np.sqrt(sum((d**2).sum() for d in direction.values()))
        direction = {k: d / size for k, d in direction.items()}
        value = penalties(f, mode, x, r)

        program = jax.jit(lambda p: (value(p), jax.jacrev(value)(p)))
        try:
            values, gradients = program(params)
        except (ValueError, TypeError) as refusal:
            return f"refused: {str(refusal).splitlines()[0]}"
        J = jacobian(name)

        def at(t, h=1e-3):
            moved = {k: a + t * h * direction[k] for k, a in params.items()}
            return np.asarray(program(moved)[0])

        expected = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12e-3
        slopes = sum(
            (np.asarray(gradients[k]) * direction[k]).reshape(len(expected), -1).sum(axis=1)
            for k in params
        )
    exact = (
        [ref.frobreg(J @ r)] if mode == "forward" else [ref.spectreg(J, probes=r), ref.frobreg(J)]
    )
    errors = abs(np.asarray(values) / exact - 1).max(), abs(slopes / expected - 1).max()
    right = all(
        e < most for e, most in zip(errors, SINGLE.get(name, (VALUE, GRADIENT)), strict=True)
    )
    return "right" if right else "WRONG, value by {:.0e}, gradient by {:.0e}".format(*errors)


def table():
    """Layer × mode, in Markdown; a number for each refusal, with its words below."""
    refusals, lines = [], ["| layer | `reverse` | `forward` |", "|---|---|---|"]
    for name in CASES:
        cells = []
        for mode in MODES:
            said = outcome(name, mode)
            if said.startswith("refused: "):
                words = said.removeprefix("refused: ")
                refusals += [words] if words not in refusals else []
                said = f"refused ({refusals.index(words) + 1})"
            cells.append(said)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    notes = [f"{i}. {words}" for i, words in enumerate(refusals, 1)]
    return "\n".join([*lines, "", "What the refusals say:", "", *notes])


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKS.sub(lambda _: f"\n{table()}\n\n", page), encoding="utf-8")
