"""Running the claims on an implementation."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from time import perf_counter
from typing import Any

from gradreg_ref import checks
from gradreg_verify.claims.claim import Claim
from gradreg_verify.claims.comparison import LIMIT
from gradreg_verify.claims.draws import evidence
from gradreg_verify.claims.laws import every_shape
from gradreg_verify.claims.ledger import BY_ID, CLAIMS, claim_of
from gradreg_verify.claims.target import Target, target_of
from gradreg_verify.diagnosis.diagnose import diagnose
from gradreg_verify.examples import Example
from gradreg_verify.frameworks.registry import Backend
from gradreg_verify.outcomes import Broken, Hung, NotAsked, NotHere, NotTestable, largest, raised
from gradreg_verify.report.report import Report, Result, provenance
from gradreg_verify.subject import watch
from gradreg_verify.subject.handover import TIERS
from gradreg_verify.text import printable

_Progress = Callable[[Result], None]


def verify(
    implementation: Backend | Callable[..., Any],
    kind: str | None = None,
    *,
    framework: str = "torch",
    device: str = "cpu",
    dtypes: tuple[str, ...] | None = None,
    seed: int = 4,
    profile: str = "ci",
    time_limit: float = 10.0,
    waivers: Mapping[str, str] | None = None,
    progress: _Progress = lambda _: None,
    **declared: Any,
) -> Report:
    """Run every claim on the bundled examples; deterministic for a given seed.

    Parameters
    ----------
    implementation : Backend or callable
        A backend (of `frameworks.registry.load`, or an object with its methods), or one penalty: a
        function of ``(model, x)``, ``(model, x, y)``, ``(x, logits)``, … in a framework.
    kind, declared
        What the function should compute: the parameters of `Declaration`, here or in the decorator
        `declare`.
    framework : str
        The backend whose models the function takes.
    device, dtypes
        The device, and the dtypes in which rounding is checked: by default float32, if the
        framework has it. Formulas are checked in float64.
    seed : int
        Seed of everything that is drawn.
    profile : {"ci", "long"}
        "long" draws more probes, and also checks as many random examples, made from the seed.
    time_limit : float
        Seconds of CPU time for one call of a function. By the clock a call may take six times as
        long. The first call of a kind, which imports and compiles, has the limit by the clock only.
        A function that does not return is not called again: this claim and all later claims are
        NOT-TESTED.
    waivers : mapping, optional
        Claim id to the reason why its failure is accepted.
    progress : callable
        Called with every result, in order.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        The declaration is missing or contradicts itself, `waivers` has an unknown claim, or an
        option has an impossible value.
    BackendUnavailable
        The framework or the device is missing.
    """
    _require_usable(dtypes, seed, time_limit, waivers)
    target = target_of(implementation, kind, framework, device, seed, time_limit, declared)
    draws, more = PROFILES[checks.choice("profile", profile, PROFILES)]
    target = replace(target, draws=draws, dtypes=_dtypes_of(target, dtypes))
    with getattr(target.backend, "steady", nullcontext)():
        examples = [e for s in (0, *range(seed, seed + more)) for e in target.examples(s)]
        return _report_on(target, examples, waivers or {}, progress)


def _require_usable(dtypes: Any, seed: Any, time_limit: Any, waivers: Any) -> None:
    """Raise ValueError or TypeError for options of `verify` that it cannot have."""
    checks.count("seed", seed, least=0)
    if seed >= _SEEDS:
        raise ValueError(f"expected seed < {_SEEDS}, got {seed}")
    watch.require_seconds("time_limit", time_limit)
    if not isinstance(dtypes, tuple | list | None):
        raise TypeError(f"expected dtypes as a tuple, ('float32',) say, got {dtypes!r:.60}")
    if not isinstance(waivers, Mapping | None):
        raise TypeError(f"expected waivers as a dict of reasons, got {waivers!r:.60}")


def assert_conforms(
    implementation: Backend | Callable[..., Any], kind: str | None = None, **options: Any
) -> None:
    """Raise AssertionError, with the whole report, unless every claim holds.

    Parameters
    ----------
    implementation, kind, options
        As in `verify`.

    Raises
    ------
    AssertionError
        A claim fails, or none could be checked.
    """
    report = verify(implementation, kind, **options)
    if not report.ok:
        raise AssertionError(str(report))


# Draws of each law, and how many sets of random examples beside the bundled ones.
PROFILES = {"ci": (4000, 0), "long": (24000, 3)}
_SEEDS = 2**31  # a thousand times as large, a seed is still one that every generator takes


def _report_on(
    target: Target, examples: list[Example], waivers: Mapping[str, str], progress: _Progress
) -> Report:
    """Run every claim, and find out what is wrong where one fails."""
    results = tuple(_run_all(target, examples, waivers, progress))
    broken = [r for r in results if r.verdict == "FAIL"]
    one, answered = target.declared, not any(r.hung for r in results)
    # Whether the tests of probes were run to their end.
    tested = answered and any(r.claim.id == "probe-law" and r.verdict == "PASS" for r in results)
    probed = filter(BY_ID["probe-law"].applies, examples)
    tier = "argument" if one is None or not answered else one.probes.tier
    return Report(
        target=target.backend.name,
        declared="all penalties" if one is None else str(one.declaration),
        tier=TIERS[tier] if answered else "not known: a call did not return",
        framework=target.backend.capabilities().framework,
        device=target.device,
        dtypes=target.dtypes,
        seed=target.seed,
        results=results,
        diagnosis=diagnose(target, broken[0].claim) if broken and one and answered else None,
        provenance=provenance(target),
        evidence=evidence(target, probed) if tested else None,
    )


def _dtypes_of(target: Target, asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """The lower precisions to check."""
    here = [d for d in target.backend.capabilities().dtypes if d != "float64"]
    usual = ("float32",) if "float32" in here else ()
    return usual if asked is None else tuple(checks.choice("dtypes", d, here) for d in asked)


def _run_all(
    target: Target, examples: list[Example], waivers: Mapping[str, str], progress: _Progress
) -> list[Result]:
    """Check all claims in order; once nothing can be asked any more, the rest is NOT-TESTED."""
    waivers = {claim_of(name).id: reason for name, reason in waivers.items()}
    no_answer = preflight(target)  # then the first claim says so
    over = ""
    results: list[Result] = []
    for claim in CLAIMS:
        start = perf_counter()
        wrong = [r.claim.id for r in results if r.verdict in ("FAIL", "WAIVED")]
        if target.declaration is not None and not claim.about(target.declaration):
            result = Result(claim, "NOT-APPLICABLE", "")
        elif over:
            result = Result(claim, "NOT-TESTED", over)
        elif claim.id == "rounding-bounded" and wrong:
            result = Result(claim, "NOT-TESTED", f"no formula to compare with: see {wrong[0]}")
        else:
            result = _judged(claim, target, examples, no_answer)
            over = f"see {claim.id}" if result.hung or no_answer is not None else ""
        if result.verdict == "FAIL" and claim.id in waivers:
            figure = f"{waivers[claim.id]} ({result.figure})"
            result = replace(result, verdict="WAIVED", figure=figure)
        results.append(replace(result, seconds=perf_counter() - start))
        progress(results[-1])
    return results


def _judged(
    claim: Claim, target: Target, examples: list[Example], no_answer: Broken | Hung | None
) -> Result:
    """The verdict on one claim."""
    try:
        if no_answer is not None:
            raise no_answer
        return run(claim, target, examples)
    except Broken as broken:
        return Result(claim, "FAIL", printable(str(broken)))
    except Hung as hung:
        return Result(claim, "NOT-TESTED", str(hung), hung=True)


def preflight(target: Target) -> Broken | Hung | None:
    """Make one plain call, and say what is wrong with an answer that is none."""
    if target.declared is None:
        return None
    try:
        largest(every_shape(target, next(target.examples())))
    except (Broken, Hung) as no_answer:
        return no_answer
    except NotTestable:
        return None
    except Exception as error:  # whatever comes of what the function did
        return Broken(f"raised {raised(error)}")
    return None


def run(claim: Claim, target: Target, examples: list[Example]) -> Result:
    """One claim on all examples it applies to; `Broken` at the first that breaks it."""
    most, shown_on = 0.0, 0
    left_out: list[str] = []
    for check in claim.checks:
        made, missed, reason = 0, 0, "no example shows it"
        for e in filter(claim.applies, examples):
            try:
                most = max(most, largest(check(target, e)))
                made += 1
            except NotAsked:
                reason = ""
                break
            except NotHere as why:
                reason = reason if missed else str(why)
            except NotTestable as why:
                missed, reason = missed + 1, str(why)
            except Broken as broken:
                raise Broken(f"{e}: {broken}") from broken
            except Exception as error:  # whatever a backend under test raises
                raise Broken(f"{e}: raised {raised(error)}") from error
        shown_on = max(shown_on, made)
        if reason and (missed or not made):
            where = f" on {missed} of {made + missed} examples" if made else ""
            left_out.append(f"{check.__name__.replace('_', ' ').strip()}{where} ({reason})")
    if not shown_on:
        return Result(claim, "NOT-TESTED", "; ".join(left_out))
    own_limit = claim.id in ("rounding-bounded", "finite-differences")
    what = f"off by {most:.1e} ({LIMIT:g} allowed)" if most else "as expected"
    what = f"{most:.0%} of the bound" if own_limit else what
    figure = f"{what} on {shown_on} example{'s' * (shown_on > 1)}"
    if claim.id == "probe-law" and (tested := evidence(target, filter(claim.applies, examples))):
        figure += f"; {tested}"
    return Result(claim, "PASS", figure, tuple(left_out))
