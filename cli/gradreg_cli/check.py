"""Check a penalty on your own torch model before it trains.

Check a penalty on a torch model with random inputs and labels: compare the penalty's gradient with
differences of its value, find examples that depend on each other, measure the cost of a step, and
suggest a grid for λ. The exit status is 1 if something is wrong. docs/check.md explains every line.

examples:
  gradreg check model.py:build --input 8x3x32x32
  gradreg check package.models:Net --input 8x784 --penalty doubleback
"""

import argparse
from typing import Any

from gradreg_cli.parser import add_seed, sizes
from gradreg_cli.terminal import columns, fold, is_terminal, say
from gradreg_ref import checks
from gradreg_ref.penalties import PENALTIES

# The penalties that need no R from the user.
_KINDS = [row.name for row in PENALTIES.values() if row.of == "jacobian" and not row.given_R]


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = command.add_argument
    add("model", help="a model, or a function that builds one: file.py:name or package.module:name")
    text = "shape of a batch of inputs; the first size is the number of examples"
    add("--input", required=True, type=sizes, metavar="8x3x32x32", help=text)
    text = "penalty to check (default: spectreg, or frobreg for a model with one output)"
    add("--penalty", choices=_KINDS, help=text)
    add(
        "--mode",
        default="auto",
        help="how products with the Jacobian are computed: auto (default), reverse, forward, "
        "finite_difference or one_sided_difference",
    )
    add("--device", default="cpu", help="a device that `gradreg backends` lists (default: cpu)")
    add("--eval", action="store_true", help="check the model in evaluation mode")
    add_seed(command, "seed of inputs and probes (default: 0)", 0)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 1 where something is wrong."""
    if len(arguments.input) < 2:
        raise ValueError(
            "expected --input with the batch and the shape of an example, such as 8x3x32x32, got "
            f"{arguments.input[0]} alone"
        )
    from gradreg_verify.frameworks.registry import load, require_device

    backend = load("torch")  # says what to install
    require_device(backend, arguments.device)
    checks.choice("--mode", arguments.mode, backend.capabilities().modes)
    import gradreg_torch
    import torch

    from gradreg_verify.subject.locate import locate

    torch.manual_seed(arguments.seed)
    model = _built(locate(arguments.model), arguments.model).to(arguments.device)
    model.train(not arguments.eval)
    try:
        x = torch.randn(arguments.input, device=arguments.device)
    except (RuntimeError, TypeError) as error:  # of memory; of a size beyond torch's numbers
        shape = "x".join(map(str, arguments.input))
        raise ValueError(f"expected an --input that fits the memory, got {shape}") from error
    z = _logits(model, x)
    row = PENALTIES[arguments.penalty or ("frobreg" if z[0].numel() == 1 else "spectreg")]
    options: dict[str, Any] = {"mode": arguments.mode}
    if row.probes == "always":
        options["generator"] = torch.Generator(arguments.device).manual_seed(arguments.seed)
    # Labels 0, 1, … where there are classes.
    y = torch.arange(len(x)).to(x.device) % z.shape[1] if z.ndim == 2 and z.shape[1] > 1 else None
    try:
        penalty = getattr(gradreg_torch, row.title)(**options)
        report = gradreg_torch.check_model(model, x, y, penalty)
    except TypeError as error:
        raise ValueError(str(error)) from error
    say(_shown(report))
    return 0 if report.ok else 1


def _shown(report: Any) -> str:
    """The report as it prints itself; on a narrower terminal, the text below each name."""
    table = str(report)
    if not is_terminal() or max(map(len, table.splitlines())) <= columns():
        return table
    lines = [report.subject]
    for finding in report.findings:
        mark = {True: "ok", False: "WRONG", None: "-"}[finding.right]
        lines += [f"{mark} {finding.name}", f"  {finding.text}"]
        lines += [f"  > {finding.remedy}"] if finding.remedy else []
    return fold("\n".join(lines))


def _built(found: Any, name: str) -> Any:
    """The module itself, or the module that a function or class without arguments makes."""
    from torch import nn

    from gradreg_verify.outcomes import raised

    try:
        model = found if isinstance(found, nn.Module) else found()
    except Exception as error:
        raise ValueError(
            f"expected {name}() to build a model without arguments, but it raised {raised(error)}"
        ) from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"expected {name} to be or to build a torch.nn.Module, got {type(model).__name__}"
        )
    return model


def _logits(model: Any, x: Any) -> Any:
    """The model's output at x; a sentence if the model raises an error."""
    import torch

    from gradreg_verify.outcomes import raised

    try:
        with torch.no_grad():
            z = model(x)
    except Exception as error:
        first_line = next(iter(raised(error).splitlines()))
        raise ValueError(
            f"expected a model of x {tuple(x.shape)}, but it raised {first_line}; x holds random "
            "normal numbers: pass the --input of a batch, as in 8x3x32x32, or, if the model takes "
            "integers such as tokens, a function that builds the part of the model behind its "
            "embedding"
        ) from error
    z = getattr(z, "logits", z)
    if not isinstance(z, torch.Tensor) or z.ndim == 0 or len(z) != len(x):
        raise ValueError(
            f"expected a model that returns logits, one row per example, got {type(z).__name__} "
            f"{tuple(getattr(z, 'shape', ()))}; name a function that builds a model of logits"
        )
    return z
