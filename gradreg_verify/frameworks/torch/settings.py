"""Settings of the whole process: a call must leave them as they were."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from gradreg_verify.frameworks.torch.randomness import random_states_kept

_OF_CUDNN = ("enabled", "benchmark", "deterministic")


def _flag(holder: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """How to get and set an attribute of a module."""
    return lambda: getattr(holder, name), lambda value: setattr(holder, name, value)


# Where torch keeps the precision of convolutions and matrix products since 2.9, under new names.
_PRECISION: list[Any] = [
    part
    for backend, names in (
        (torch.backends.cudnn, ("conv", "rnn")),
        (torch.backends.cuda, ("matmul",)),
        (torch.backends.mkldnn, ("conv", "rnn", "matmul")),
    )
    for name in names
    if hasattr(part := getattr(backend, name, None), "fp32_precision")
]


def _precision() -> list[Any]:
    """The precision of products, by the older names and by the newer ones."""
    old: list[Any] = ["highest", True]  # torch's defaults; once newer names were set, a read raises
    with suppress(RuntimeError):
        old[0] = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        old[1] = torch.backends.cudnn.allow_tf32
    return [*old, *(part.fp32_precision for part in _PRECISION)]


def _set_precision(values: list[Any]) -> None:
    """Set what `_precision` returns; the older names set some of the newer ones, too."""
    matmul, of_cudnn, *newer = values
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = of_cudnn
    for part, value in zip(_PRECISION, newer, strict=True):
        part.fp32_precision = value


def _set_default_device(device: torch.device) -> None:
    """Make a device the default; without a setting torch makes tensors on the CPU, and faster."""
    torch.set_default_device(None)
    if torch.get_default_device() != device:
        torch.set_default_device(device)


# What torch and NumPy keep for the whole process: how to get it, and how to set it.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "grad mode": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "anomaly detection": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the precision of products in float32": (_precision, _set_precision),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "threads of the backward pass": (
        torch._C._is_multithreading_enabled,
        torch._C._set_multithreading_enabled,
    ),
    "the default device": (torch.get_default_device, _set_default_device),
    "autocast": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda on: torch.set_autocast_enabled("cpu", on),
    ),
    "the dtype of autocast": (
        lambda: torch.get_autocast_dtype("cpu"),
        lambda dtype: torch.set_autocast_dtype("cpu", dtype),
    ),
    "NumPy's handling of errors": (np.geterr, lambda handling: np.seterr(**handling)),
    **{f"cuDNN's {name}": _flag(torch.backends.cudnn, name) for name in _OF_CUDNN},
    **{
        f"the {name} kernel of attention": (
            getattr(torch.backends.cuda, f"{name}_sdp_enabled"),
            getattr(torch.backends.cuda, f"enable_{name}_sdp"),
        )
        for name in ("flash", "mem_efficient", "math", "cudnn")
    },
}


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one CPU thread: products are small, and results then do not depend on the core count.

    Two threads that wait for each other are ten times slower where a core is busy elsewhere.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def steady(generators: Sequence[Any] = ()) -> Iterator[None]:
    """Use one CPU thread, and products in full float32, of which TF32 keeps 10 bits.

    Random states are afterwards as they were, those of the generators given, too.
    """
    before = _precision()
    with one_thread(), random_states_kept(generators):
        _set_precision(["highest", False, *("ieee" for _ in _PRECISION)])
        try:
            yield
        finally:
            _set_precision(before)


@contextmanager
def settings_kept(changed: set[str]) -> Iterator[None]:
    """Settings of the process are afterwards as they were; those changed within are added."""
    before = {name: get() for name, (get, _) in _SETTINGS.items()}
    try:
        yield
    finally:
        for name, (get, put) in _SETTINGS.items():
            if get() != before[name]:
                changed.add(name)
                put(before[name])
