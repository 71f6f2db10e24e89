"""The command line: output, exit status, and sentences instead of tracebacks."""

import os
import re
import subprocess
import sys

import gradreg_cli as cli
import gradreg_cli.backends
import gradreg_cli.verify
import pytest
from gradreg_experiments import needs

from gradreg_ref import __version__
from gradreg_verify import CLAIMS, verify
from gradreg_verify.frameworks import registry as backends
from gradreg_verify.frameworks.loopback import LoopbackBackend
from gradreg_verify.report import history
from gradreg_verify.report.report import Report


def test_verify_passes_and_backends_lists_what_is_here(capsys):
    assert cli.main(["backends"]) == 0
    out = capsys.readouterr().out
    assert "loopback: numpy" in out
    assert "verified never (gradreg verify loopback --device cpu)" in out
    assert cli.main(["verify", "loopback"]) == 0
    out = capsys.readouterr().out
    assert out.count("PASS") == len(CLAIMS) - 3
    assert f"{len(CLAIMS) - 3} hold, 3 not tested" in out, "one dtype, no functions, no differences"
    assert cli.main(["backends"]) == 0
    assert f"UTC: {len(CLAIMS) - 3} hold, 3 not tested" in capsys.readouterr().out


def test_what_was_verified_with_another_version_is_to_be_verified_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    report = verify(LoopbackBackend({"onehot": lambda c, **_: c.J.sum()}))
    history.remember(report)
    said = history.last("loopback", "cpu", report.framework)
    assert said.endswith(f"(fail: {', '.join(report.failed)})")
    other = history.last("loopback", "cpu", "numpy 9")
    assert other.endswith(f", with {report.framework}: verify again")
    assert history.last("loopback", "cuda:0", "numpy 9").startswith("never")
    for damage in ("[]", "{", '{"loopback on cpu": 3}'):
        history.path().write_text(damage)
        assert history.last("loopback", "cpu", report.framework).startswith("never")
    history.path().unlink()
    history.path().mkdir()  # cannot be written to: that is all that happens
    history.remember(report)


def test_without_a_home_nothing_is_remembered(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(history.Path, "home", no_home)
    report = Report("t", "d", "t", "f", "cpu", (), 4, ())
    history.remember(report)
    assert history.last("t", "cpu", "f").startswith("never")


PLACES = {
    "a folder": (lambda path: path.mkdir(), "is a directory|no regular file"),
    "a pipe": (lambda path: os.mkfifo(path), "no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/full"), "no regular file"),
    "a file of somebody's": (lambda path: path.write_text("# mine"), "something else|Expecting"),
}


def not_run(*_):
    pytest.fail("it was tested first")


