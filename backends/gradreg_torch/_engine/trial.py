"""A trial of a graph: can its products be differentiated, and does one example see another?

Products with chosen columns answer, before the first penalty is trusted, and later in the passes 2,
4, 8, … of the same model. A column r that is zero in some examples has Jᵀr = 0 there, unless
examples depend on each other; for any two examples one column is zero in the first alone, and one
in the second alone. And Jᵀr is linear in r, unless a part of the backward pass records no graph
(see `euler`): a gradient through it would be lost without a word.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import batched_trial, coarse, distributed, euler, graph, hooks_trial
from gradreg_torch._engine.columns import column, not_zero, separating, without_pattern
from gradreg_torch._engine.examples import per_row
from gradreg_torch._engine.inputs import Named
from gradreg_torch._engine.linear_trial import require_linear
from gradreg_torch._engine.reverse import Reverse


class Trial(NamedTuple):
    """What a graph showed.

    Parameters
    ----------
    coupled : bool
        Whether an example's output depends on another example's input.
    by_norm : bool
        Whether torch's batch norm is the reason.
    once : str
        What cannot be differentiated twice, in words; "" where all can.
    last : bool
        Whether the gradient of the penalty is the last derivative that is right.
    decided : bool
        Whether the products were numbers other than 0: at a last layer of zeros nothing shows.
    apart : bool
        Whether products of several columns at once are wrong, or were not tried.
    coarse : bool
        Whether factors of products are rounded to fewer bits than they have.
    fresh : bool
        Whether this pass was tried, and not an earlier one with the same graph.
    plain : bool
        Whether the graph has no `torch.autograd.Function`.
    """

    coupled: bool = False
    by_norm: bool = False
    once: str = ""
    last: bool = False
    decided: bool = True
    apart: bool = False
    coarse: bool = False
    fresh: bool = False
    plain: bool = False


# By a parameter that a graph leads to, and the graph's operations: a trial, and how many passes.
_KNOWN: Any = WeakTensorKeyDictionary()
_MOST = 64  # signatures of one parameter
# By the type of a node: its attributes that say on which axes the operation works, and how.
_SAID: dict[type, tuple[str, ...]] = {}
_AXES, _SIZES = ("_saved_dim", "_saved_training"), "_saved_self_sym_sizes"


def tried(at_x: Reverse, found: list[Any], twice: bool, again: bool = False) -> Trial:
    """The trial of a pass with these nodes; `twice` if its products shall be differentiated.

    A model is tried when it is `due`, or, with `again`, at every step. Raises ValueError for a
    graph that no mode can go back through.
    """
    call, several = at_x.call, at_x.output.shape[0] > 1
    of_model = not isinstance(call.model, Tensor)
    if call.parallel:  # by its wrapper, which a signature does not show
        distributed.allowed_logits(found, graph.names(found), of_model)
    parameter = parameter_of(found, call.inputs)
    known = {} if parameter is None else _KNOWN.setdefault(parameter, {})
    asked = twice, call.mode == "reverse", call.batch is None
    signature = (*asked, at_x.together(2), of_model, several, *operations(found))
    trial, passes = known.get(signature, (None, 0))
    if trial is not None:
        known[signature] = trial, passes + 1
        if not (again or due(passes + 1)):
            assert isinstance(trial, Trial)
            return trial
    names = graph.names(found)
    graph.require_input_gradient(names)
    by_norm, last = graph.couples_examples(found, names), graph.wrong_thrice(found, names)
    if distributed.SHARDED in names:  # its hooks take no pass of ours
        return Trial(by_norm, by_norm, last=last, apart=True)
    if not can_be_read(at_x.output):
        once = ", ".join(graph.without_double_backward(names))
        return Trial(by_norm, by_norm, once, last, apart=True)
    trial = try_graph(at_x, found, twice)
    trial = trial._replace(last=last, plain=not graph.of_python(found))
    if trial.decided and graph.HIDDEN not in names:
        keep(known, signature, (trial, passes + 1))
    return trial._replace(fresh=True)


def keep(known: dict[Any, Any], signature: Any, what: Any) -> None:
    """Remember what a graph showed; the oldest is forgotten.

    A model that defines its functions anew in each pass has another signature in each.
    """
    known[signature] = what
    if len(known) > _MOST:
        del known[next(iter(known))]


def due(passes: int) -> bool:
    """Whether a model is to be tried in a pass of this number: 1, 2, 4, 8, …

    A branch that begins with a weight of zero shows nothing in the first pass.
    """
    return passes & (passes - 1) == 0


def parameter_of(found: list[Any], inputs: Named) -> Tensor | None:
    """Return a parameter that the graph with these nodes leads to."""
    own = set(map(id, inputs.values()))
    for node in found:
        if type(node).__name__ == graph.LEAF and id(node.variable) not in own:
            parameter: Tensor = node.variable
            return parameter
    return None


def operations(found: list[Any]) -> list[Any]:
    """Describe nodes: their operations and axes, and whether views keep the first axis.

    Sizes are left out: a batch of another size, or longer sentences, are no other model.
    """
    said: list[Any] = []
    for node in found:
        kind = type(node)
        said.append(kind)
        if kind.__name__ == graph.LEAF:
            continue
        outputs, names = node._input_metadata, _SAID.get(kind)
        try:
            said += [len(output.shape) for output in outputs]
        except RuntimeError as error:  # a nested tensor that is strided has no shape
            raise ValueError(
                "expected a model without strided nested tensors, which torch cannot differentiate "
                "twice, got some; pad sequences with torch.nn.utils.rnn.pad_sequence in their place"
            ) from error
        for name in _attributes(kind) if names is None else names:
            value = getattr(node, name)
            said.append([*value[:1]] == outputs[0].shape[:1] if name == _SIZES else value)
    return said


def _attributes(kind: type) -> tuple[str, ...]:
    """Return the attributes by which nodes of a type say what they do."""
    names = tuple(name for name in vars(kind) if name.startswith(_AXES) or name == _SIZES)
    if not issubclass(kind, graph.OF_PYTHON):  # a model may define such a type anew in each pass
        _SAID[kind] = names
    return names


def try_graph(at_x: Reverse, found: list[Any], twice: bool) -> Trial:
    """A product of all examples, differentiated, and products of some examples each."""
    z = at_x.output
    once = _once(at_x, found) if twice else ""
    by_norm = graph.couples_examples(found)
    coupled, decided, apart = by_norm, True, False
    back, dtypes = partial(_again, at_x), graph.dtypes(found)
    at_s = back(s := without_pattern(z))
    hooked = hooks_trial.changes(at_x, s, at_s, found)
    for i, some in enumerate(separating(len(z), z.device)):
        products = back(r := column(z, some))
        if i == 0:
            require_linear(back, (r, products), (s, at_s), dtypes, graph.custom_functions(found))
            once = once or (hooked if twice else "")
            if twice and not once and at_x.together(2) > 1:
                apart = batched_trial.wrong(at_x, r, graph.tolerance(dtypes))
        others = per_row(~some, at_x.call.batch)
        coupled = coupled or any(not_zero(v[others.to(v.device)]) for v in products)
        decided = decided and any(map(not_zero, products))
    rounded = at_x.call.mode != "reverse" and coarse.is_coarse(back, z, dtypes)
    return Trial(coupled, by_norm, once, decided=decided, apart=apart, coarse=rounded)


def _again(at_x: Reverse, r: Tensor) -> tuple[Tensor, ...]:
    """Jᵀr of a graph that will be gone back through again, by the penalty and by the loss."""
    try:
        return at_x.vjp(r, create_graph=False)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(
            "expected a model whose graph can be gone back through, and more than once, got one "
            f"that says: {str(error).splitlines()[0]} Use the plain model in place of one with "
            "compiled parts, and checkpoints without selection: leave out context_fn"
        ) from error


def _once(at_x: Reverse, found: list[Any]) -> str:
    """Name what cannot be differentiated twice; "" where everything can."""
    z, inputs = at_x.output, set(map(id, at_x.call.inputs.values()))
    leaves = [node.variable for node in found if type(node).__name__ == graph.LEAF]
    plain = [leaf for leaf in leaves if id(leaf) not in inputs and not leaf._backward_hooks]
    r = column(z, torch.ones(z.shape[0], dtype=torch.bool, device=z.device)).requires_grad_()
    try:
        return _lost(at_x, r, plain, found)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        return _words(found) or str(error).splitlines()[0]


def _lost(at_x: Reverse, r: Tensor, plain: list[Tensor], found: list[Any]) -> str:
    """Name what loses a part of the gradient of Jᵀr; "" where Euler's identity holds."""
    products = at_x.vjp(r, create_graph=True)
    recorded = [i for i, v in enumerate(products) if v.requires_grad]

    def back(w: euler.Products) -> Tensor | None:
        if not recorded:
            return None
        some, along = [products[i] for i in recorded], [w[i] for i in recorded]
        return torch.autograd.grad(some, [r, *plain], along, retain_graph=True, allow_unused=True)[
            0
        ]

    def forth(r: Tensor) -> euler.Products:
        return at_x.vjp(r, create_graph=False)

    right = euler.holds(r, products, forth, back, graph.tolerance(graph.dtypes(found)))
    return "" if right else _words(found) or "a function of the model"


def can_be_read(output: Tensor) -> bool:
    """Whether there are values, and nothing forbids to read them."""
    recording = output.is_cuda and torch.cuda.is_current_stream_capturing()
    return not output.is_meta and not recording


def _words(found: list[Any]) -> str:
    """Operations that are known to have no double backward; without one, functions of others."""
    known = graph.without_double_backward(graph.names(found))
    return ", ".join(known or graph.custom_functions(found))
