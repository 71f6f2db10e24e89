"""The map of the claims, made from ledger and catalogues when the documentation is built."""

from collections.abc import Iterator

from gradreg_verify import CLAIMS
from gradreg_verify.claims.claim import Claim
from gradreg_verify.mistakes import torch as functions
from gradreg_verify.mistakes.catalogue import WRONG
from gradreg_verify.mistakes.samplers import WRONG_SAMPLERS

PLACE = "<!-- the map -->"
# Where a mistake stands, the mistakes there, and a line for one of them.
CATALOGUES = (
    ("a formula", WRONG, str),
    ("a law of probes", WRONG_SAMPLERS, str),
    ("a torch function", functions.WRONG, lambda e: f"{e}: {e.formula}; seen: {e.seen}"),
)


def page(source: str) -> str:
    """The page with the map in its place."""
    return source.replace(PLACE, "\n".join([*overview(), *sections()]))


def overview() -> Iterator[str]:
    """A row for every claim."""
    yield "| claim | derivation | checks | mistakes |"
    yield "|---|---|---|---|"
    for claim in CLAIMS:
        count = len(list(mistakes(claim)))
        yield f"| {name(claim)} | {derivation(claim)} | {checks(claim)} | [{count}](#{claim.id}) |"
    yield ""


def sections() -> Iterator[str]:
    """List every claim with the mistakes that break it."""
    for claim in CLAIMS:
        formula = f": `{claim.formula}`" if claim.formula else ""
        yield f"## {claim.id}\n\n{claim.sentence}{formula}.\n"
        yield f"{derivation(claim)} → {name(claim)} → {checks(claim)} → mistakes:\n"
        yield from list(mistakes(claim)) or ["- in no catalogue; a test plants one"]
        yield ""


def name(claim: Claim) -> str:
    """A link to the claim."""
    return f"[{claim.id}](claims.md#{claim.id})"


def derivation(claim: Claim) -> str:
    """A link to the page with the proof."""
    return f"[{claim.page}]({claim.page}.md)"


def checks(claim: Claim) -> str:
    """The functions that check the claim."""
    paths = [(c.__module__.split(".")[-1], c.__qualname__.split(".")[0]) for c in claim.checks]
    return ", ".join(f"`{module}.{function}`" for module, function in paths)


def mistakes(claim: Claim) -> Iterator[str]:
    """A line for every mistake that breaks the claim; as code, for its signs are Markdown's too."""
    for kind, catalogue, line in CATALOGUES:
        for wrong in catalogue:
            if wrong.claim == claim.id:
                yield f"- {kind}: `{line(wrong)}`"
