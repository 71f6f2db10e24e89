"""Sphinx configuration. Formulas become MathML, which browsers draw without any script."""

import html
import re
import sys
from importlib import metadata
from pathlib import Path

from docutils.nodes import SkipNode

sys.path.insert(0, str(Path(__file__).parent))
import claim_map
import diagrams
import formulas

project = "gradreg-ref"
author = copyright = "The gradreg-ref developers"
try:
    release = metadata.version("gradreg-ref")
except metadata.PackageNotFoundError:  # the docs build without the package
    release = ""

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_typehints = "none"  # the docstrings have them, with shapes
autodoc_member_order = "bysource"
default_role = "py:obj"  # `frobreg` in a docstring is a link
napoleon_google_docstring = False
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "requirements.txt"]

html_theme = "furo"
html_title = "gradreg-ref"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"


def inline(self, node):
    """Write the mathematics in a line."""
    self.body.append(formulas.mathml(node.astext()))
    raise SkipNode


def block(self, node):
    """Write a displayed equation; its title is the TeX source, to copy."""
    source = html.escape(node.astext(), quote=True)
    formula = formulas.mathml(node.astext(), display=True)
    self.body.append(f'<div class="math-display" title="{source}">{formula}</div>')
    raise SkipNode


def draw(app):
    """Draw the diagrams. Git does not keep them."""
    diagrams.write(Path(app.srcdir) / "images" / "made")


def write_font(app, exception):
    """Write the mathematical font beside the style sheet that names it."""
    if exception is None and app.builder.format == "html":
        formulas.write_font(Path(app.outdir) / "_static" / "stix-two-math.woff2")


def draw_map(_app, name, source):
    """Make the map of the claims."""
    if name == "map":
        source[0] = claim_map.page(source[0])


def without_comments(_app, _name, source):
    """Remove the comments that mark numbers and tables for the tests."""
    source[0] = re.sub(r" ?<!--.*?-->", "", source[0])


def setup(app):
    """Register the renderer, the drawing and the font."""
    app.connect("builder-inited", draw)
    app.connect("source-read", draw_map)
    app.connect("source-read", without_comments)
    app.connect("build-finished", write_font)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
