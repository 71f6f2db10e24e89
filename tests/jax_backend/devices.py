"""Four devices in one process: every penalty on a sharded batch against one device.

``python tests/jax_backend/devices.py`` prints one JSON object, from the name of a case to the
errors of value and gradient, relative to the largest entry. Weights, inputs and probes are small
whole numbers with a square between them: most penalties are exact, in whatever order one adds.
"""

import json
import os
import re
import sys
from functools import partial
from pathlib import Path

# Read by the first import of jax.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
)

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

jax.config.update("jax_enable_x64", True)

EVERYWHERE = P()
N, I, H, M, DEVICES = 8, 6, 8, 4, 4
KEY = jax.random.key(3)
rng = np.random.default_rng(0)


def whole(most, *shape):
    """Of size 1 to `most`, without zero."""
    return rng.integers(1, most + 1, shape) * rng.choice([-1.0, 1.0], shape)


PARAMS = {"W": whole(1, I, H), "b": whole(1, H), "V": whole(1, H, M)}
BATCH = {
    "x": whole(2, N, I),
    "y": np.arange(N) % M,
    "target": whole(2, N, M),
    "R": whole(2, N, M, 4),  # 4, whose root is exact: R = r / √q
    "V": whole(2, N, I, 4),
}


def f(p, x):
    """(x W + b)² V / 64, logits of about 1."""
    return (x @ p["W"] + p["b"]) ** 2 @ p["V"] / 64


def parts(p, x):
    """The same, of a pytree of two halves, with logits (n, 2, 2)."""
    return f(p, jnp.concatenate([x["a"], x["b"]], axis=1)).reshape(-1, 2, 2)


def halves(x):
    return {"a": x[:, : I // 2], "b": x[:, I // 2 :]}


# Without randomness, so that they also hold shard by shard.
GIVEN = {
    "frobreg": lambda p, b: gj.frobreg(f, p, b["x"]),
    "frobreg, chunks": lambda p, b: gj.frobreg(f, p, b["x"], chunk_size=3),
    "frobreg, pytree": lambda p, b: gj.frobreg(parts, p, halves(b["x"])),
    "spectreg": lambda p, b: gj.spectreg(f, p, b["x"], probes=b["R"]),
    "spectreg, forward": lambda p, b: gj.spectreg(f, p, b["x"], probes=b["V"], mode="forward"),
    "spectreg, forward, pytree": lambda p, b: gj.spectreg(
        parts, p, halves(b["x"]), probes=b["V"], mode="forward"
    ),
    "onehot": lambda p, b: gj.onehot(f, p, b["x"], b["y"]),
    "doubleback, squares": lambda p, b: gj.doubleback(
        f, p, b["x"], b["target"], loss="mean_squared_error"
    ),
    "doubleback": lambda p, b: gj.doubleback(f, p, b["x"], b["y"]),
    "spectreg, forward, chunks": lambda p, b: gj.spectreg(
        f, p, b["x"], probes=b["V"], mode="forward", chunk_size=1
    ),
    "jacreg": lambda p, b: gj.jacreg(f, p, b["x"]),
    "jacreg, projected": lambda p, b: gj.jacreg(f, p, b["x"], probes=b["R"]),
    "confidence_penalty": lambda p, b: gj.confidence_penalty(f(p, b["x"])),
}
DRAWN = {
    "spectreg, signs": lambda p, b: gj.spectreg(f, p, b["x"], key=KEY, probe="rademacher"),
    "spectreg, drawn": lambda p, b: gj.spectreg(f, p, b["x"], key=KEY),
    "spectreg, forward, drawn": lambda p, b: gj.spectreg(f, p, b["x"], key=KEY, mode="forward"),
    "jacreg, drawn": lambda p, b: gj.jacreg(f, p, b["x"], num_probes=1, key=KEY),
}
LAWS = ("gaussian", "rademacher", "sphere", "orthogonal", "onehot")


def errors(got, expected):
    """Of value and gradient, relative to the largest entry."""

    def flat(tree):
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])

    pairs = [(flat(a), flat(b)) for a, b in zip(got, expected, strict=True)]
    return [float(abs(a - b).max() / abs(b).max()) for a, b in pairs]


def place(tree, mesh, specs):
    """On the mesh; a prefix of specs."""
    if isinstance(specs, P):
        return jax.device_put(tree, NamedSharding(mesh, specs))
    return {k: place(leaf, mesh, specs[k]) for k, leaf in tree.items()}


REPLICATED = {k: P() for k in PARAMS}
# Weights in four parts, as under FSDP.
SPLIT = {"W": P(None, "data"), "b": P("data"), "V": P("data", None)}
LAYOUTS = {
    "data": (AxisType.Auto, REPLICATED),
    "data, explicit": (AxisType.Explicit, REPLICATED),
    "data and weights": (AxisType.Auto, SPLIT),
}


def everything(params, batch):
    """Value and gradient of every penalty, as one program: it compiles faster than many."""
    return {k: jax.value_and_grad(penalty)(params, batch) for k, penalty in (GIVEN | DRAWN).items()}


def by_named_sharding(one):
    """One program on the whole batch: XLA splits it."""
    for layout, (axis, specs) in LAYOUTS.items():
        mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(axis,))
        params, batch = place(PARAMS, mesh, specs), place(BATCH, mesh, P("data"))
        for name, got in jax.jit(everything)(params, batch).items():
            yield f"{layout} · {name}", errors(got, one[name])
        held = {"x": batch["x"], "W": params["W"]}
        yield (
            f"shards · {layout}",
            {k: list(a.addressable_shards[0].data.shape) for k, a in held.items()},
        )
        split, alone = jax.jit(drawn)(batch["x"]), jax.jit(drawn)(BATCH["x"])
        for law in LAWS:
            same = (np.asarray(split[law]) == np.asarray(alone[law])).all()
            yield f"probes · {layout} · {law}", bool(same)


