"""Threads that train models of their own: the numbers are those of one thread."""

from threading import Event, Thread

import gradreg_torch as gt
import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

X = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
R = torch.ones(5, 3, 1, dtype=torch.float64)
V = torch.ones(5, 24, 1, dtype=torch.float64)


class Net(nn.Module):
    """Attention; one of its passes meets another thread."""

    patience = 0.2  # of two threads that may not overlap, one waits in vain

    def __init__(self, begun=None, go_on=None, meets_in=1):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True).double()
        self.head = nn.Linear(6, 3).double()
        self.begun, self.go_on = begun, go_on
        self.passes, self.meets_in = 0, meets_in

    def forward(self, x):
        self.passes += 1
        if self.begun is not None and self.passes == self.meets_in:
            self.begun.set()
            self.go_on.wait(self.patience)
        return self.head(self.layer(x).mean(1))


def started(net, mode, result, event):
    """A thread whose pass has come to its event."""
    thread = Thread(target=found, args=(net, mode, result))
    thread.start()
    assert event.wait(10)
    return thread


def found(net, mode, result):
    try:
        probes = V if mode == "forward" else R
        value = gt.spectreg(net, X, probes=probes, mode=mode)
        result += [value, *torch.autograd.grad(value, [*net.parameters()], allow_unused=True)]
    except Exception as error:
        result.append(error)


def overlapping(make, mode):
    """What two networks give whose passes begin and end in turns."""
    first_in, second_in, first_out = Event(), Event(), Event()
    first, second = make(first_in, second_in), make(second_in, first_out)
    results = [], []
    a = started(first, mode, results[0], first_in)
    b = Thread(target=found, args=(second, mode, results[1]))
    b.start()
    a.join()
    first_out.set()
    b.join()
    return results


@pytest.mark.parametrize("mode", ["reverse", "auto", "forward", "finite_difference"])
def test_passes_that_overlap_take_nothing_from_each_other(mode):
    """In forward mode the value was 0; else attention was refused, or differences taken."""
    found(Net(), mode, alone := [])
    for result in overlapping(Net, mode):
        for got, expected in zip(result, alone, strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("enabled", [True, False])
def test_settings_are_afterwards_as_they_were(enabled):
    before = torch.backends.cuda.flash_sdp_enabled()
    torch.backends.cuda.enable_flash_sdp(enabled)
    first_in, second_in = Event(), Event()
    net = Net(first_in, second_in)
    net.patience = 60.0
    thread = started(net, "reverse", [], first_in)
    assert not torch.backends.cuda.flash_sdp_enabled()
    found(Net(), "reverse", [])  # begins later, and ends earlier
    assert not torch.backends.cuda.flash_sdp_enabled()
    second_in.set()
    thread.join()
    afterwards = torch.backends.cuda.flash_sdp_enabled()
    torch.backends.cuda.enable_flash_sdp(before)
    assert afterwards is enabled


@pytest.mark.parametrize("num_probes", [1, 2])
def test_forward_mode_of_others_is_named(num_probes):
    """Its end would take the tangents of ours."""
    refused = pytest.raises(ValueError, match=r"expected no forward mode .* in progress")
    with forward_ad.dual_level(), refused:
        gt.spectreg(Net(), X, probes=V.expand(5, 24, num_probes), mode="forward")
    # The remedy.
    with forward_ad.dual_level():
        gt.spectreg(Net(), X, probes=R, mode="reverse")


def test_differences_notice_another_thread_that_draws():
    """Of few dropped units, another mask is less than the tenth that a difference may be off."""

    class Drawing(nn.Module):
        """Its first pass is interrupted by a thread that draws from the global generator."""

        passes = 0

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(24, 64).double(), nn.Linear(64, 3).double()

        def forward(self, x):
            Drawing.passes += 1
            if Drawing.passes == interrupted:
                (other := Thread(target=torch.rand, args=(1,))).start()
                other.join()
            return self.last(torch.tanh(nn.functional.dropout(self.first(x.flatten(1)), 0.02)))

    interrupted = 0
    net = Drawing()
    gt.spectreg(net, X, probes=R, mode="finite_difference")
    Drawing.passes, interrupted = 0, 1
    with pytest.raises(ValueError, match=r"as many random numbers .* another thread draws from it"):
        gt.spectreg(net, X, probes=R, mode="finite_difference")


class Cube(torch.autograd.Function):
    """Passes that are tried note its arguments."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class Cubed(Net):
    """It meets the other thread in the pass of the trial."""

    def __init__(self, *meeting):
        super().__init__(*meeting, meets_in=2)

    def forward(self, x):
        return Cube.apply(super().forward(x))


def test_a_function_that_two_threads_try_is_afterwards_its_own():
    own = vars(Cube)["forward"]
    for result in overlapping(Cubed, "reverse"):
        assert result[0] > 0
    assert vars(Cube)["forward"] is own
