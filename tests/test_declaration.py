"""What a penalty is declared to be, and what its signature says."""

import argparse
from functools import partial

import gradreg_cli as cli
import pytest
from gradreg_cli.parser import given, sizes

from gradreg_verify import Declaration, declare, verify
from gradreg_verify.examples import bundled
from gradreg_verify.subject.signature import arguments_of, name_of, required
from gradreg_verify.subject.suited import fits, suited


def test_a_declaration_reads_as_a_sentence():
    d = Declaration("spectreg", probe="sphere", scale=0.5, num_probes=2, reduction="sum")
    assert str(d) == "0.5 × batch sum of spectreg, 2 sphere probes"
    assert str(Declaration("doubleback")) == "batch mean of doubleback, cross_entropy"


def test_spectreg_has_gaussian_probes_unless_said_and_jacreg_none():
    assert Declaration("spectreg").probe == "gaussian"
    assert Declaration("jacreg").probe is None


def test_r1_is_frobreg_of_one_output():
    assert Declaration("r1", scale=5) == Declaration("frobreg", scale=5, outputs=1)
    assert Declaration("r1", outputs=1) == Declaration("r1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "ridge"}, "expected kind to be one of frobreg"),
        ({"kind": "frobreg", "probe": "sphere"}, "expected no probe= for frobreg"),
        ({"kind": "spectreg", "probe": "uniform"}, "expected probe to be one of gaussian"),
        ({"kind": "jacreg", "num_probes": 2}, "expected probe= with num_probes.*pass the law"),
        ({"kind": "frobreg", "num_probes": 2}, "got none for frobreg; leave both out"),
        ({"kind": "frobreg", "side": "input"}, "'input' is for spectreg"),
        ({"kind": "frobreg", "scale": 0.0}, "expected scale to be other than 0"),
        ({"kind": "frobreg", "scale": float("nan")}, "expected scale to be a finite number"),
        ({"kind": "frobreg", "scale": "0.5"}, "expected scale to be a finite number, got '0.5'"),
        ({"kind": "frobreg", "reduction": "max"}, "expected reduction to be one of"),
        ({"kind": "spectreg", "num_probes": 0}, "whole number >= 1"),
        ({"kind": "frobreg", "arguments": ("net",)}, "expected arguments to be one of model"),
        ({"kind": "spectreg", "outputs": 1}, "no outputs, square or input for spectreg.*; average"),
        ({"kind": "weight_decay", "square": True}, "expected no outputs, square or input for wei"),
        ({"kind": "frobreg", "outputs": 0}, "whole number >= 1"),
        ({"kind": "r1", "outputs": 2}, "expected outputs=1 for r1, got 2"),
        ({"kind": "r1", "probe": "sphere"}, "expected no probe= for frobreg"),
        ({"kind": "doubleback", "outputs": 1}, "expected outputs >= 2 for doubleback"),
        ({"kind": "frobreg", "input": (8, 8)}, r"or \(channels, height, width\), got \(8, 8\)"),
        ({"kind": "frobreg", "input": (3, 0, 8)}, "expected input sizes to be a whole number >= 1"),
        ({"kind": "frobreg", "input": (3, 8.0, 8)}, "expected input sizes to be a whole number"),
        ({"kind": "frobreg", "outputs": 10**30}, "expected at most 1000000 outputs"),
        ({"kind": "frobreg", "input": (3, 10**4, 10**4)}, "expected at most 1000000 outputs and"),
        ({"kind": "frobreg", "square": True, "outputs": 3, "input": (4,)}, "got 3 and 4"),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Declaration(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"square": "False"}, "expected square to be True or False, got 'False'"),
        ({"shared_probe": 1}, "expected shared_probe to be True or False, got 1"),
        ({"arguments": "model,x"}, r"expected arguments as a tuple, \('model', 'x'\) say"),
        ({"input": 784}, r"expected input as a tuple, \(3, 8, 8\) say, got 784"),
    ],
)
def test_what_has_another_type_is_refused(options, message):
    with pytest.raises(TypeError, match=message):
        Declaration("frobreg", **options)


def test_lists_are_tuples():
    given = Declaration("frobreg", arguments=["model", "x"], input=[3, 8, 8])
    assert given == Declaration("frobreg", arguments=("model", "x"), input=(3, 8, 8))
    assert hash(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": None}, "expected seed to be a whole number >= 0, got None"),
        ({"seed": -1}, "expected seed to be a whole number >= 0, got -1"),
        ({"seed": 10**30}, "expected seed < 2147483648"),
        ({"time_limit": None}, "expected time_limit to be a finite number, got None"),
        ({"time_limit": float("inf")}, "expected time_limit to be a finite number, got inf"),
        ({"time_limit": 0}, "expected time_limit > 0 and <= 604800 seconds, got 0"),
        ({"time_limit": 10**30}, "expected time_limit > 0 and <= 604800 seconds"),
        ({"dtypes": "float32"}, r"expected dtypes as a tuple, \('float32',\) say, got 'float32'"),
        ({"waivers": ["probe-law"]}, "expected waivers as a dict of reasons"),
        ({"framework": ["torch"]}, r"expected a backend among .*; got \['torch'\]"),
    ],
)
def test_options_of_verify_that_are_none_are_refused(options, message):
    """They gave a report in which nothing was tested, or Python's own words."""
    with pytest.raises((ValueError, TypeError), match=message):
        verify(lambda model, x: x, "frobreg", **options)


