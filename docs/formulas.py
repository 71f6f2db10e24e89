"""Formulas as MathML in STIX Two Math, a font that is subset when the documentation is built."""

import logging
import re
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from fontTools import subset
from latex2mathml.converter import convert

# Latin, Greek, punctuation and letters, arrows and operators, brackets, mathematical alphabets.
CHARACTERS = (
    *range(0x20, 0x180),
    *range(0x300, 0x400),
    *range(0x2000, 0x2400),
    *range(0x27C0, 0x2800),
    *range(0x1D400, 0x1D800),
)
MATHML = "http://www.w3.org/1998/Math/MathML"
NORM, OPENING, SIGNS, THIN, NONE = "‖|", "([{⟨,=≤≥", "−+±", "0.167em", "0"
# latex2mathml leaves the name of a delimiter after \Bigl and the like.
DELIMITERS = {r"\langle": "⟨", r"\rangle": "⟩"}
ElementTree.register_namespace("", MATHML)
logging.getLogger("fontTools").setLevel(logging.WARNING)  # subset reports every table


def mathml(source: str, *, display: bool = False) -> str:
    """Return the formula as MathML, with the spaces that TeX would give it."""
    root = ElementTree.fromstring(convert(source, display="block" if display else "inline"))
    for element in root.iter(f"{{{MATHML}}}mo"):
        element.text = DELIMITERS.get(element.text or "", element.text)
    if "\\" in "".join(root.itertext()):
        raise ValueError(
            f"expected TeX that latex2mathml knows, got {source!r}; rewrite the formula, or extend "
            "DELIMITERS in docs/formulas.py"
        )
    for row in root.iter():
        before = "("
        for element, following in pairwise([*row, None]):
            after = (following is not None and following.text) or ""
            space(element, before, after)
            before = element.text or "x"  # a fraction, an index: no operator
    return ElementTree.tostring(root, encoding="unicode")


def space(element: ElementTree.Element, before: str, after: str) -> None:
    """Set the spaces around one operator, given its neighbours in the row."""
    word = element.text or ""
    if element.tag.rpartition("}")[2] in ("mo", "mi") and re.fullmatch("[A-Za-z]{2,}", word):
        element.tag = f"{{{MATHML}}}mo"  # tr, log, Var
        element.attrib |= {"lspace": NONE if before in OPENING else THIN, "movablelimits": "false"}
        element.attrib["rspace"] = NONE if after in ("(", "[") else THIN
    elif element.tag != f"{{{MATHML}}}mo" or "fence" in element.attrib or not word:
        return
    elif word in NORM:  # bars keep their height, or the exponent moves away from them
        element.attrib |= {"stretchy": "false", "lspace": NONE, "rspace": NONE}
    elif word in "/∂∇" or (word in SIGNS and before in OPENING):
        element.attrib |= {"lspace": NONE, "rspace": NONE}


def write_font(path: Path) -> None:
    """Write the characters of formulas from the font that ziamath ships (OFL 1.1), as WOFF2."""
    options = subset.Options(flavor="woff2", layout_features=["*"], hinting=False)
    with as_file(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf") as source:
        font = subset.load_font(str(source), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=CHARACTERS)
    subsetter.subset(font)
    path.parent.mkdir(parents=True, exist_ok=True)
    subset.save_font(font, str(path), options)
