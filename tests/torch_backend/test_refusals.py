# ruff: noqa: E501  # one line a case reads as the table that it is
"""Bad input to the torch backend: what was expected, what came, what to do."""

import re
import warnings

import gradreg_torch as gt
import numpy as np
import pytest
import torch
from torch import nn
from torch.masked import masked_tensor

MODEL = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
X = torch.ones(2, 4, dtype=torch.float64)
Y = torch.tensor([0, 2])
NAN = X.clone().index_fill_(0, torch.tensor([1]), torch.nan)
FLOAT8 = torch.float8_e4m3fn
with torch.inference_mode():
    INFERENCE = torch.ones(2, 4, dtype=torch.float64)


def frozen():
    return nn.Linear(4, 3).double().requires_grad_(False)


def broken():
    model = nn.Linear(4, 3).double()
    with torch.no_grad():
        model.weight[0, 0] = torch.nan
    return model


def masked(t):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a prototype
        return masked_tensor(t.detach(), torch.ones(t.shape, dtype=torch.bool))


def nested(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a prototype
        return torch.nested.nested_tensor([x[0], x[1]])


def g():
    return torch.Generator().manual_seed(0)


CASES = {
    "a model that is none": (lambda: gt.frobreg(3, X), "expected a model (callable) or its logits, got int"),
    "x of integers": (lambda: gt.frobreg(MODEL, torch.ones(2, 4, dtype=int)), "differentiate the embeddings"),
    "x complex": (lambda: gt.frobreg(MODEL, X + 0j), "real floating dtype, got torch.complex128"),
    "x a list of lists": (lambda: gt.frobreg(MODEL, [[1.0]]), "expected input 0 to be a tensor, got list"),
    "x a number": (lambda: gt.frobreg(MODEL, 1.0), "tuple or dict of tensors, got 1.0"),
    "x empty": (lambda: gt.frobreg(MODEL, X[:0]), "got (0, 4); skip empty batches"),
    "x of an inference tensor": (lambda: gt.frobreg(MODEL, INFERENCE), "pass x.clone()"),
    "NaN in x": (lambda: gt.frobreg(MODEL, NAN), "expected input 0 finite"),
    "NaN in a parameter": (lambda: gt.frobreg(broken(), X), "expected parameter 'weight' finite"),
    "an infinite output": (lambda: gt.frobreg(lambda x: x / 0, X), "expected output 'logits' finite"),
    "a frozen model": (lambda: gt.frobreg(frozen(), X), "model.eval() to measure it"),
    "probes as a law": (lambda: gt.spectreg(MODEL, X, probe=np.ones((6, 3, 1))), "expected probe to be one of"),
    "a mode that is an array": (lambda: gt.frobreg(MODEL, X, mode=np.ones(2)), "expected mode to be one of"),
    "a list of losses": (lambda: gt.objective(MODEL, X, Y, gt.FrobReg(), loss=["cross_entropy"]), "expected loss to be one of"),
    "x of one axis": (lambda: gt.frobreg(nn.Linear(4, 4), torch.ones(4)), "one example is x[None], scalars x[:, None]"),
    "inputs of two batch sizes": (lambda: gt.frobreg(lambda a, b: a + b, (X, X[:1]), wrt=(0, 1)), "expected inputs of one batch size"),
    "no input named": (lambda: gt.frobreg(MODEL, X, wrt=()), "expected wrt among [0], got ()"),
    "an input named True": (lambda: gt.frobreg(lambda a, b: a + b, (X, X), wrt=True), "got True"),
    "an infinite Jacobian": (lambda: gt.frobreg(lambda x: (x * 0).sqrt() + x, X), "expected a finite penalty"),
    "a projected jacreg of no probes": (lambda: gt.jacreg(MODEL, X, generator=g()), "which belong to the projected form, got num_probes=None"),
    "a loss that is constant": (lambda: gt.doubleback(MODEL, X, Y, loss=lambda z, y: torch.ones(2)), "loss that depends on the outputs"),
    "an objective without a penalty": (lambda: gt.objective(MODEL, X, Y, gt.FrobReg), "expected a penalty such as SpectReg(generator=g)"),
    "DoubleBack beside a loss without a name": (lambda: gt.objective(MODEL, X, Y, gt.DoubleBack(), loss=nn.functional.cross_entropy), "expected DoubleBack(loss=...)"),
    "confidence of a masked class": (lambda: gt.confidence_penalty(torch.tensor([[0.0, -torch.inf]])), "'logits' finite"),
    "two inputs, none named": (lambda: gt.frobreg(MODEL, (X, X)), "expected wrt= to say which"),
    "an unknown input": (lambda: gt.frobreg(MODEL, {"x": X}, wrt="y"), "expected wrt among ['x'], got 'y'"),
    "an input that is not used": (lambda: gt.frobreg(lambda a, b: a, (X, X), wrt=1), "expected logits that depend on x|expected input 1 to reach"),
    "an input that is not used beside one that is": (lambda: gt.frobreg(lambda a, b: a, (X, X), wrt=[0, 1]), "expected input 1 to reach the logits"),
    "a detached output": (lambda: gt.frobreg(lambda x: MODEL(x).detach(), X), "look for detach()"),
    "a detached input": (lambda: gt.frobreg(lambda x: MODEL(x.detach()), X), "expected input 0 to reach the logits"),
    "an output that is a tuple": (lambda: gt.frobreg(lambda x: (x, x), X), "lambda x: model(x)[0]"),
    "an output that is a loss": (lambda: gt.frobreg(lambda x: MODEL(x).sum(), X), "return the logits, not a loss"),
    "an output that is a mean": (lambda: gt.frobreg(lambda x: MODEL(x).mean(0), X), "expected logits with shape (2, ...)"),
    "logits without a graph": (lambda: gt.frobreg(MODEL(X).detach(), X.clone().requires_grad_()), "expected logits with a graph"),
    "logits of an x without grad": (lambda: gt.frobreg(MODEL(X), X), "call x.requires_grad_() before"),
    "logits of another x": (lambda: gt.frobreg(MODEL(X), X.clone().requires_grad_()), "expected input 0 to reach the logits"),
    "no generator": (lambda: gt.spectreg(MODEL, X), "torch.Generator('cpu').manual_seed(seed), got None"),
    "a seed for a generator": (lambda: gt.spectreg(MODEL, X, generator=3), "got 3; randomness is always passed in"),
    "a law of no probes": (lambda: gt.jacreg(MODEL, X, probe="sphere"), "with probe, generator or shared_probe, which belong to the projected form"),
    "three probes that are two": (lambda: gt.spectreg(MODEL, X, probes=torch.ones(2, 3, 2).double(), num_probes=3), "expected probes with 3 columns, as num_probes says, got 2; leave num_probes out"),
    "one probe that is two": (lambda: gt.jacreg(MODEL, X, probes=torch.ones(2, 3, 2).double(), num_probes=1), "expected probes with 1 columns, as num_probes says, got 2"),
    "an unknown law beside probes": (lambda: gt.spectreg(MODEL, X, probes=torch.ones(2, 3, 2).double(), probe="uniform"), "got 'uniform'"),
    "num_probes = m": (lambda: gt.spectreg(MODEL, X, num_probes=3, generator=g()), "num_probes < m = 3, got 3"),
    "num_probes = 0": (lambda: gt.jacreg(MODEL, X, num_probes=0, generator=g()), "whole number >= 1, got 0"),
    "an unknown law": (lambda: gt.spectreg(MODEL, X, probe="uniform", generator=g()), "got 'uniform'"),
    "probes of a wrong shape": (lambda: gt.spectreg(MODEL, X, probes=torch.ones(2, 3).double()), "pass probes[:, :, None]"),
    "probes for the batch": (lambda: gt.spectreg(MODEL, X, probes=torch.ones(1, 3, 1).double()), "pass shared_probe=True"),
    "probes of a wrong dtype": (lambda: gt.spectreg(MODEL, X, probes=torch.ones(2, 3, 1)), "probes.to(logits.dtype)"),
    "probes that are an array": (lambda: gt.spectreg(MODEL, X, probes=X.numpy()), "expected probes to be a tensor, got ndarray"),
    "chunk_size = 0": (lambda: gt.frobreg(MODEL, X, chunk_size=0), "chunk_size to be a whole number >= 1"),
    "an unknown reduction": (lambda: gt.frobreg(MODEL, X, reduction="average"), "none, mean, sum; got 'average'"),
    "label m": (lambda: gt.onehot(MODEL, X, torch.tensor([0, 3])), "labels in [0, 3), got 0 to 3"),
    "label -1": (lambda: gt.doubleback(MODEL, X, torch.tensor([-1, 0])), "got -1 to 0; classes count from 0"),
    "label m in the loss": (lambda: gt.objective(MODEL, X, torch.tensor([0, 3]), gt.FrobReg()), "labels in [0, 3), got 0 to 3"),
    "the label that torch ignores": (lambda: gt.objective(MODEL, X, torch.tensor([-100, 0]), gt.FrobReg(), check_values=False), "got -100 to 0; classes count from 0"),
    "float labels": (lambda: gt.doubleback(MODEL, X, Y.double()), "use y.long()"),
    "bool labels": (lambda: gt.onehot(MODEL, X, Y > 0), "integer dtype, got torch.bool"),
    "labels that are a list": (lambda: gt.onehot(MODEL, X, [0, 1]), "expected y to be a tensor, got list"),
    "labels of shape (n, 1)": (lambda: gt.onehot(MODEL, X, Y[:, None]), "labels with shape (2,), got (2, 1)"),
    "rows that are no probabilities": (lambda: gt.doubleback(MODEL, X, torch.ones(2, 3)), "to be probabilities"),
    "targets that would broadcast": (lambda: gt.doubleback(MODEL, X, torch.ones(2, 1), loss="mean_squared_error"), "broadcasting would compare"),
    "integer targets": (lambda: gt.doubleback(MODEL, X, torch.ones(2, 3, dtype=int), loss="mean_squared_error"), "y.float()"),
    "a mean-reduced loss": (lambda: gt.doubleback(MODEL, X, Y, loss=nn.functional.cross_entropy), "makes DoubleBack 1/B² of itself"),
    "an unknown loss": (lambda: gt.doubleback(MODEL, X, Y, loss="hinge"), "cross_entropy, mean_squared_error; got 'hinge'"),
    "one logit": (lambda: gt.jacreg(nn.Linear(4, 1).double(), X), "return the two logits (0, z)"),
    "cross-entropy of one logit": (lambda: gt.doubleback(nn.Linear(4, 1).double(), X, Y * 0), "at least 2 logits"),
    "classes on no one axis": (lambda: gt.jacreg(lambda x: MODEL(x)[:, :, None], X), "a class axis is needed here"),
    "a per-example training loss": (lambda: gt.objective(MODEL, X, Y, gt.FrobReg(), loss=lambda z, y: z), "training loss to be a scalar"),
    "an unknown option of a twin": (lambda: gt.SpectReg(probs=2), "options of SpectReg among batch, batchnorm"),
    "weight decay of no module": (lambda: gt.weight_decay([X]), "nn.Module, got list"),
    "weight decay of no weights": (lambda: gt.weight_decay(nn.ReLU()), "weights of two axes or more"),
    "confidence of integers": (lambda: gt.confidence_penalty(Y[:, None]), "real floating dtype"),
    "a masked x": (lambda: gt.frobreg(MODEL, masked(X)), "expected input 0 without a mask"),
    "masked logits": (lambda: gt.frobreg(lambda x: masked(MODEL(x)), X), "expected logits without a mask"),
    "confidence of masked logits": (lambda: gt.confidence_penalty(masked(X)), "pass its .to_tensor(value)"),
    "masked probes": (lambda: gt.spectreg(MODEL, X, probes=masked(torch.ones(2, 3, 1).double())), "expected probes without a mask"),
    "a masked R": (lambda: gt.contract(MODEL, X, masked(torch.ones(2, 3, 1).double())), "expected R without a mask"),
    "sparse logits": (lambda: gt.frobreg(lambda x: MODEL(x).to_sparse(), X), "pass logits.to_dense()"),
    "nested logits": (lambda: gt.frobreg(lambda x: nested(x), X), "pass logits.to_padded_tensor(0.0)"),
    "sparse probabilities": (lambda: gt.doubleback(MODEL, X, torch.eye(3)[:2].to_sparse()), "pass y.to_dense()"),
    "a sparse R": (lambda: gt.contract(MODEL, X, torch.ones(2, 3, 1).to_sparse()), "pass R.to_dense()"),
    "sparse probes": (lambda: gt.spectreg(MODEL, X, probes=torch.ones(2, 3, 1).to_sparse()), "pass probes.to_dense()"),
    "lazy batch norm": (lambda: gt.frobreg(nn.Sequential(nn.LazyBatchNorm1d(), MODEL), X), "run model(x) once"),
    "complex logits": (lambda: gt.frobreg(lambda x: torch.complex(x, x), X), "return torch.view_as_real(logits)"),
    "a complex R": (lambda: gt.contract(MODEL, X, torch.ones(2, 3, 1) + 0j), "pass torch.cat([R.real, R.imag], dim=2)"),
    "complex targets": (lambda: gt.doubleback(MODEL, X, torch.ones(2, 3) + 0j, loss="mean_squared_error"), "outputs and y by torch.view_as_real"),
    "weight decay of complex weights": (lambda: gt.weight_decay(nn.Linear(2, 2, dtype=torch.complex64)), "expected real weights, got torch.complex64 at 'weight'"),
    "an input whose name has no hash": (lambda: gt.frobreg(MODEL, X, wrt={}), "expected wrt among [0], got {}"),
    "inputs whose names have none": (lambda: gt.frobreg(MODEL, {"x": X}, wrt=[["x"]]), "expected wrt among ['x'], got [['x']]"),
    "x of 8 bits": (lambda: gt.frobreg(MODEL, X.to(FLOAT8)), "expected input 0 of a floating dtype of 16 bits or more, got torch.float8_e4m3fn"),
    "logits of 8 bits": (lambda: gt.frobreg(lambda x: MODEL(x).to(FLOAT8), X), "expected logits of a floating dtype of 16 bits or more"),
    "an R of 8 bits": (lambda: gt.contract(MODEL, X, torch.ones(2, 3, 1).to(FLOAT8)), "expected R of a floating dtype of 16 bits or more"),
    "probabilities of 8 bits": (lambda: gt.doubleback(MODEL, X, torch.ones(2, 3).to(FLOAT8)), "expected probabilities of a floating dtype of 16 bits or more"),
    "targets of 8 bits": (lambda: gt.doubleback(MODEL, X, torch.ones(2, 3).to(FLOAT8), loss="mean_squared_error"), "expected y of a floating dtype of 16 bits or more"),
    "weights of 8 bits": (lambda: gt.weight_decay(nn.Linear(2, 2).to(FLOAT8)), "expected weight 'weight' of a floating dtype of 16 bits or more"),
    "probes drawn in 8 bits": (lambda: gt.draw_probes("gaussian", 2, 3, generator=g(), dtype=FLOAT8), "expected dtype of a floating dtype of 16 bits or more"),
    "probes drawn in no dtype": (lambda: gt.draw_probes("gaussian", 2, 3, generator=g(), dtype="nope"), "got 'nope'; for example dtype=torch.float32"),
    "probes beyond counting": (lambda: gt.draw_probes("gaussian", 2, 3, 10**30, generator=g()), "expected at most 2⁴⁰ numbers, got probes with 2 · 3 · 10000000"),
    "examples beyond counting": (lambda: gt.draw_probes("onehot", 2**41, 1, generator=g()), "of them; draw fewer"),
    "an identity beyond memory": (lambda: gt.frobreg(lambda x: x[:, :1].expand(2, 2**21), X), "2097152 · 2097152 of them; estimate the penalty with spectreg"),
    "a step in 10³⁰": (lambda: gt.FrobReg(every=10**30), "expected every <= 1099511627776"),
    "confidence of one logit": (lambda: gt.confidence_penalty(X[:, :1]), "at least 2 logits"),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_refuses(what):
    attempt, message = CASES[what]
    pattern = "|".join(re.escape(part) for part in message.split("|"))
    with pytest.raises((ValueError, TypeError), match=pattern):
        attempt()


def test_refuses_inference_mode():
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"under torch\.no_grad\(\)"):
        gt.frobreg(MODEL, X)


def test_checks_that_read_values_can_be_left_out():
    assert gt.frobreg(MODEL, NAN, check_values=False).isnan()


def test_a_generator_of_another_device():
    logits = torch.ones(2, 3, device="meta", requires_grad=True)
    with pytest.raises(
        ValueError, match="expected a generator on meta like the logits, got one on cpu"
    ):
        gt.probes.require_generator(g(), logits)


def test_labels_of_another_device():
    logits = torch.ones(2, 3, device="meta")
    with pytest.raises(ValueError, match=r"move it with y\.to\(logits\.device\)"):
        gt._arguments.labels(Y, logits, reads=False)
