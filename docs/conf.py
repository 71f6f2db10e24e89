"""Sphinx configuration. Mathematics becomes MathML, which browsers draw without any script."""

import html
import re
import sys
from importlib import metadata
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parent))
import diagrams

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
html_math_renderer = "mathml"


def inline(self, node):
    """Mathematics in a line."""
    self.body.append(convert(node.astext()))
    raise SkipNode


def block(self, node):
    """A displayed equation."""
    source = html.escape(node.astext(), quote=True)
    formula = convert(node.astext(), display="block")
    self.body.append(f'<div class="math" title="{source}">{formula}</div>')
    raise SkipNode


def draw(app):
    """The diagrams: they are cheap, and not kept in git."""
    diagrams.write(Path(app.srcdir) / "images" / "made")


def without_comments(_app, _name, source):
    """What marks numbers and tables for the tests is not for readers."""
    source[0] = re.sub(r" ?<!--.*?-->", "", source[0])


def setup(app):
    """Register the renderer, and the drawing."""
    app.connect("builder-inited", draw)
    app.connect("source-read", without_comments)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
