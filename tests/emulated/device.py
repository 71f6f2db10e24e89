"""An emulated accelerator of torch, "emulated:0": pytest's plugin ``-p tests.emulated.device``.

Its memory and its arithmetic are the CPU's (`device.cpp`). What is tested on it is what an
accelerator forbids or does in another way: tensors of two devices in one operation, a generator of
another device, tensors in float64 (`float64(False)`, as on Apple's GPUs), factors of products with
fewer bits (`tf32()`, as on NVIDIA's), and sums in another order each time (`unordered()`).
"""

import sysconfig
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from gradreg_torch._engine.float64 import float64_device
from torch.utils import cpp_extension

NAME = "emulated"
_SOURCE = Path(__file__).with_name("device.cpp")


def _built() -> ModuleType:
    """The extension, compiled where this version of torch has none yet (half a minute)."""
    folder = Path(sysconfig.get_path("purelib")) / f"gradreg_emulated_device_{torch.__version__}"
    folder.mkdir(exist_ok=True)
    return cpp_extension.load(
        "gradreg_emulated_device", [str(_SOURCE)], ["-O0"], build_directory=str(folder)
    )


def _module(device: ModuleType) -> ModuleType:
    """`torch.emulated`, with what torch asks of `torch.cuda`."""
    module = ModuleType(f"torch.{NAME}")
    module.is_available = module.is_initialized = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.device = lambda _: nullcontext()
    module._is_in_bad_fork = lambda: False
    module._initialized = True
    module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    module.get_device_properties = lambda _=0: SimpleNamespace(name="emulated", total_memory=0)
    module.synchronize = lambda _=0: None
    module.manual_seed_all = device.manual_seed
    module.get_rng_state = lambda _=0: device.get_rng_state()
    module.set_rng_state = lambda state, _=0: device.set_rng_state(state)
    return module


torch.utils.rename_privateuse1_backend(NAME)
_DEVICE = _built()
torch._register_device_module(NAME, _module(_DEVICE))
torch.utils.generate_methods_for_privateuse1_backend()


@contextmanager
def float64(has: bool):
    """Whether the device has float64, inside the context."""
    before = _DEVICE.float64(has)
    float64_device.cache_clear()
    try:
        yield
    finally:
        _DEVICE.float64(before)
        float64_device.cache_clear()


@contextmanager
def tf32():
    """Convolutions and products of matrices round their factors to 10 bits, inside the context."""
    settings = torch.backends.cudnn, torch.backends.cuda.matmul
    before, rounded = [s.allow_tf32 for s in settings], _DEVICE.rounded_products(True)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        _DEVICE.rounded_products(rounded)
        for setting, value in zip(settings, before, strict=True):
            setting.allow_tf32 = value


@contextmanager
def unordered():
    """Sums are added in another order each time, inside the context."""
    before = _DEVICE.unordered(True)
    try:
        yield
    finally:
        _DEVICE.unordered(before)
