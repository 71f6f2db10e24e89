"""Links inside the project lead somewhere. (Those to other sites need a network: not checked.)"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
DRAWN = re.compile(r'^    "(\w+)": \1,$', re.MULTILINE)  # DIAGRAMS, in docs/diagrams.py


def prose(page):
    """Without code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    return re.sub(r"`[^`\n]*`|\$[^$]*\$", "", text)


def anchors(page):
    """Of its headings, as GitHub and MyST make them."""
    heads = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def drawn():
    """What the build of the documentation makes."""
    made = ROOT / "docs" / "images" / "made"
    names = DRAWN.findall((ROOT / "docs" / "diagrams.py").read_text(encoding="utf-8"))
    return {made / f"{name}.svg" for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() or target in drawn(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_a_page_of_many_sections_lists_them():
    """At the top: a narrow window of the site shows no other list."""
    many = 10
    for page in (ROOT / "docs").glob("*.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.M)
        heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
        top = text.partition("\n## ")[0]
        missing = [head for head in heads if f"[{head}](#" not in top]
        assert len(heads) < many or not missing, f"{page.name}: {missing}"


def test_every_page_is_in_the_contents():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\w+$", index, re.MULTILINE))
    assert {page.stem for page in PAGES if page.parent != ROOT} == listed | {"index"}
