"""The page on cost is what the committed results say."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "cpu.json"


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="the report draws with matplotlib")
def test_the_page_is_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import report

    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    assert report.table(json.loads(RESULTS.read_text(encoding="utf-8"))) in page
    sys.modules.pop("report")