SHAPES = [
    ({"outputs": 1}, ", 1 output"),
    ({"outputs": 3, "input": (5,)}, ", 3 outputs, inputs 5"),
    ({"square": True}, ", as many outputs as inputs"),
    ({"square": True, "outputs": 2}, ", 2 outputs, as many outputs as inputs"),
    ({"input": (3, 8, 8)}, ", inputs 3×8×8"),
    ({"input": (1, 1, 7), "outputs": 1}, ", 1 output, inputs 1×1×7"),
]


@pytest.mark.parametrize(("options", "words"), SHAPES)
def test_networks_of_a_declared_shape(options, words):
    d = Declaration("frobreg", **options)
    assert str(d) == f"batch mean of frobreg{words}"
    examples = list(suited(d))
    assert all(fits(d, e) for e in examples)
    assert {len(e.x) for e in examples} == {1, 2, 5}
    assert {e.exact for e in examples} == {True, False}
    assert not all(fits(d, e) for e in suited(Declaration("frobreg")))


def test_networks_of_all_shapes_where_nothing_is_said():
    said, bundled_ones = suited(Declaration("frobreg")), bundled()
    assert [str(e) for e in said] == [str(e) for e in bundled_ones]


def test_a_shape_on_the_command_line():
    assert sizes("3x8x8") == (3, 8, 8)
    assert sizes("5") == (5,)
    with pytest.raises(argparse.ArgumentTypeError, match="expected sizes as in 3x8x8, got '3y'"):
        sizes("3y")


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
        (lambda D, real: 0, ("model", "x")),
        (lambda model, x, *, generator=None, probes=None: 0, ("model", "x", "generator", "probes")),
        (lambda model, x, *args, **options: 0, ("model", "x")),
        (partial(lambda model, x, y, power: 0, power=2), ("model", "x", "y")),
        (partial(lambda model, x, generator: 0, generator=1), ("model", "x")),
    ],
)
def test_arguments_are_read_off_names(function, arguments):
    assert arguments_of(function) == arguments


class JacobianReg:
    def forward(self, x, y):
        return x, y


def test_the_choice_that_agrees_with_the_names_comes_first():
    with pytest.raises(ValueError, match="in order:\n  --arguments x,logits: x"):
        arguments_of(lambda x, what: 0)
    with pytest.raises(ValueError, match="in order:\n  --arguments logits,x: what"):
        arguments_of(lambda what, x: 0)


@pytest.mark.parametrize(
    ("function", "choices"),
    [
        (
            JacobianReg().forward,
            [
                "--arguments x,logits: x is the inputs, y is the model's outputs",
                "--arguments logits,x: x is the model's outputs, y is the inputs",
                "--arguments model,x: x is the model, y is the inputs",
            ],
        ),
        (lambda a, b, c=0: 0, ["--arguments model,x: a is the model, b is the inputs"]),
        (lambda a, y, w: 0, ["--arguments model,params,x: a is the model, y is its parameters"]),
        (lambda x: 0, ["--arguments logits: x is the model's outputs"]),
        (lambda: 0, ["in order, as in --arguments model,x,y"]),
        (lambda a, b, c, d: 0, ["in order, as in --arguments model,x,y"]),
    ],
)
def test_names_that_say_nothing_get_their_choices(function, choices):
    with pytest.raises(ValueError, match="expected parameters whose names say") as raised:
        arguments_of(function)
    assert all(choice in str(raised.value) for choice in choices)


@pytest.mark.parametrize("arguments", [(), ("x", "logits")])
def test_a_class_is_told_to_be_an_instance(arguments):
    with pytest.raises(ValueError, match=r"got the class JacobianReg; write penalty = Jaco.*\(\)"):
        verify(JacobianReg, "frobreg", arguments=arguments)


def test_required_probes():
    assert required(lambda model, x, probes: 0, "probes")
    assert not required(lambda model, x, probes=None: 0, "probes")
    assert not required(lambda model, x: 0, "probes")


def test_names():
    assert name_of(partial(declare, probe="sphere")) == "declare(probe='sphere')"
    assert name_of(Declaration("frobreg")) == "Declaration"


def test_what_was_given_is_recorded_as_words_that_give_it_again():
    words = ["--kind", "frobreg", "--square", "--input", "3x8x8", "--arguments", "model,x"]
    words += ["--time-limit", "2.5", "--dtype", "float32", "--dtype", "float16"]
    parser = cli.parser("verify")
    names = "kind square input arguments time_limit dtype device seed"
    arguments = parser.parse_args(["verify", "f.py:f", *words])
    assert given(arguments, names) == words
    assert given(parser.parse_args(["verify", "f.py:f"]), names) == []
