"""The code of docs/recipes.md runs against the real libraries, each in a process of its own."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import forks
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
SECTIONS = {
    title: "".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    for title, text in re.findall(
        r"^## ([^\n]*)\n(.*?)(?=^## |\Z)",
        PAGE.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
}
FIRST = "A plain loop"
# Sections, and what they need beside torch; those of Keras choose its backend and stand alone.
NEEDS = {
    FIRST: (),
    "Token models": (),
    "Robot policies": (),
    "Discriminators": (),
    "Language models": ("transformers",),
    "Neural ODEs": (),
    "Matching a known Jacobian": (),
    "A compiled step": (),
    "Mixed precision": (),
    "Accumulation, clipping, schedules": (),
    "Resuming from a checkpoint": (),
    "Lightning": ("lightning",),
    "Accelerate": ("accelerate",),
    "Hugging Face Trainer": ("transformers", "accelerate"),
    "skorch": ("skorch",),
    "Keras on torch": ("keras",),
    "Keras on JAX": ("keras", "jax"),
}


pytestmark = pytest.mark.xdist_group("recipes")


@pytest.fixture
def status(tmp_path, monkeypatch):
    """The exit status of code in a process of its own: a fork of a process that imported torch."""
    monkeypatch.chdir(tmp_path)

    def run(code):
        process = forks.context().Process(target=exec, args=(code, {"__name__": "__main__"}))
        process.start()
        process.join(300)
        process.kill()
        process.join()
        return process.exitcode

    return run


@pytest.mark.parametrize("title", NEEDS)
def test_a_recipe_runs(title, status):
    for library in NEEDS[title]:
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    alone = title == FIRST or title.startswith("Keras")
    code = SECTIONS[title] if alone else SECTIONS[FIRST] + SECTIONS[title]
    assert status(code) == 0


def test_the_page_states_the_versions_that_are_installed():
    """The session `recipes` of the noxfile installs them."""
    noxfile = ast.parse((PAGE.parents[1] / "noxfile.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: node.value
        for node in noxfile.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    torch, jax, trainers = (ast.literal_eval(values[n]) for n in ("TORCH", "JAX", "TRAINERS"))
    installed = {torch, jax[0], *trainers}
    stated = re.findall(r"`(\w+[=>]=[\d.]+)`", PAGE.read_text(encoding="utf-8"))
    assert set(stated) == installed


def test_every_section_with_code_is_run():
    assert {title for title, code in SECTIONS.items() if code} == set(NEEDS)


def test_another_network_is_seen(status):
    code = SECTIONS[FIRST] + "\nassert same(model)\nassert not same(network())\n"
    assert status(code) == 0
    assert status(f"{code}assert False") == 1
