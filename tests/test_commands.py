"""The commands that README and docs show: the command line accepts each."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import gradreg_cli as cli
import pytest
from parsers import every

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINE = re.compile(r"^(?:\$ |    )(\w.*)$", re.MULTILINE)
RUN_AS_MODULE = re.compile(r"^(?:torchrun|python) .*-m (\S+)")


def commands():
    """Every command of the project that a page shows, in words."""
    for page in PAGES:
        for line in LINE.findall(page.read_text(encoding="utf-8")):
            for command in map(str.strip, line.split("&&")):
                if command.startswith("gradreg ") or RUN_AS_MODULE.match(command):
                    yield pytest.param(command, id=f"{page.stem}: {command}")


def examples():
    """Every example that a help shows."""
    for point in cli.entry_points(group=cli.GROUP):
        for parser in every(cli.parser(point.name)):
            shown = re.findall(r"^  (gradreg .*)$", parser.epilog or "", re.MULTILINE)
            yield parser.prog, [line.partition("  ")[0] for line in shown]


@pytest.mark.parametrize(("program", "shown"), [pytest.param(p, s, id=p) for p, s in examples()])
def test_a_help_shows_examples_that_are_accepted(program, shown):
    assert any(line.startswith(program) for line in shown)
    for line in shown:
        words = shlex.split(line)[1:]
        if words == ["help", "verify"]:
            continue
        assert cli.parsed(words).command == words[0]


@pytest.mark.parametrize("command", list(commands()))
def test_the_command_line_accepts(command):
    words = shlex.split(command)
    if "-m" in words:
        words = words[words.index("-m") + 1 :]
        assert find_spec(f"{words[0]}.__main__"), f"python -m {words[0]} runs nothing"
    assert cli.parsed(words[1:]).command == words[1]
