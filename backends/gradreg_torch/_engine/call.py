"""What a user may pass to a penalty, checked in one place before anything runs."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias, TypedDict

import torch
from torch import Tensor, nn

from gradreg_torch._engine import batch_norm, checks, distributed, examples
from gradreg_torch._engine.contraction import Contraction
from gradreg_torch._engine.graph import in_transform, is_functional
from gradreg_torch._engine.inputs import Inputs, Named, Wrt, first_of, leaves, own
from gradreg_torch._engine.model import Model, require_trainable
from gradreg_torch._engine.outputs import require_finite_pass, require_output
from gradreg_torch._engine.parts import Buffers, in_training
from gradreg_torch._engine.sums import REDUCTIONS

MODES = ("auto", "reverse", "forward", "finite_difference", "one_sided_difference")
ModelOrLogits: TypeAlias = Callable[..., Tensor] | Tensor


class Options(TypedDict, total=False):
    """Options of every penalty on the Jacobian, documented in `gradreg_torch.frobreg`."""

    mode: str
    batchnorm: str
    wrt: Wrt
    reduction: str
    chunk_size: int | None
    check_values: bool | None
    batch: Tensor | None


class Call(NamedTuple):
    """A checked call: what to run, on which leaves, and what was asked for.

    Parameters
    ----------
    model : Model or Tensor
        The user's model, or the logits that it returned.
    inputs : dict of Tensors (n, …)
        The leaves with respect to which J is taken, by name or position.
    mode, reduction, chunk_size
        As asked for.
    policy : str
        What happens to batch norm in training mode, see `batch_norm`.
    create_graph : bool
        Whether the penalty will be differentiated: grad mode at the call.
    reads : bool
        Whether checks that read values run (by default not on an accelerator: they would wait).
    reads_if_tried : bool
        Whether they run in a pass that is tried, where values are read anyway.
    update_statistics : bool
        Whether running statistics move: once a step, in the pass that the loss is taken from.
    functional : bool
        Whether `torch.compile` or a transform of `torch.func` runs the call.
    parallel : bool
        Whether there is a process group.
    batch : Tensor (N,), optional
        The example that each row of x belongs to, where it is not one row per example.
    """

    model: Model | Tensor
    inputs: Named
    mode: str
    reduction: str
    chunk_size: int | None
    policy: str
    create_graph: bool
    reads: bool
    reads_if_tried: bool
    update_statistics: bool
    functional: bool
    parallel: bool
    batch: Tensor | None = None

    def accept(self, output: Any, moved: Buffers | None = None) -> Tensor:
        """The model's output, checked; buffers that moved in a pure pass are kept."""
        rows = None if self.batch is not None else first_of(self.inputs).shape[0]
        z = require_output(output, rows, grad=not (self.functional and in_transform()))
        if self.reads:
            self.require_values(z)
        if moved and self.update_statistics and isinstance(self.model, Model):
            self.model.keep(moved)
        return z

    def after(self, z: Tensor) -> "Call":
        """The call after a pass that was tried: values are read from now on."""
        if self.reads or not self.reads_if_tried:
            return self
        self.require_values(z.detach())
        return self._replace(reads=True)

    def require_values(self, z: Tensor) -> None:
        """Raise ValueError for what only the values of inputs and output show."""
        if self.batch is not None:
            examples.require_range(self.batch, z.shape[0])
        require_finite_pass(self.inputs, z, getattr(self.model, "function", None))


def checked(
    model: ModelOrLogits,
    x: Inputs,
    R: Contraction,
    create_graph: bool,
    update_statistics: bool,
    *,
    mode: str = "auto",
    batchnorm: str = "batch",
    wrt: Wrt = None,
    reduction: str = "mean",
    chunk_size: int | None = None,
    check_values: bool | None = None,
    batch: Tensor | None = None,
) -> Call:
    """The call, or an error that says what to pass instead; runs in grad mode."""
    if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
        raise RuntimeError(
            "expected grad mode or no_grad, got inference mode, which records no graph; "
            "evaluate penalties under torch.no_grad() instead"
        )
    require_known(mode, batchnorm, reduction, chunk_size, check_values)
    functional = is_functional()
    inputs = leaves(x, wrt, functional)
    reads = reads_values(inputs.values(), check_values, functional)
    if mode != "auto":
        _require_mode(mode, model, R, inputs)
    if batch is not None:
        examples.require_batch(batch, first_of(inputs), reads)
        if mode == "forward":
            raise ValueError(
                "expected mode='reverse' or 'finite_difference' with batch, got 'forward', whose "
                "columns have the length of one example's inputs; here examples have several rows"
            )
    policy = batch_norm.OWN_R if batchnorm == "batch" and R.same_for_all else batchnorm
    run: Model | Tensor
    if isinstance(model, Tensor):
        checks.graph_reaches(model, inputs)
        policy = batch_norm.OF_LOGITS if batchnorm == "eval" else policy
        run = model
    else:
        checks.is_callable(model)
        run = Model(model, x, policy)
        # A transform may differentiate in tensors that require no grad.
        trains = create_graph and isinstance(model, nn.Module) and in_training(model)
        if trains and not (functional and in_transform()):
            require_trainable(run.parts, inputs)
        inputs = {name: own(tensor, functional) for name, tensor in inputs.items()}
    return Call(
        *(run, inputs, mode, reduction, chunk_size and int(chunk_size), policy),
        *(create_graph, reads, check_values is not False, update_statistics, functional),
        *(distributed.parallel(), batch),
    )


def require_known(
    mode: str = "auto",
    batchnorm: str = "batch",
    reduction: str = "mean",
    chunk_size: int | None = None,
    check_values: bool | None = None,
    **_: Any,
) -> None:
    """Raise ValueError or TypeError for a value that an option cannot have."""
    for name, value, known in (
        ("mode", mode, MODES),
        ("batchnorm", batchnorm, batch_norm.POLICIES),
        ("reduction", reduction, REDUCTIONS),
    ):
        if not isinstance(value, str) or value not in known:
            checks.choice(name, value, known)
    if chunk_size is not None:
        checks.count("chunk_size", chunk_size)
    if not isinstance(check_values, bool | None):
        raise TypeError(f"expected check_values=True, False or None, got {check_values!r:.60}")


def require_forward_mode(R: Contraction | type[Contraction]) -> None:
    """Raise ValueError unless columns may be of the inputs."""
    if not R.forward_mode:
        # One vector-Jacobian product would take a Jacobian-vector product for every coordinate.
        raise ValueError(
            "expected mode='reverse' or 'finite_difference', got 'forward': one gradient would "
            "take a product for every input coordinate"
        )


def _require_mode(mode: str, model: ModelOrLogits, R: Contraction, inputs: Named) -> None:
    """Raise ValueError or TypeError unless the mode fits model, R and inputs."""
    if mode == "forward":
        require_forward_mode(R)
    if isinstance(model, Tensor) and mode != "reverse":
        raise ValueError(
            f"expected mode='reverse' where logits are passed, got {mode!r}, which runs the model "
            "itself; pass the model in place of logits"
        )
    if "difference" in mode:
        checks.at_least_single(t.dtype for t in inputs.values())


def reads_values(tensors: Iterable[Tensor], check_values: bool | None, functional: bool) -> bool:
    """Whether checks read values: by default if all tensors are on the CPU (no synchronisation)."""
    if functional:
        return False
    if check_values is None:
        return all(t.is_cpu for t in tensors)
    return check_values
