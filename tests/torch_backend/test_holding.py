"""The modules behind a callable: wherever Python lets a callable keep one."""

import gc
from collections import ChainMap, UserDict, deque
from functools import lru_cache, partial
from types import MappingProxyType, ModuleType
from weakref import WeakSet, WeakValueDictionary, ref

import gradreg_torch as gt
import pytest
import torch
from gradreg_torch._engine.holding import held_modules
from gradreg_torch.check.held import Held
from torch import nn

MODEL = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
OTHER = nn.Linear(1, 1)
LIBRARY = ModuleType("library")
LIBRARY.net, LIBRARY.other = MODEL, OTHER
X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
R = torch.randn(6, 3, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Slots:
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held

    def __call__(self, x):
        return self.held(x)


class OfClass:
    model, others = MODEL, ()

    def __call__(self, x):
        return self.model(x)

    @staticmethod
    def static(x):
        return OfClass.model(x)


class Through:
    def __call__(self, x):
        return self.first(x)

    def first(self, x):
        return self.second(x)

    def second(self, x):
        return MODEL(x)

    def unused(self, x):
        return OTHER(x)


def kept(holder, get):
    return lambda x: get(holder)(x)


def keyword(x, m=MODEL):
    return m(x)


def keyword_only(x, *, m=MODEL):
    return m(x)


def of_a_module(x):
    return LIBRARY.net(x)


def inside(x):
    return (lambda t: MODEL(t))(x)


WEAK = ref(MODEL)
FIRST = lambda holder: next(iter(holder))  # noqa: E731
A = lambda holder: holder["a"]  # noqa: E731
HOLDERS = {
    "a set": kept({MODEL}, FIRST),
    "a frozen set": kept(frozenset({MODEL}), FIRST),
    "a deque": kept(deque([MODEL]), FIRST),
    "a mapping proxy": kept(MappingProxyType({"a": MODEL}), A),
    "a mapping of one's own": kept(UserDict(a=MODEL), A),
    "a chain of mappings": kept(ChainMap({}, {"a": MODEL}), A),
    "keys": kept({MODEL: 1}, FIRST),
    "a view of values": kept({"a": MODEL}.values(), FIRST),
    "nested containers": kept([{"a": ({MODEL},)}], lambda c: next(iter(c[0]["a"][0]))),
    "after many numbers": kept([0] * 500 + [MODEL], lambda c: c[-1]),
    "a weak reference": lambda x: WEAK()(x),
    "a weak set": kept(WeakSet([MODEL]), FIRST),
    "a weak dict": kept(WeakValueDictionary(a=MODEL), A),
    "a default": keyword,
    "a keyword default": keyword_only,
    "a function inside": inside,
    "another module's global": of_a_module,
    "slots": Slots(MODEL),
    "a slot of an object": kept(Slots(MODEL), lambda c: c.held),
    "an attribute of the class": OfClass(),
    "a static method": OfClass.static,
    "a method that calls a method": Through(),
    "such a method, bound": Through().first,
    "a method of a builtin": kept({"a": MODEL}.get, lambda get: get("a")),
    "a partial of a keyword": partial(lambda x, m: m(x), m=MODEL),
    "a cache": lru_cache(lambda x: MODEL(x)),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_a_module_is_found(name):
    assert held_modules(HOLDERS[name]) == (MODEL,)


@pytest.mark.parametrize("name", HOLDERS)
def test_statistics_of_a_held_module_stay(name):
    """What a module that is not found would lose."""
    before = [b.clone() for b in MODEL.buffers()]
    gt.spectreg(HOLDERS[name], X, probes=R)
    assert all(torch.equal(a, b) for a, b in zip(before, MODEL.buffers(), strict=True))


def test_a_container_that_holds_itself_ends():
    holder = [MODEL]
    holder.append(holder)
    assert held_modules(kept(holder, FIRST)) == (MODEL,)


class Keeping(nn.Module):
    """A module that keeps another where `modules()` does not look."""

    def __init__(self, held, get):
        super().__init__()
        self.last = nn.Linear(3, 3).double()
        self.held, self.get = held, get

    def forward(self, x):
        return self.last(self.get(self.held)(x))


def aside(model):
    """Set past `nn.Module.__setattr__`, as people keep a teacher out of the parameters."""
    keeping = Keeping(None, None)
    vars(keeping).update(held=model, get=lambda held: held)
    return keeping


KEEPING = {
    "a list": lambda model: Keeping([model], FIRST),
    "a dict": lambda model: Keeping({"a": model}, A),
    "a function": lambda model: Keeping(lambda x: model(x), lambda f: f),
    "a partial": lambda model: Keeping(partial(lambda m, x: m(x), model), lambda f: f),
    "a bound method": lambda model: Keeping(model.forward, lambda f: f),
    "set aside": aside,
    "a part of a part": lambda model: nn.Sequential(Keeping([model], FIRST)),
    "kept by what is kept": lambda model: Keeping([Keeping([model], FIRST)], FIRST),
}


@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
def test_statistics_of_a_module_that_is_not_registered(name, mode):
    """A penalty by itself moved them; an objective moves them once."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    keeping, twin = KEEPING[name](model), nn.BatchNorm1d(5).double()
    gt.spectreg(keeping, X, probes=R, mode=mode)
    gt.spectreg(lambda x: keeping(x), X, probes=R, mode=mode)
    assert torch.equal(model[1].running_mean, twin.running_mean)
    twin(model[0](X))
    y = torch.zeros(6, dtype=torch.int64)
    gt.objective(keeping, X, y, gt.SpectReg(mode=mode), probes=R)
    assert torch.equal(model[1].running_mean, twin.running_mean)


def test_a_check_converts_what_is_not_registered():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    keeping = Keeping([model], FIRST).float()
    report = gt.check_model(keeping, X.float(), torch.zeros(6, dtype=torch.int64))
    assert report["gradient"].right is True, report
    assert report.ok, report


def test_what_holds_a_module_is_not_held_by_it():
    """A trainer, or a wrapper that a part knows: neither is a part of the model."""
    inner = Keeping([MODEL], FIRST)
    outer = nn.Sequential(inner)
    inner.owner = [outer]
    assert gt._engine.unregistered.unregistered(inner) == [MODEL]


def test_a_module_is_let_go():
    model = Keeping([nn.Linear(4, 3).double()], FIRST)
    gt.frobreg(model, X)
    alive = ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_a_model_of_this_package_holds_no_model_that_was_seen_before():
    """Our tables remember every model: a check moved the parameters of all of them."""
    other, model = nn.Sequential(nn.Linear(4, 3)), nn.Linear(4, 3)
    gt.frobreg(other, torch.ones(2, 4))
    gt.frobreg(lambda x: other(x), torch.ones(2, 4))
    assert held_modules(Held(model)) == (model,)
