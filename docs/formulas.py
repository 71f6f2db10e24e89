"""Formulas as MathML in STIX Two Math, a font that is subset when the documentation is built."""

import re
from importlib.resources import as_file, files
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
NORM, THIN = "‖|", "0.167em"
MATHML = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", MATHML)


def mathml(source: str, *, display: bool = False) -> str:
    """Return the formula as MathML, with the spaces that TeX would give it."""
    root = ElementTree.fromstring(convert(source, display="block" if display else "inline"))
    for element in root.iter():
        word = element.text or ""
        name = element.tag.removeprefix(f"{{{MATHML}}}")
        if name == "mo" and word and word in NORM and "minsize" not in element.attrib:
            # A norm's bars keep their height, or its exponent moves away from it.
            element.attrib |= {"stretchy": "false", "lspace": "0", "rspace": "0"}
        elif name in ("mo", "mi") and re.fullmatch("[A-Za-z]{2,}", word):  # tr, log, Var
            element.tag = f"{{{MATHML}}}mo"
            element.attrib |= {"lspace": THIN, "rspace": THIN, "movablelimits": "false"}
    return ElementTree.tostring(root, encoding="unicode")


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
