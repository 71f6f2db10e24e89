"""What a penalty is declared to be, and what its signature says."""

from functools import partial

import pytest

from gradreg_verify import Declaration, declare, verify
from gradreg_verify.subject.signature import arguments_of, name_of, required


def test_a_declaration_reads_as_a_sentence():
    d = Declaration("spectreg", probe="sphere", scale=0.5, num_probes=2, reduction="sum")
    assert str(d) == "0.5 × batch sum of spectreg, 2 sphere probes"
    assert str(Declaration("doubleback")) == "batch mean of doubleback, cross_entropy"


def test_spectreg_has_gaussian_probes_unless_said_and_jacreg_none():
    assert Declaration("spectreg").probe == "gaussian"
    assert Declaration("jacreg").probe is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "ridge"}, "expected kind to be one of frobreg"),
        ({"kind": "frobreg", "probe": "sphere"}, "expected no probe= for frobreg"),
        ({"kind": "spectreg", "probe": "uniform"}, "expected probe to be one of gaussian"),
        ({"kind": "jacreg", "num_probes": 2}, "expected probe= with num_probes"),
        ({"kind": "frobreg", "side": "input"}, "'input' is for spectreg"),
        ({"kind": "frobreg", "scale": 0.0}, "expected scale to be finite and not 0"),
        ({"kind": "frobreg", "scale": float("nan")}, "expected scale to be finite and not 0"),
        ({"kind": "frobreg", "reduction": "max"}, "expected reduction to be one of"),
        ({"kind": "spectreg", "num_probes": 0}, "whole number >= 1"),
        ({"kind": "frobreg", "arguments": ("net",)}, "expected arguments to be one of model"),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Declaration(**options)


def test_the_decorator_keeps_the_function():
    @declare("frobreg", scale=0.5)
    def penalty(model, x):
        return model, x

    assert penalty(1, 2) == (1, 2)
    assert penalty.gradreg_declaration == Declaration("frobreg", scale=0.5)


def test_no_declaration_is_refused_with_an_example():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="kind='frobreg'; or put @declare"):
        verify(lambda model, x: None)


def test_no_function_is_refused():
    with pytest.raises(TypeError, match="expected a backend or a function, got 3"):
        verify(3, "frobreg")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda model, x: 0, ("model", "x")),
        (lambda net, inputs, labels: 0, ("model", "x", "y")),
        (lambda x, logits: 0, ("x", "logits")),
        (lambda outputs, x: 0, ("logits", "x")),
        (lambda critic, x, lam=10: 0, ("model", "x")),
        (lambda model, x, *, generator=None, probes=None: 0, ("model", "x", "generator", "probes")),
        (lambda model, x, *args, **options: 0, ("model", "x")),
        (partial(lambda model, x, y, power: 0, power=2), ("model", "x", "y")),
        (partial(lambda model, x, generator: 0, generator=1), ("model", "x")),
    ],
)
def test_arguments_are_read_off_names(function, arguments):
    assert arguments_of(function) == arguments


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a, b: 0, "got 'a'; say what they are in order"),
        (lambda x: 0, "expected a function of"),
        (lambda: 0, "expected a function of"),
    ],
)
def test_names_that_say_nothing_are_refused(function, message):
    with pytest.raises(ValueError, match=message):
        arguments_of(function)


def test_required_probes():
    assert required(lambda model, x, probes: 0, "probes")
    assert not required(lambda model, x, probes=None: 0, "probes")
    assert not required(lambda model, x: 0, "probes")


def test_names():
    assert name_of(partial(declare, probe="sphere")) == "declare(probe='sphere')"
    assert name_of(Declaration("frobreg")) == "Declaration"
