"""The command line: output, exit status, and sentences instead of tracebacks."""

import pytest

from gradreg_ref import __version__, backends, cli
from gradreg_ref.loopback import LoopbackBackend
from gradreg_ref.verify import CLAIMS


def test_backends_lists_what_is_here(capsys):
    assert cli.main(["backends"]) == 0
    out = capsys.readouterr().out
    assert "loopback: numpy" in out
    assert "devices  cpu" in out


def test_backends_says_what_to_install(capsys, monkeypatch):
    def missing(name):
        raise backends.BackendUnavailable(f"pip install 'gradreg-ref[{name}]'")

    monkeypatch.setattr(cli, "load", missing)
    assert cli.main(["backends"]) == 0
    assert "torch: not available. pip install 'gradreg-ref[torch]'" in capsys.readouterr().out


def test_verify_passes(capsys):
    assert cli.main(["verify", "loopback"]) == 0
    out = capsys.readouterr().out
    assert out.count("PASS") == len(CLAIMS) - 3
    assert f"{len(CLAIMS) - 3} hold, 3 not tested" in out, "one dtype, no functions, no differences"


def test_verify_fails(capsys, monkeypatch):
    wrong = LoopbackBackend({"onehot": lambda c, **_: c.J.sum()})
    monkeypatch.setattr(cli.verify, "load", lambda _: wrong)
    assert cli.main(["verify", "loopback"]) == 1
    assert "FAIL           S16" in capsys.readouterr().out


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


def test_quickstart_names_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda _: None)
    assert cli.main(["quickstart"]) == 2
    assert "pip install 'gradreg-ref[experiments]'" in capsys.readouterr().err


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
