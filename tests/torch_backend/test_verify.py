"""`gradreg verify` for functions: tiers, verdicts, reports, waivers, evidence, isolation."""

import json
import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import gradreg_cli as cli
import gradreg_cli.verify
import numpy as np
import pytest
import torch
from gradreg_torch import SpectReg, frobreg, spectreg

from gradreg_ref import networks
from gradreg_ref.penalties import evaluate
from gradreg_verify import assert_conforms, verify
from gradreg_verify.claims.target import target_of
from gradreg_verify.diagnosis.computes import computed
from gradreg_verify.diagnosis.observe import observations
from gradreg_verify.frameworks.torch import to_torch
from gradreg_verify.frameworks.torch.precisions import capabilities
from gradreg_verify.frameworks.torch.randomness import generators_of
from gradreg_verify.mistakes import self_test
from gradreg_verify.mistakes.torch import conduct, labelled, right, right_draws
from gradreg_verify.mistakes.torch import frobreg as wrong_frobreg
from gradreg_verify.mistakes.torch import spectreg as wrong_spectreg
from gradreg_verify.mistakes.torch.entries import projected
from gradreg_verify.report import e_values, render, waivers
from gradreg_verify.subject.declared import DeclaredPenalty
from gradreg_verify.subject.handover import TIERS