def drawn(x):
    """Probes of every law for that batch."""
    return {law: gj.draw_probes(law, len(x), M, key=KEY, dtype=x.dtype) for law in LAWS}


def mean_inside(penalty, average, params, batch):
    """The gradient of the mean over devices."""
    return jax.value_and_grad(lambda p: average(penalty(p, batch), "data"))(params)


def mean_of_gradients(penalty, average, params, batch):
    """The mean of gradients, each in a copy of the parameters that is a device's own."""
    own = jax.tree.map(lambda a: jax.lax.pcast(a, "data", to="varying"), params)
    return average(jax.value_and_grad(penalty)(own, batch), "data")


def summed_twice(penalty, average, params, batch):
    """A mistake: JAX has summed the gradient in replicated parameters over devices already."""
    return average(jax.value_and_grad(penalty)(params, batch), "data")


def on_devices(run, out_specs=EVERYWHERE, **options):
    """On every device, with its own rows."""
    mesh = jax.make_mesh((DEVICES,), ("data",))
    specs = {"in_specs": (P(), P("data")), "out_specs": out_specs}
    args = place(PARAMS, mesh, REPLICATED), place(BATCH, mesh, P("data"))
    return jax.shard_map(run, mesh=mesh, **specs, **options), args


def mapped(step, penalty, average, **options):
    """Value and gradient of that penalty."""
    run, args = on_devices(partial(step, penalty, average), **options)
    return jax.jit(jax.value_and_grad(run) if step is outside else run)(*args)


def own_key():
    return jax.random.fold_in(KEY, jax.lax.axis_index("data"))


def drawing(key_of):
    """The probes that a device draws, and the mean over devices of what they give."""

    def penalty(p, b):
        return gj.spectreg(f, p, b["x"], key=key_of())

    def probes(p, b):
        drawn = gj.draw_probes("gaussian", len(b["x"]), M, key=key_of(), dtype=b["x"].dtype)
        return drawn + jnp.zeros_like(b["x"])[:, :1, None]  # a device's own also of one key

    run, args = on_devices(probes, P("data"))
    return np.asarray(jax.jit(run)(*args)), mapped(outside, penalty, jax.lax.pmean)


def outside(penalty, average, params, batch):
    """The mean over devices, to be differentiated outside; no gradient yet."""
    return average(penalty(params, batch), "data")


# The rows of the table in docs/jax.md.
GRADIENTS = {
    "outside, of the mapped mean": outside,
    "inside, of the mean": mean_inside,
    "inside, mean of gradients": summed_twice,
    'inside, mean of gradients in `pcast(params, "data", to="varying")`': mean_of_gradients,
}


def by_shard_map(one):
    """A program for every device, on its own rows."""

    def steps(p, b):
        return {k: mean_inside(penalty, jax.lax.pmean, p, b) for k, penalty in GIVEN.items()}

    run, args = on_devices(steps)
    for name, got in jax.jit(run)(*args).items():
        yield f"mapped · {name}", errors(got, one[name])
    penalty, expected = GIVEN["spectreg"], one["spectreg"]
    for name, step in GRADIENTS.items():
        for checked in (True, False):
            got = mapped(step, penalty, jax.lax.pmean, check_vma=checked)
            yield f"{name} · {checked}", errors(got, expected)
        got = mapped(step, penalty, jax.lax.psum)
        yield f"mistake · psum · {name}", errors(got, expected)
    for name, key_of in {"own keys": own_key, "mistake · one key": lambda: KEY}.items():
        probes, got = drawing(key_of)
        given = jax.value_and_grad(lambda p, r: gj.spectreg(f, p, BATCH["x"], probes=r))
        yield name, probes.reshape(N, M).tolist()
        yield f"replayed · {name}", errors(got, jax.jit(given)(PARAMS, probes))
    mine = [
        gj.draw_probes(
            "gaussian", N // DEVICES, M, key=jax.random.fold_in(KEY, d), dtype=jnp.float64
        )
        for d in range(DEVICES)
    ]
    yield "keys folded", np.reshape(mine, (N, M)).tolist()


def page():
    """The blocks of docs/jax.md on several devices, on four, and what they should have found.

    They need the first block of the sections before.
    """
    text = (Path(__file__).parents[2] / "docs" / "jax.md").read_text(encoding="utf-8")
    names = {}
    for title in ("# In JAX", "## A step", "## On several devices"):
        (section,) = re.findall(rf"^{title}\n(.*?)(?=^## )", text, flags=re.DOTALL | re.MULTILINE)
        blocks = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        for block in blocks if title == "## On several devices" else blocks[:1]:
            exec(block, names)

    def mean(params):
        parts = enumerate(jnp.split(names["x"], DEVICES))
        keys = partial(jax.random.fold_in, names["key"])
        return sum(gj.spectreg(names["f"], params, x, key=keys(d)) for d, x in parts) / DEVICES

    return errors(
        (names["value"], names["gradient"]), jax.jit(jax.value_and_grad(mean))(names["params"])
    )


def main():
    """Every case."""
    one = jax.jit(everything)(PARAMS, BATCH)
    found = {"devices": len(jax.devices())}
    found["page"] = page()
    found |= dict(by_named_sharding(one)) | dict(by_shard_map(one))
    json.dump(found, sys.stdout, indent=0)


if __name__ == "__main__":
    main()
