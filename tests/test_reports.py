"""Reports of functions with hostile names: nothing is live, nothing is lost; verdicts in words."""

from dataclasses import replace

import pytest

from gradreg_verify import CLAIMS
from gradreg_verify.diagnosis.diagnose import Diagnosis
from gradreg_verify.report import html, render
from gradreg_verify.report.progress import LONG, row, so_far
from gradreg_verify.report.report import Report, Result
from gradreg_verify.text import printable

HOSTILE = "<script>x</script>|\x1b[31m\x9b1m\u202e\udcff`~~~&"


def report(*verdicts, figure="off by 1.1e-15 (1e-09 allowed) on 16 examples", name="f"):
    """Verdicts on the first claims, on a function of that name."""
    results = [Result(c, v, figure) for c, v in zip(CLAIMS, verdicts, strict=False)]
    named = {"declared": name, "tier": name, "framework": name, "device": "cpu", "dtypes": ()}
    return Report(target=name, **named, seed=1, results=tuple(results), command=f"verify {name}")


def hostile():
    bad = report("PASS", "FAIL", figure=HOSTILE, name=HOSTILE)
    return replace(bad, diagnosis=Diagnosis("S2", HOSTILE, None), provenance={HOSTILE: HOSTILE})


@pytest.mark.parametrize("suffix", render.FORMATS)
def test_a_hostile_name_is_shown_and_not_obeyed(tmp_path, suffix):
    render.write(hostile(), path := tmp_path / f"r{suffix}")
    text = path.read_text(encoding="utf-8")
    assert not set(text) & set("\x1b\x9b\u202e")
    assert "x1b[31m" in text or "u001b[31m" in text
    if suffix in (".md", ".html"):
        assert "<script" not in text
        assert "&lt;script&gt;" in text


@pytest.mark.parametrize("suffix", render.FORMATS)
def test_an_earlier_report_is_replaced_and_another_file_is_not(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    path.touch()
    kit = {"kit": "gradreg-ref 1"}
    render.write(replace(report("PASS"), provenance=kit), path)
    first = path.read_bytes()
    render.write(replace(report("FAIL"), provenance=kit), path)
    assert path.read_bytes() != first
    path.write_text("# gradreg is what we use")
    with pytest.raises(ValueError, match=r"expected a report to replace, or no file, in .*: some"):
        render.write(report("PASS"), path)
    assert path.read_text() == "# gradreg is what we use"


def test_half_a_surrogate_pair_loses_no_report(tmp_path):
    render.write(hostile(), path := tmp_path / "r.json")
    assert render.read(path)["target"] == HOSTILE
    assert render.facts(hostile())["digest"] in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("verdicts", "colour", "said"),
    [
        (["PASS", "PASS", "NOT-APPLICABLE"], "PASS", "Every claim about it holds."),
        (["PASS", "FAIL"], "FAIL", f"It is not what it is declared to be. Failed: {CLAIMS[1].id}."),
        (
            ["PASS", "NOT-TESTED"],
            "WAIVED",
            f"What could be tested holds. Not tested: {CLAIMS[1].id}.",
        ),
        (["NOT-TESTED"], "FAIL", "Nothing of it could be tested."),
        (["PASS", "WAIVED"], "PASS", f"The rest holds. Failures accepted: {CLAIMS[1].id}."),
    ],
)
def test_the_page_says_the_verdict_first_and_how_to_repeat_it(tmp_path, verdicts, colour, said):
    render.write(report(*verdicts), path := tmp_path / "r.html")
    text = path.read_text(encoding="utf-8")
    assert f"<p class='verdict {colour}'>{said}</p>" in text
    assert text.index("class='verdict") < text.index("<table>")
    assert "<dt>repeated by<dd>verify f" in text
    assert f"**{said}**" in render.to_markdown(report(*verdicts))
    assert "- repeated by: verify f" in render.to_markdown(report(*verdicts))
    assert "at most 1e-06 for each length of a probe" in render.to_markdown(report(*verdicts))


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ("off by 1.1e-15 (1e-09 allowed) on 16 examples", "agrees to 14 digits"),
        ("off by 9.9e-16 (1e-09 allowed) on 16 examples", "agrees to 15 digits"),
        ("off by 2.0e-10 (1e-09 allowed) on 1 examples; more", "agrees to 9 digits"),
        ("as expected on 3 examples", "agrees exactly"),
        ("53% of the bound on 16 examples", ""),
        ("raised ValueError: off by 1.1e-15 (1e-09 allowed) on 1 examples", ""),
    ],
)
def test_errors_are_said_in_words(figure, said):
    assert html.digits(figure) == said


def test_printable_leaves_letters_alone():
    assert printable("λ ‖Jᵀr‖² ½ é\t…\n") == "λ ‖Jᵀr‖² ½ é\t…\n"
    assert printable("\r\x00\x7f\u2028\ufeff") == r"\r\x00\x7f\u2028\ufeff"


# Progress


def test_the_time_left_is_that_of_the_claims_to_come():
    assert so_far([]) == f"claim 1 of {len(CLAIMS)}"
    assert set(LONG) < {claim.id for claim in CLAIMS}
    made = [Result(c, "PASS", "", seconds=2.0 * LONG.get(c.id, 1)) for c in CLAIMS[:8]]
    left = 2 * sum(LONG.get(c.id, 1) for c in CLAIMS[8:])
    assert so_far(made) == f"claim 9 of {len(CLAIMS)}, about {left} s left"
    others = [Result(c, "NOT-APPLICABLE", "") for c in CLAIMS[:3]]
    assert so_far(others + made[3:]) == so_far(made), "what does not apply took no time"
    assert so_far(others) == f"claim 4 of {len(CLAIMS)}", "no time without a measurement"


@pytest.mark.parametrize("width", [40, 80, None])
def test_a_row_fits_its_terminal(width):
    result = Result(
        CLAIMS[0], "PASS", "off by 1.1e-15 (1e-09 allowed) on 16 examples", left_out=("x " * 60,)
    )
    lines = row(result, width).splitlines()
    assert width is None or max(map(len, lines)) <= width
    assert row(result, width).replace("\n", " ").split() == str(result).split()


def test_a_transpose_is_no_part_of_a_subscript():
    assert html.signs("Σ_j r_jᵀ A ∇_θ") == "Σ<sub>j</sub> r<sub>j</sub>ᵀ A ∇<sub>θ</sub>"
