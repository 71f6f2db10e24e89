"""A name that no other file uses has an underscore, and no other file uses a name that has one."""

import ast
import re
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = (
    "gradreg_ref",
    "backends/gradreg_torch",
    "backends/gradreg_jax",
    "gradreg_verify",
    "cli/gradreg_cli",
    "experiments/gradreg_experiments",
)
USERS = (*PRODUCT, "tests", "benchmarks", "experiments", "docs", "conftest.py", "README.md")
# The kit finds a mistake by its decorator, and the command line what a command consists of.
FOUND = re.compile(r"gradreg_verify\.mistakes\.|gradreg_cli\.\w+\.(MORE|add_options|run)$")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOTTED = re.compile(r"\b(gradreg_\w+(?:\.\w+)*)[.:](\w+)")


def module(path: Path) -> str:
    """The name by which Python imports a file."""
    parts = list(path.with_suffix("").parts)
    start = next((i for i, part in enumerate(parts) if part.startswith("gradreg_")), 0)
    return ".".join(parts[start:]).removesuffix(".__init__")


def defined(tree: ast.Module) -> Iterator[str]:
    """The functions, classes and values of a module, but no word with two underscores."""
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                stored = (n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
                yield from (n.id for n in stored if isinstance(n.ctx, ast.Store))


def used(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) for what a file imports, or reads or patches on an imported module.

    A program in a string, for another process, counts as well.
    """
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if (
                "import gradreg_" in text or "from gradreg_" in text
            ):
                with suppress(SyntaxError):
                    yield from used(ast.parse(textwrap.dedent(text)))
            case ast.ImportFrom(module=str(source), names=names):
                for alias in names:
                    yield source, alias.name
                    imported[alias.asname or alias.name] = f"{source}.{alias.name}"
            case ast.Import(names=names):
                imported |= {a.asname or a.name: a.name for a in names}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Attribute(value=place, attr=name)
                | ast.Call(args=[place, ast.Constant(value=str(name)), *_])
            ):
                head, _, rest = ast.unparse(place).partition(".")
                if head in imported:
                    yield f"{imported[head]}.{rest}".removesuffix("."), name


def sources(root: Path) -> Iterator[tuple[Path, str]]:
    """Every Python file, and the Python of every page."""
    for part in USERS:
        top = root / part
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.suffix == ".py":
                yield path.relative_to(root), path.read_text("utf-8")
            elif path.suffix == ".md":
                yield path.relative_to(root), "\n".join(BLOCK.findall(path.read_text("utf-8")))


def faults(files: dict[Path, str]) -> list[str]:
    """A sentence for each name that needs an underscore, or has one and is used elsewhere."""
    trees = {path: ast.parse(text) for path, text in files.items()}
    uses = {
        (source, name): path
        for path, tree in trees.items()
        for source, name in used(tree)
        if module(path) != source
    }
    for path, text in files.items():
        uses |= {pair: path for pair in DOTTED.findall(text) if module(path) != pair[0]}
    said = []
    for path, tree in trees.items():
        if not str(path).startswith(PRODUCT):
            continue
        for name in sorted(set(defined(tree))):
            here, private = (module(path), name), name.startswith("_")
            if len(name) == 1 or name.startswith("__") or FOUND.match(".".join(here)):
                continue
            if private and here in uses:
                said.append(f"{path}: {uses[here]} uses {name}: take the underscore off")
            elif not private and here not in uses:
                said.append(f"{path}: no other file uses {name}: call it _{name}")
    return said


def test_an_underscore_marks_what_no_other_file_uses() -> None:
    """And only that; a letter of a formula, T or R, keeps its name."""
    said = faults(dict(sources(ROOT)))
    assert not said, "\n".join(said)


def test_the_rule_can_fail() -> None:
    """A function alone in its file, and a private one that another file imports."""
    files = {
        Path("gradreg_ref/one.py"): "def alone(): ...\ndef _shared(): ...\ndef shared(): ...",
        Path("gradreg_ref/two.py"): "from gradreg_ref.one import _shared, shared",
    }
    shared, alone = faults(files)
    assert "no other file uses alone" in alone
    assert "uses _shared" in shared
