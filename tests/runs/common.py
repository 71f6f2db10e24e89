"""What the tests of runs share."""

import json
from dataclasses import replace
from types import SimpleNamespace

from gradreg_experiments.runs import Run, train
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.trainer import Trainer

RUN = Run(data="digits", train=60, validation=20, network="lenet", seed=1, batch=12, iterations=20)


def double(runs):
    """Trainers compute in float32; in float64 rounding is out of the way."""
    trainer = Trainer(runs, [images_of(run, None) for run in runs])
    trainer.model.double()
    draws = trainer.draws
    draws.x, draws.u = ([a.double() for a in part] for part in (draws.x, draws.u))
    drawn = draws.probes
    draws.probes = lambda t: None if (r := drawn(t)) is None else r.double()
    return trainer


def as_toml(run):
    """The file of a run."""
    chosen = dict(run.chosen)
    options = chosen.pop("options", {})
    lines = [f"{k} = {json.dumps(v)}" for k, v in chosen.items()]
    lines += ["[options]", *(f"{k} = {json.dumps(v)}" for k, v in options.items())]
    return "\n".join(lines)


def goes_on(run, checkpoint):
    """The first step from a checkpoint; the result is that of a run that nothing stopped."""
    counted = []
    (resumed,), (network,) = train([run], None, checkpoint, counted.append)
    (whole,), (other,) = train([run])
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert a.equal(b)
    return counted[0]


def request(store, seeds=None, jobs=1):
    """The options of ``gradreg train``."""
    return SimpleNamespace(
        seeds=seeds, jobs=jobs, stack_seeds=False, out=store.folder, data=store.data
    )


def flipped(path, place):
    """One bit of a file is another."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