FILE = """
import torch
from gradreg_verify import declare

def frob(model, x, factor=1.0):
    x = x.detach().requires_grad_()
    J = [torch.autograd.grad(z.sum(), x, create_graph=True)[0] for z in model(x).unbind(1)]
    return factor * sum(g.flatten(1).square().sum(1) for g in J).mean()

@declare("frobreg", scale=0.5)
def half(model, x):
    return frob(model, x, 0.5)

def dies(model, x):
    import os
    os._exit(7)

def sleeps(model, x):
    import time
    time.sleep(1000)

def stuck(model, x):
    while True:
        try:
            while True:
                model(x)
        except BaseException:
            continue

number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "penalties.py"
    path.write_text(FILE)
    return path


def verdicts(report):
    return {result.claim.id: result.verdict for result in report.results}


@pytest.mark.parametrize(
    ("function", "kind", "tier"),
    [
        (right.naive, "frobreg", "black box: no randomness declared"),
        (right_draws.probe_backwards, "spectreg", "black box: probes read out"),
        (right_draws.probes_by_numpy, "spectreg", "black box: probes read out"),
        (right.minus_the_probe, "spectreg", "intercepted randomness"),
        (spectreg, "spectreg", "probes as an argument"),
    ],
)
def test_tier_is_as_far_as_the_function_allows(function, kind, tier):
    target = target_of(function, kind, "torch", "cpu", 4, 5.0, {})
    assert TIERS[target.declared.probes.tier].startswith(tier)


@pytest.mark.parametrize("arguments", [("model", "x"), ("model", "x", "generator")])
def test_a_generator_that_is_required_need_not_be_named(arguments):
    """It was not passed: "missing 1 required positional argument"."""

    def named_otherwise(net, inputs, generator):
        def draw(z):
            return torch.randn(z.shape, generator=generator, dtype=z.dtype)

        return projected(net, inputs, draw).mean()

    target = target_of(
        named_otherwise, "spectreg", "torch", "cpu", 4, 5.0, {"arguments": arguments}
    )
    assert target.declared.probes.tier == "intercepted"


def test_what_a_black_box_cannot_be_asked_is_not_tested_and_says_why():
    report = verify(right_draws.probes_by_numpy, "spectreg")
    assert report.tier.startswith("black box: probes read out")
    assert verdicts(report)["frobreg-formula"] == "NOT-APPLICABLE"
    assert (
        verdicts(report)["spectreg-unbiased"]
        == verdicts(report)["gaussian-variance"]
        == "NOT-TESTED"
    )
    unbiased = next(r for r in report.results if r.claim.id == "spectreg-unbiased")
    assert "none can be given to it" in unbiased.figure
    assert verdicts(report)["spectreg-quadratic-form"] == verdicts(report)["probe-law"] == "PASS"


def test_nothing_of_the_caller_s_is_changed():
    torch.manual_seed(5)
    before, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    verify(conduct.a_global_seed_set, "frobreg")
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy).all()


@pytest.mark.parametrize(
    ("function", "declared", "sentence"),
    [
        (wrong_frobreg.a_hidden_half, {"kind": "frobreg"}, "½ × the batch mean of FrobReg"),
        (wrong_frobreg.sum_for_mean, {"kind": "frobreg"}, "the batch sum of FrobReg, ‖J‖²."),
        (wrong_frobreg.the_norm_itself, {"kind": "frobreg"}, "‖J‖, the norm and not its square"),
        (wrong_frobreg.detached, {"kind": "frobreg"}, "carries no graph"),
        (wrong_frobreg.no_create_graph, {"kind": "frobreg"}, "but its gradient is zero"),
        (wrong_frobreg.mean_over_inputs, {"kind": "frobreg"}, "1/d (d input coordinates)"),
        (labelled.loss_of_the_batch_mean, {"kind": "doubleback"}, "1/B² × the batch mean (as of"),
        (labelled.p_detached, {"kind": "doubleback"}, "DoubleBack with p detached"),
        (wrong_spectreg.of_probabilities, {"kind": "spectreg"}, "projected JacReg"),
        (wrong_spectreg.projection_by_a_mean, {"kind": "spectreg"}, "1/m × the batch mean"),
        (
            wrong_spectreg.one_probe_for_the_batch,
            {"kind": "spectreg"},
            "one probe for the whole batch",
        ),
        (wrong_spectreg.probes_summed, {"kind": "spectreg"}, "2 × the batch mean of SpectReg"),
        (
            wrong_spectreg.one_probe_used_twice,
            {"kind": "spectreg"},
            "It draws 1 probe(s) for each example, declared: 2. It computes the batch mean of",
        ),
    ],
)
def test_diagnosis_names_what_is_computed_instead(function, declared, sentence):
    entry = next(e for e in self_test_entries() if e.function is function)
    one = self_test.function_target(entry, "cpu").declared
    assert sentence in computed(observations(one), one.declaration)


def self_test_entries():
    from gradreg_verify.mistakes.torch import WRONG

    return WRONG


def test_the_counterexample_is_small_and_runs_as_it_is_printed():
    report = verify(wrong_frobreg.a_hidden_half, "frobreg")
    shown = report.diagnosis.counterexample
    assert shown.e.network.parameters().size <= 8
    scope = {}
    exec(shown.code, scope)
    network, x = scope["network"], scope["x"]
    assert isinstance(network, networks.Network)
    expected = evaluate("frobreg", network, x)
    got = wrong_frobreg.a_hidden_half(to_torch(network), torch.from_numpy(x))
    assert expected != 0
    assert float(got.detach()) == expected / 2


def test_assert_conforms():
    assert_conforms(right.JacobianPenalty(), "frobreg", scale=0.5)
    with pytest.raises(
        AssertionError, match=r"frobreg-formula fails. It computes ½ × the batch mean"
    ):
        assert_conforms(right.JacobianPenalty(), "frobreg")


def test_a_waived_failure_is_waived_with_its_reason():
    reasons = dict.fromkeys(
        [
            "values-per-example",
            "frobreg-formula",
            "training-gradient",
            "metamorphic-laws",
            "rounding-bounded",
        ],
        "we like halves",
    )
    report = verify(wrong_frobreg.a_hidden_half, "frobreg", waivers=reasons)
    assert verdicts(report)["frobreg-formula"] == "WAIVED"
    assert report.ok
    figure = next(r.figure for r in report.results if r.claim.id == "frobreg-formula")
    assert figure.startswith("we like halves (")
    with pytest.raises(ValueError, match="expected a claim to be one of values-per-example"):
        verify(frobreg, "frobreg", waivers={"S99": "no such claim"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("repeatable = 'x'", r"expected a table \[waivers\]"),
        ("[waivers]\nS77 = 'x'", "expected a claim to be one of values-per-example"),
        ("[waivers]\nS1 = ''", "expected a reason for waiving S1"),
        ("[waivers", "expected waivers in TOML"),
    ],
)
def test_waivers_that_say_nothing_are_refused(tmp_path, text, message):
    path = tmp_path / "waivers.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        waivers.read(path)


# Reports


@pytest.fixture(scope="module")
def failed():
    return verify(wrong_frobreg.a_hidden_half, "frobreg")


def test_reports_are_the_same_bytes_again(failed):
    again = verify(wrong_frobreg.a_hidden_half, "frobreg")
    for make in render.FORMATS.values():
        assert make(failed) == make(again)


def test_json_has_every_claim_and_its_digest(failed):
    data = json.loads(render.to_json(failed))
    assert len(data["claims"]) == len(failed.results)
    assert data["diagnosis"]["computes"].startswith("It computes ½ ×")
    assert data["digest"] == render.facts(failed)["digest"]
    assert render.facts(replace(failed, seed=5))["digest"] != data["digest"]


def test_html_is_one_file_without_script_or_network(failed):
    page = render.FORMATS[".html"](failed)
    assert not re.search(r"<script|https?://|<link|src=", page)
    assert "<td class='verdict FAIL'>FAIL" in page
    assert "½ × the batch mean of FrobReg" in page


def test_markdown_rows_have_as_many_cells(failed):
    table = [line for line in render.to_markdown(failed).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in table} == {5}


def test_bibtex_cites_the_digest(failed):
    entry = render.bibtex(render.facts(replace(failed, target="my_{odd}%name")))
    assert render.facts(replace(failed, target="my_{odd}%name"))["digest"] in entry
    assert r"my\_(odd)\%name" in entry


def test_what_passes_is_not_called_wrong():
    report = verify(right.naive, "frobreg")
    assert verdicts(report)["spectreg-quadratic-form"] == "NOT-APPLICABLE"
    assert "What is wrong" not in render.FORMATS[".html"](report)


# The command line


def test_a_declared_function_in_a_file(file, tmp_path, capsys):
    out = tmp_path / "report.json"
    assert cli.main(["verify", f"{file}:half", "--report", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "half: 7 hold" in shown
    assert "declared: 0.5 × batch mean of frobreg" in shown
    assert json.loads(out.read_text())["ok"] is True


def test_options_of_the_command_line_go_before_the_decorator(file, capsys):
    assert cli.main(["verify", f"{file}:half", "--scale", "1"]) == 1
    assert "It computes ½ × the batch mean of FrobReg" in capsys.readouterr().out


def test_a_function_of_a_module(capsys):
    assert cli.main(["verify", "gradreg_torch:onehot", "--kind", "onehot"]) == 0
    assert "onehot: 7 hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("dies", 1, "its process died (exit 7)"),
        ("sleeps", 2, "did not return within 0.6 s by the clock"),
        ("stuck", 2, "did not return within 0.6 s by the clock"),
    ],
)
def test_a_function_that_dies_or_hangs_is_reported(file, name, status, message, capsys):
    argv = ["verify", f"{file}:{name}", "--kind", "frobreg", "--time-limit", "0.1"]
    assert cli.main(argv) == status
    out = capsys.readouterr().out
    assert message in out
    assert "NOT-TESTED     frobreg-formula            FrobReg is ‖J‖²_F" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["{file}:frob"], "expected a kind, the penalty that the function should compute"),
        (["{file}:nothing", "--kind", "frobreg"], "expected 'nothing' in"),
        (["{file}:number", "--kind", "frobreg"], "expected a backend or a function, got 3"),
        (["missing.py:f", "--kind", "frobreg"], "which is no file"),
        (["no.such.module:f", "--kind", "frobreg"], "importing no.such.module raised"),
        (["{file}:", "--kind", "frobreg"], "expected path/to/file.py:NAME"),
        (["{file}:half", "--report", "x.pdf"], "expected --report to end in .json"),
        (["{file}:half", "--report", "no/such/x.md"], "expected the folder no/such"),
        (["{file}:half", "--probe", "sphere"], "expected no probe= for frobreg"),
        (["{file}:half", "--device", "cuda:9"], "got 'cuda:9'"),
        (["{file}:half", "--framework", "keras"], "expected a backend among"),
        (["{file}:half", "--time-limit", "0"], "expected --time-limit > 0"),
        (["torch", "--kind", "frobreg"], "with a function, not with a backend"),
        ([], "expected what to verify"),
    ],
)
def test_what_cannot_run_is_a_sentence(file, argv, message, capsys):
    assert cli.main(["verify", *(a.format(file=file) for a in argv)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_dtypes_are_named(file, capsys):
    assert cli.main(["verify", f"{file}:half", "--dtype", "float99"]) == 2
    assert "expected dtypes to be one of float32" in capsys.readouterr().err


# Evidence over runs


def run_with(least, seed, report):
    evidence = replace(report.evidence, least=least)
    return replace(report, evidence=evidence, seed=seed)


def test_evidence_is_multiplied_and_refutes(tmp_path):
    path, report = tmp_path / "evidence.json", verify(right.minus_the_probe, "spectreg")
    assert report.evidence.least > 1e-3
    said, refuted = e_values.accumulate(path, run_with(1, 1, report))
    assert said.startswith("E = 0.5 after 1 runs; not refuted")
    assert not refuted
    said, refuted = e_values.accumulate(path, run_with(1e-20, 2, report))
    assert said.startswith("E = 2.5e+09 after 2 runs; refuted"), "½ × 1/(2√1e-20)"
    assert refuted
    with pytest.raises(ValueError, match="expected a fresh seed"):
        e_values.accumulate(path, run_with(1, 2, report))


def test_the_long_profile_has_a_fresh_seed_and_gathers_evidence(
    file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(cli.verify, "verify_isolated", stub := Stub())
    argv = ["verify", f"{file}:half", "--profile", "long", "--evidence", str(tmp_path / "e.json")]
    assert cli.main(argv) == cli.main(argv) == 0
    assert stub.seeds[0] != stub.seeds[1]
    assert "E = 0.25 after 2 runs" in capsys.readouterr().out


class Stub:
    """A verification of a sampler that looked just right."""

    def __init__(self):
        self.seeds = []
        self.report = verify(right.minus_the_probe, "spectreg")

    def __call__(self, spec, show, options):
        self.seeds.append(options["seed"])
        return run_with(1.0, options["seed"], self.report)


def test_e_values_have_mean_one_at_most():
    """∫₀¹ 1/(2√p) dp = 1, by a midpoint rule from below."""
    p = (np.arange(100_000) + 0.5) / 100_000
    mean = np.mean([np.exp(e_values.log_e(q)) for q in p])
    assert 0.99 < mean <= 1


def test_a_broken_record_is_refused(tmp_path):
    path = tmp_path / "evidence.json"
    path.write_text('{"a": [{"seed": 1}]}')
    with pytest.raises(ValueError, match="expected a record of earlier runs"):
        e_values.read(path)


def test_the_scale_that_is_said_to_be_found_is_found():
    """A sampler off by the figure printed fails; the test can be no blinder than it says."""
    report = verify(right.minus_the_probe, "spectreg")
    factor = 1 + 1.2 * report.evidence.visible_scale

    def scaled(model, x):
        x = x.detach().requires_grad_()
        z = model(x)
        (v,) = torch.autograd.grad(z, x, factor * torch.randn_like(z), create_graph=True)
        return v.flatten(1).square().sum(1).mean()

    report = verify(scaled, "spectreg")
    assert verdicts(report)["probe-law"] == "FAIL"


def closed_over():
    g = torch.Generator().manual_seed(0)

    def penalty(model, x):
        return spectreg(model, x, generator=g)

    return penalty, g


KEPT = torch.Generator().manual_seed(0)


def of_a_global(model, x):
    return spectreg(model, x, generator=KEPT)


def kept_generators():
    g = torch.Generator().manual_seed(0)
    yield "an attribute", SpectReg(generator=g), g
    yield "a closure", *closed_over()
    yield "a partial", partial(spectreg, generator=g), g
    yield "a global", of_a_global, KEPT


@pytest.mark.parametrize(("where", "penalty", "g"), list(kept_generators()))
def test_a_generator_that_the_function_keeps_is_found(where, penalty, g):
    (found,) = generators_of(penalty)
    assert found is g


def test_a_generator_that_the_function_keeps_is_seeded_and_restored():
    """README's first penalty keeps one."""
    _, penalty, g = next(kept_generators())
    before = g.get_state()
    report = verify(penalty, "spectreg")
    assert report.ok, str(report)
    assert torch.equal(g.get_state(), before)


def test_a_framework_needs_no_steady_context():
    """Its protocol says that it may have one."""
    harness = target_of(of_a_global, "spectreg", "torch", "cpu", 4, 5.0, {}).declared.harness
    one = DeclaredPenalty(SimpleNamespace(capabilities=capabilities), harness, "cpu")
    with one.steady():
        assert one.capabilities().framework.startswith("torch")
