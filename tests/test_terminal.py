"""The command line as people meet it: help, near misses, narrow and odd terminals, few letters."""

import ast
import io
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import gradreg_cli as cli
import pytest
from gradreg_cli import terminal
from parsers import every

ROOT = Path(__file__).parents[1]
COMMANDS = ("agree", "backends", "cite", "data", "quickstart")
COMMANDS += ("reproduce", "train", "tune", "vectors", "verify")


def stopped(capsys, *argv):
    """Status and what was printed by a command that argparse ends."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(argv))
    out, err = capsys.readouterr()
    return end.value.code, out + err


def test_alone_it_says_what_it_can_do_and_where_to_start(capsys):
    for argv in ([], ["help"], ["-h"], ["--help"]):
        status, said = stopped(capsys, *argv)
        assert status == 0
        assert "where to start:\n  gradreg quickstart" in said
        assert all(f"\n  {name} " in said for name in COMMANDS)


def test_all_of_it_is_seen_on_a_terminal_of_24_lines(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = stopped(capsys)[1].splitlines()
    assert len(lines) < 24, "the prompt has a line too"
    assert max(map(len, lines)) <= 80


def test_help_of_a_command_and_of_its_part(capsys):
    assert "usage: gradreg verify" in stopped(capsys, "help", "verify")[1]
    assert "usage: gradreg vectors [-h]" in stopped(capsys, "help", "vectors", "check")[1]


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["verfy"], "verify"),
        (["help", "reproduse"], "reproduce"),
        (["verify", "torch", "--devise", "cpu"], "--device"),
        (["verify", "torch", "--devise=cpu"], "--device"),
        (["reproduce", "weigt-decay"], "weight-decay"),
        (["verify", "f.py:f", "--kind", "specreg"], "spectreg"),
    ],
)
def test_near_misses_are_named(capsys, argv, meant):
    status, said = stopped(capsys, *argv)
    assert status == 2
    assert said.rstrip().endswith(f"; did you mean {meant}?")


def test_an_abbreviation_is_no_option(capsys):
    assert "did you mean --seeds?" in stopped(capsys, "train", "x.toml", "--seed", "7")[1]


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["train", "--zzz", "x.toml"], "gradreg train"),
        (["train", "x.toml", "y.toml"], "gradreg train"),
        (["vectors", "check", "folder", "--zzz"], "gradreg vectors"),
        (["vectors", "--zzz", "check", "folder"], "gradreg vectors"),
    ],
)
def test_what_a_command_does_not_know_is_refused_by_the_command(capsys, argv, program):
    status, said = stopped(capsys, *argv)
    unknown = "--zzz" if "--zzz" in argv else "y.toml"
    assert status == 2
    assert said.startswith(f"usage: {program} [-h] ")
    *_, last = said.splitlines()
    help_of = program.replace("gradreg", "gradreg help")
    assert last == f"{program}: error: unrecognized arguments: {unknown}; see: {help_of}"


@pytest.mark.parametrize("command", [["check", "m.py:m", "--input", "8x4"], ["verify", "torch"]])
@pytest.mark.parametrize("seed", ["-1", "2147483648", "1.5", "x"])
def test_a_seed_is_a_number_that_every_generator_takes(capsys, command, seed):
    status, said = stopped(capsys, *command, f"--seed={seed}")
    assert status == 2
    assert f"argument --seed: expected a number from 0 to 2147483647, got '{seed}'" in said


def test_choices_are_named(capsys):
    said = stopped(capsys, "reproduce", "weight-decay", "--amp", "fp8")[1]
    assert "argument --amp: expected one of bfloat16, float16; got 'fp8'" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_text(name):
    for parser in every(cli.parser(name)):
        for action in parser._actions:
            if parser.prog != "gradreg" and not hasattr(action, "add_parser"):
                assert action.help, f"{parser.prog} {action.option_strings or action.dest}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_describes_its_command_and_fits(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for parser in every(cli.parser(name)):
        assert parser.description.endswith("."), parser.prog
        long = [line for line in parser.format_help().splitlines() if len(line) > 80]
        assert not long, parser.prog


def test_a_mistake_leads_to_the_help_of_its_command(capsys):
    for argv, command in (["reproduce"], "reproduce"), (["vectors", "check"], "vectors"):
        status, said = stopped(capsys, *argv)
        assert status == 2
        assert said.count("\n") == 1
        assert said.rstrip().endswith(f"; see: gradreg help {command}")
        assert stopped(capsys, "help", *command.split())[0] == 0


def test_an_example_in_a_help_is_not_wrapped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    said = cli.parser("train").format_help()
    assert max(map(len, said.split("where to start")[0].splitlines())) <= 40
    assert "\n  gradreg train run.toml --seeds 3 --out results/mine\n" in (
        next(p for p in every(cli.parser("train")) if p.prog == "gradreg train").format_help()
    )


def test_a_command_that_cannot_be_loaded_hides_no_other(capsys, monkeypatch):
    class Point:
        name = "zzz"

        def load(self):
            raise ImportError("no module named 'zzz'")

    points = [*cli.entry_points(group=cli.GROUP), Point()]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)
    said = stopped(capsys)[1]
    assert "cannot be loaded: no module named 'zzz'" in said
    assert "\n  verify " in said


def test_what_was_typed_is_not_obeyed(capsys):
    said = stopped(capsys, "\x1b[31mverify")[1]
    assert "\x1b" not in said
    assert "x1b[31mverify" in said


@pytest.mark.parametrize("name", ["evil\x1b[31m.json", "evil\u202e.json"])
def test_names_and_exceptions_are_not_obeyed(tmp_path, capsys, name):
    (tmp_path / name).write_text("{}")
    assert cli.main(["cite", str(tmp_path / name)]) == 2
    assert not set(capsys.readouterr().err) & set("\x1b\u202e")


def test_only_one_place_prints():
    """Every other would print a text of others as it is."""
    for path in sorted((ROOT / "cli" / "gradreg_cli").glob("*.py")):
        names = {n.func.id for n in ast.walk(ast.parse(path.read_text("utf-8"))) if called(n)}
        assert path.name == "terminal.py" or "print" not in names, path.name
    for path in (ROOT / "experiments" / "gradreg_experiments").rglob("*.py"):
        assert path.name == "terminal.py" or " Console(" not in path.read_text("utf-8"), path


def called(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_prose_is_folded_for_a_terminal_alone(monkeypatch):
    text = "wrong fails. It computes ½ × the batch mean.\n  The function returns 0.0437083483.\n"
    assert terminal.fold(text) == text, "a pipe gets the lines whole"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(terminal.sys, "stdout", Terminal())
    folded = terminal.fold(text)
    assert folded.split() == text.split(), "no word is broken"
    assert max(map(len, folded.splitlines())) <= 30
    assert "\n  0.0437083483.\n" in folded, "an indented line stays indented"


def test_a_refusal_is_folded_where_errors_go_to_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    whole = "gradreg verify: expected what to verify"
    assert cli.main(["verify"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(whole)
    assert said.count("\n") == 1, "elsewhere a sentence is a line"
    for argv in (["verify"], ["verfy"]):
        monkeypatch.setattr(terminal.sys, "stderr", stream := Terminal())
        with suppress(SystemExit):
            cli.main(argv)
        lines = stream.getvalue().splitlines()
        assert len(lines) > 1
        assert max(map(len, lines)) <= 40


@pytest.mark.parametrize(
    ("environment", "colours", "moves"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colours_and_moves_are_for_terminals_that_have_them(
    monkeypatch, environment, colours, moves
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", stream := Terminal())
    terminal.show_status("loading")
    terminal.say("PASS it", word="PASS", colour="32")
    assert ("\033[32mPASS\033[0m" in stream.getvalue()) == colours
    assert ("\033[K" in stream.getvalue()) == moves
    monkeypatch.setattr(sys, "stdout", pipe := io.StringIO())
    terminal.show_status("loading")
    terminal.say("PASS it", word="PASS", colour="32")
    assert pipe.getvalue() == "PASS it\n"


@pytest.mark.parametrize("letters", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("argv", [["tune", "--help"], ["vectors", "check", "λ\x1b"]])
def test_a_stream_of_few_letters_raises_nothing(letters, argv):
    environment = os.environ | {"PYTHONIOENCODING": letters, "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-m", "gradreg_cli", *argv], env=environment, capture_output=True
    )
    assert done.returncode == (0 if "--help" in argv else 2)
    assert b"Traceback" not in done.stderr
    assert ("λ" if letters == "utf-8" else "?").encode() in done.stdout + done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a device of Linux")
@pytest.mark.parametrize("argv", [["--help"], ["verify", "-h"], ["--version"], ["cite"]])
def test_what_cannot_be_printed_is_no_success(argv):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "gradreg_cli", *argv]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
