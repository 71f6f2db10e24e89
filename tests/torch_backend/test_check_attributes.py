"""`check_model` puts back what a pass changes beside parameters and buffers, and names it."""

import copy
import random
from collections import deque

import gradreg_torch as gt
import numpy as np
import pytest
import torch
from torch import nn

N = 6
Y = torch.tensor([0, 1, 2, 0, 1, 2])


class Kept:
    """An object of the user's."""

    def __init__(self):
        self.v = torch.zeros(5)


class Layer(nn.Module):
    """tanh, with a state of its own that `move` changes; it may act on the result."""

    def __init__(self, state, move):
        super().__init__()
        self.state, self.move = state, move

    def forward(self, h):
        return torch.tanh(h) * (1 + self.move(self, h.detach()))


def net(layer):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), layer, nn.Linear(5, 3)), torch.randn(N, 4)


def last(m, h):
    m.last = m.state = h
    return 0


def appended(m, h):
    m.state.append(h)
    return 0


def added(m, h):
    m.state |= {float(h.sum())}
    return 0


def in_dict(m, h):
    m.state["last"], m.state["count"] = h, m.state["count"] + 1
    return 0


def counted(m, h):
    m.state += 1
    return 0.1 * m.state


def inside(m, h):
    m.state.add_(0.1)
    return m.state.to(h)


def by_numpy(m, h):
    m.state += 0.1
    return torch.from_numpy(m.state).to(h)


def of_object(m, h):
    m.state.v = m.state.v + 0.1
    return m.state.v.to(h)


def drawn(m, h):
    return torch.rand(5, generator=m.state).to(h)


def drawn_by_numpy(m, h):
    return torch.from_numpy(m.state.random(5)).to(h)


def drawn_by_python(m, h):
    return m.state.random()


def drawn_globally(m, h):
    return float(np.random.random()) + random.random()


# What a pass changes, whether later passes differ, and the state to compare.
STATES = {
    "the last activations": (lambda: None, last, False),
    "a list": (list, appended, False),
    "a deque": (lambda: deque(maxlen=2), appended, False),
    "a set": (set, added, False),
    "a dict": (lambda: {"count": 0}, in_dict, False),
    "a number": (lambda: 0, counted, True),
    "a tensor, in place": (lambda: torch.zeros(5), inside, True),
    "an array": (lambda: np.zeros(5), by_numpy, True),
    "an object": (Kept, of_object, True),
    "torch's generator": (lambda: torch.Generator().manual_seed(0), drawn, True),
    "NumPy's generator": (lambda: np.random.default_rng(0), drawn_by_numpy, True),
    "Python's generator": (lambda: random.Random(0), drawn_by_python, True),
    "global generators": (lambda: None, drawn_globally, True),
}


def content(state):
    """What a state holds, to compare."""
    if isinstance(state, torch.Generator):
        return state.get_state().tolist()
    if isinstance(state, np.random.Generator):
        return state.bit_generator.state
    if isinstance(state, random.Random):
        return state.getstate()
    if isinstance(state, Kept):
        return state.v.tolist()
    return state.tolist() if hasattr(state, "tolist") else copy.copy(state)


@pytest.mark.parametrize("name", STATES)
def test_states_are_put_back_and_named_where_they_act(name):
    make, move, acts = STATES[name]
    model, x = net(Layer(make(), move))
    state, before = model[1].state, content(model[1].state)
    generators = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    names = set(vars(model[1]))
    report = gt.check_model(model, x, Y)
    assert model[1].state is state
    assert content(state) == before
    assert set(vars(model[1])) == names
    after = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    assert after == generators
    assert report["unchanged"].right is True
    assert report["gradient"].right is True, report
    assert report["repeatable"].right is not acts
    if acts:
        said = "random state" if name == "global generators" else "1.state"
        assert said in report["repeatable"].text


def test_what_a_closure_or_a_hook_holds():
    model, x = net(nn.Tanh())
    seen, counts, kept = [], {"n": 0}, torch.zeros(5)
    model[0].register_forward_hook(lambda m, args, out: seen.append(out.detach()))

    def counting(x):
        counts["n"] += 1
        kept.add_(1)
        return model(x)

    report = gt.check_model(counting, x, Y)
    assert (seen, counts) == ([], {"n": 0})
    assert not kept.any()
    assert report.ok


def test_a_view_of_a_parameter_is_no_state():
    """The differences move the parameter: the view must not take it back."""
    model, x = net(nn.Tanh())
    model[0].alias, model[0].all = model[0].weight.detach(), list(model.parameters())
    assert gt.check_model(model, x, Y)["gradient"].right is True


def test_nothing_that_torch_func_wraps_is_left_behind():
    """The forward mode that the check measures left a dead tensor, which no copy.deepcopy takes."""
    model, x = net(Layer(None, last))
    gt.check_model(model, x, Y)
    copy.deepcopy(model)
    gt.frobreg(model, x, mode="forward")  # a model that was run there before may be checked
    assert gt.check_model(model, x, Y).ok


def test_a_pass_that_raises_leaves_nothing_either():
    model, x = net(Layer([], appended))
    model[2] = nn.Linear(4, 3)
    assert not gt.check_model(model, x, Y).ok
    assert model[1].state == []
