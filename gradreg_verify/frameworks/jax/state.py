"""The state of the process that a trace of a function must not change."""

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np


@contextmanager
def settings_kept(changed: set[str]) -> Iterator[None]:
    """Settings of JAX are afterwards as they were; what was changed within is added."""
    settings, states = _settings(), _random_states()
    try:
        yield
    finally:
        for name, value in _settings().items():
            if value != settings[name]:
                changed.add(f"the setting {name}")
                jax.config.update(name, settings[name])  # type: ignore[no-untyped-call]
        changed.update(name for name, state in _random_states().items() if state != states[name])


def _settings() -> dict[str, Any]:
    """JAX's settings by name."""
    return dict(jax.config.values)


def _random_states() -> dict[str, Any]:
    """The global random states that a function in JAX may seed."""
    return {
        "NumPy's global random state": pickle.dumps(np.random.get_state()),
        "Python's global random state": random.getstate(),
    }
