"""BibTeX: the entries, and reports that are not what they were."""

import json
from pathlib import Path

import pytest
from gradreg_cli import main

from gradreg_ref import __version__
from gradreg_verify import verify
from gradreg_verify.frameworks.registry import load
from gradreg_verify.report import render


@pytest.fixture(scope="module")
def report():
    return verify(load("loopback"))


def test_paper_and_software(capsys):
    assert main(["cite"]) == 0
    said = capsys.readouterr().out
    assert said.count("@") == 2
    assert "arXiv:1712.09936" in said
    assert f"version = {{{__version__}}}" in said
    assert said.count("{") == said.count("}")
    page = Path(__file__).parents[1] / "docs" / "cite.md"
    assert f"```bibtex\n{said}```" in page.read_text(encoding="utf-8")


def test_a_report_is_cited_by_its_digest(tmp_path, report, capsys):
    path = tmp_path / "report.json"
    path.write_text(render.to_json(report), encoding="utf-8")
    assert main(["cite", str(path)]) == 0
    said = capsys.readouterr().out
    assert render.bibtex(render.facts(report)) in said
    assert render.facts(report)["digest"] in said


def test_a_report_that_was_changed_is_refused(tmp_path, report, capsys):
    facts = json.loads(render.to_json(report))
    facts["claims"][0]["verdict"] = "FAIL"
    (tmp_path / "changed.json").write_text(json.dumps(facts), encoding="utf-8")
    assert main(["cite", str(tmp_path / "changed.json")]) == 2
    assert "got: facts of another digest" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": "x", "target": "y"}'])
def test_what_is_no_report_is_a_sentence(tmp_path, text, capsys):
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    assert main(["cite", str(tmp_path / "r.json")]) == 2
    assert "expected a report of gradreg verify in JSON" in capsys.readouterr().err
