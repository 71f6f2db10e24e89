"""The modules behind a callable: wherever Python lets a callable keep one."""

from collections import ChainMap, UserDict, deque
from functools import lru_cache, partial
from types import MappingProxyType, ModuleType
from weakref import WeakSet, WeakValueDictionary, ref

import gradreg_torch as gt
import pytest
import torch
from gradreg_torch._engine.holding import held_modules
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