@pytest.mark.parametrize("option", ["--report", "--evidence"])
@pytest.mark.parametrize(("make", "message"), PLACES.values(), ids=PLACES)
def test_a_place_that_cannot_be_written_is_refused_at_once(
    capsys, monkeypatch, tmp_path, option, make, message
):
    monkeypatch.setattr(cli.verify, "verify", not_run)
    make(path := tmp_path / "r.json")
    assert cli.main(["verify", "loopback", option, str(path)]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert re.search(message, said)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("option", ["--report", "--evidence"])
@pytest.mark.parametrize("name", ["/proc/r.json", "a" * 300 + ".json", "none/r.json", ""])
def test_a_place_that_cannot_be_is_refused_at_once(capsys, monkeypatch, tmp_path, option, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.verify, "verify", not_run)
    assert cli.main(["verify", "loopback", option, name]) == 2
    assert "gradreg verify: expected " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["loopback", "--waivers", "none.toml"],
        ["loopback", "--kind", "spectreg"],
        ["loopback", "--device", "nope"],
        ["nope"],
        ["penalty.py"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_verified_is_said_before_the_self_test(capsys, monkeypatch, words):
    monkeypatch.setattr(cli.verify.self_test, "self_test", not_run)
    assert cli.main(["verify", *words, "--self-test"]) == 2
    assert "gradreg verify: expected " in capsys.readouterr().err


def test_a_report_that_cannot_be_written_in_the_end_loses_neither_verdict_nor_others(
    capsys, monkeypatch, tmp_path
):
    wrong = verify(LoopbackBackend({"onehot": lambda c, **_: c.J.sum()}))
    lost = tmp_path / "lost"
    lost.mkdir()

    def verified(*_, **__):
        lost.rmdir()
        return wrong

    monkeypatch.setattr(cli.verify, "verify", verified)
    kept, record = tmp_path / "kept.md", tmp_path / "e.json"
    reports = ["--report", str(lost / "r.json"), "--report", str(kept)]
    assert cli.main(["verify", "loopback", *reports, "--evidence", str(record)]) == 1
    shown = capsys.readouterr()
    assert wrong.counts in shown.out
    assert f"the folder {lost} of --report" in shown.err
    assert kept.exists()
    assert "E = " in shown.out
    assert record.exists()


def test_backends_says_what_to_install(capsys, monkeypatch):
    def missing(name):
        raise backends.BackendUnavailable(f"pip install 'gradreg-ref[{name}]'")

    monkeypatch.setattr(cli.backends, "load", missing)
    assert cli.main(["backends"]) == 0
    assert "torch: not available. pip install 'gradreg-ref[torch]'" in capsys.readouterr().out


def test_verify_fails(capsys, monkeypatch):
    wrong = LoopbackBackend({"onehot": lambda c, **_: c.J.sum()})
    monkeypatch.setattr(cli.verify, "choose", lambda *_: (wrong, "cpu"))
    assert cli.main(["verify", "loopback"]) == 1
    assert "FAIL           onehot-formula" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["verify", "keras"], "or file.py:penalty) to be one of jax, loopback"),
        (["verify", "loopback", "--device", "cuda:0"], "got 'cuda:0'"),
    ],
)
def test_what_cannot_run_is_a_sentence(argv, message, capsys):
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_auto_says_what_it_picked(capsys, monkeypatch):
    monkeypatch.setattr(cli.verify, "choose", lambda *_: (LoopbackBackend(), "cpu"))
    assert cli.main(["verify", "auto", "--device", "auto"]) == 0
    assert "auto: loopback on cpu" in capsys.readouterr().out


def test_the_seed_0_is_a_seed(capsys, monkeypatch):
    monkeypatch.setattr(cli.verify, "verify", lambda *_, seed, **__: pytest.fail(f"seed {seed}"))
    for argv, seed in ([], 4), (["--seed", "0"], 0):
        with pytest.raises(pytest.fail.Exception, match=f"seed {seed}"):
            cli.main(["verify", "loopback", *argv])


def test_quickstart_names_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(needs, "find_spec", lambda _: None)
    assert cli.main(["quickstart"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'gradreg-ref[experiments]'" in said
    assert "in a clone: pip install '.[experiments]'" in said


def test_an_error_of_the_system_is_a_sentence(capsys, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(cli.verify, "verify", fail)
    assert cli.main(["verify", "loopback"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(
        f"expected a file or folder to use at {tmp_path}, got: Permission denied\n"
    )
    assert "Errno" not in said


def test_without_a_target_the_choices_are_named(capsys):
    assert cli.main(["verify"]) == 2
    assert "file.py:penalty, or a backend among jax, loopback, torch, auto" in (
        capsys.readouterr().err
    )


def test_without_a_kind_the_choices_are_named(capsys, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text("def penalty(model, x): ...")
    assert cli.main(["verify", f"{tmp_path}/mine.py:penalty"]) == 2
    assert (
        "got none; pass --kind frobreg, or from Python kind='frobreg';" in capsys.readouterr().err
    )


def test_a_class_is_not_a_penalty_and_its_instance_is(capsys, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(
        "class Penalty:\n"
        "    def __call__(self, model, x): raise RuntimeError('called')\n"
        "penalty = Penalty()\n"
    )
    assert cli.main(["verify", f"{tmp_path}/mine.py:Penalty", "--kind", "frobreg"]) == 2
    assert "write penalty = Penalty() in the file, and name penalty" in capsys.readouterr().err


def test_interrupt(capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.verify, "verify", stop)
    assert cli.main(["verify", "loopback"]) == 2
    assert "interrupted" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_the_version_is_printed_without_what_commands_need():
    code = "import sys, gradreg_cli as c\ntry: c.main(['-V'])\nfinally: print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in told.stdout.split()}
    assert not loaded & {"gradreg_verify", "gradreg_torch", "torch", "jax", "matplotlib"}
    assert "gradreg_ref" in loaded
