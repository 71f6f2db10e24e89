"""The poster's tables: statistics, what was not run, files and page, from the command line."""

import json
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import forks
import numpy as np
import pytest
import torch
from gradreg_cli import main
from gradreg_experiments.reproduce import assembly, budget, departures, local_global, run
from gradreg_experiments.reproduce.experiments import EXPERIMENTS, Cell, Experiment
from gradreg_experiments.reproduce.figure import message
from gradreg_experiments.reproduce.settings import SETTINGS, arm
from gradreg_experiments.reproduce.statistics import rows
from gradreg_experiments.reproduce.table import cells
from gradreg_experiments.runs import sweep
from gradreg_experiments.runs.training import Outcome
from gradreg_torch import confidence_penalty
from scipy import stats

pytestmark = pytest.mark.xdist_group("reproduce")
RUN = SETTINGS["digits"].run
CELLS = (
    Cell("row", "baseline", RUN, (90.0, 0.5)),
    Cell("row", "SpectReg", arm(RUN, "SpectReg", 0.03), (91.5, 0.5)),
    Cell("row", "CP", arm(RUN, "CP", 0.1)),
)
BASELINE = {1: 0.90, 2: 0.92, 3: 0.88, 4: 0.91}
SPECTREG = {2: 0.93, 3: 0.90, 4: 0.915, 5: 0.99}


ASKED = dict.fromkeys(("data", "iterations", "width"))
ASKED |= {"on": [], "row": [], "arm": [], "protocol": "paper"}
ASKED |= {"device": "cpu", "amp": "", "compile": False}


@pytest.fixture(autouse=True)
def forked(monkeypatch):
    """Workers are forks; tests/runs has sweeps that start workers as users' sweeps do."""
    monkeypatch.setattr(sweep.multiprocessing, "get_context", lambda _: forks.context())


def outcome(test):
    return Outcome(RUN, 1.0, 0.9, test, 1.0, 0.3, 1.0)


def found():
    values = {"baseline": BASELINE, "SpectReg": SPECTREG, "CP": {}}

    def find(cell, seed):
        test = values[cell.arm].get(seed)
        return None if test is None else outcome(test)

    return rows(Experiment("x", "X", CELLS), (1, 2, 3, 4, 5), find)


def test_differences_are_paired_by_seed():
    base, spect, _ = found()
    both = [2, 3, 4]  # seed 5 has no baseline, seed 1 no SpectReg
    a, b = ([100 * of[s] for s in both] for of in (SPECTREG, BASELINE))
    test = stats.ttest_rel(a, b)
    low, high = test.confidence_interval(0.95)
    d = spect.difference
    assert d.n == 3
    assert (d.mean, d.low, d.high, d.p) == pytest.approx(
        (np.subtract(a, b).mean(), low, high, test.pvalue), rel=1e-9
    )
    assert spect.poster_difference == pytest.approx(1.5)
    assert base.difference is None
    assert spect.mean == pytest.approx(100 * np.mean(list(SPECTREG.values())))
    assert base.sd == pytest.approx(100 * np.std(list(BASELINE.values()), ddof=1))


def test_a_title_names_the_arms_that_gain_or_says_every_arm():
    def gains(*arms):
        def find(cell, seed):
            noise = 0.0 if cell.arm == "baseline" else (-1) ** seed / 100
            return outcome(0.5 + noise + 0.1 * (cell.arm in arms))

        cells = tuple(Cell("row", arm, RUN) for arm in ("baseline", "a", "b", "c"))
        return message(rows(Experiment("x", "X", cells), (1, 2, 3, 4), find))

    assert gains() == "no gain is clear of the noise"
    assert gains("a", "c") == "a clear gain of a and c"
    assert gains("a", "b", "c") == "a clear gain of every arm"


def test_what_was_not_run_is_said():
    assert cells(found()[2])[4:] == ["NOT RUN", "–", "", "", "–"]


def test_the_seeds_of_a_difference_are_said_where_they_are_others():
    difference = cells(found()[1])[-3]
    assert difference.endswith("(3)")  # four seeds, of which three have a baseline
    whole = cells(found()[1])
    assert whole[3] == "4"


def test_a_run_that_diverged_is_marked():
    def find(cell, seed):
        return replace(outcome(0.5), diverged=7 if seed == 2 else None)

    row = rows(Experiment("x", "X", CELLS), (1, 2), find)[1]
    assert cells(row)[4].endswith(", 1 diverged")


def test_of_several_experiments_one_that_cannot_be_made_stops_none(tmp_path, unverified, capsys):
    words = ["--seeds", "1", "--iterations", "1", "--tables", "--out", str(tmp_path)]
    assert main(["reproduce", "all", *words]) == 2
    assert "Not run: tinyimagenet: expected --data" in capsys.readouterr().out
    assert (tmp_path / "initialisation.json").exists()
    assert (tmp_path / "index.html").exists()


def test_one_seed_has_no_interval():
    def find(cell, seed):
        return outcome({"baseline": 0.9, "SpectReg": 0.92, "CP": 0.92}[cell.arm])

    one = rows(Experiment("x", "X", CELLS), (1,), find)[1]
    assert cells(one)[-3:] == ["+2.00", "–", "+1.50"]
    assert not one.difference.significant


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_is_another_run_with_a_baseline(name):
    for data in assembly.known(name):
        experiment = EXPERIMENTS[name](data)
        ids = [(cell.run.id, cell.figure) for cell in experiment.cells]
        assert len(set(ids)) == len(ids)
        for row in {cell.row for cell in experiment.cells}:
            arms = [cell.arm for cell in experiment.cells if cell.row == row]
            assert arms[0] == "baseline"


@pytest.mark.parametrize("name", [n for n in EXPERIMENTS if n != "tinyimagenet"])
def test_no_two_data_sets_share_a_row(name, monkeypatch):
    """Results and the poster's figures are found by row."""
    monkeypatch.setattr(departures, "of", lambda *_: [])
    several = assembly.known(name)
    request = SimpleNamespace(**ASKED | {"on": several})
    cells = assembly.assembled(name, request).cells
    data = {}
    for cell in cells:
        data.setdefault(cell.row, set()).add(cell.run.data)
    assert all(len(sets) == 1 for sets in data.values())
    assert {cell.run.data for cell in cells} == set(several)


def test_a_budget_gives_up_seeds_then_iterations(monkeypatch):
    monkeypatch.setattr(budget, "seconds_per_step", lambda run, folder: 0.01)
    runs = [replace(RUN, iterations=1000), replace(RUN, iterations=2000)]  # 30 s a seed
    plan = budget.fit(budget.seconds("2min"), runs, 1, None)
    assert (plan.seeds, [plan.shortened(run) for run in runs]) == (4, runs)
    assert "± 0.32" in plan.sentence  # t₀.₉₇₅(3) · 0.2 / √4
    plan = budget.fit(45, runs, 1, None)
    assert plan.seeds == 3
    assert [plan.shortened(run).iterations for run in runs] == [500, 1000]
    assert "50 % of the iterations fit" in plan.sentence
    assert budget.fit(3600, runs, 2, None).seeds == 10
    assert budget.fit(3600, runs, 2, None, 2).seeds == 2


def test_a_budget_that_does_not_suffice_says_so(monkeypatch):
    monkeypatch.setattr(budget, "seconds_per_step", lambda run, folder: 0.01)
    short = replace(RUN, iterations=60)
    plan = budget.fit(1, [replace(RUN, iterations=1000), short], 1, None)
    assert plan.shortened(short).iterations == 60  # never longer
    assert plan.shortened(replace(RUN, iterations=1000)).iterations == 100
    assert "15.1 % of the iterations are the least, and take 0.08 min" in plan.sentence


def test_a_budget_shortens_what_is_compared_alike(tmp_path, unverified, monkeypatch):
    monkeypatch.setattr(budget, "seconds_per_step", lambda run, folder: 0.01)
    monkeypatch.setattr(budget, "LEAST_ITERATIONS", 2)
    words = ["reproduce", "confidence-penalty", "--out", str(tmp_path), "--iterations", "20"]
    assert main([*words, "--arm", "SpectReg", "--budget", "0.1s"]) == 0
    record = json.loads((tmp_path / "confidence-penalty.json").read_text(encoding="utf-8"))
    lengths = {row["setting"]["iterations"] for row in record["rows"]}
    assert lengths == {3}
    # On a faster machine, or a moment later, the same command goes on with the same runs.
    monkeypatch.setattr(budget, "seconds_per_step", lambda run, folder: 1 / 0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}
    assert main([*words, "--arm", "SpectReg", "--budget", "0.1s"]) == 0
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").glob("*.json")}
    with pytest.raises(ZeroDivisionError):
        main([*words, "--arm", "SpectReg", "--budget", "0.2s"])


@pytest.mark.parametrize("text", ["", "[]", '{"command": "c"}', '{"command": "c", "seeds": 0}'])
def test_a_damaged_plan_is_named(tmp_path, text):
    (tmp_path / "plan").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="delete it to plan anew"):
        budget.planned(tmp_path / "plan", "c", lambda: None)


def test_a_budget_is_shared_by_the_tables(tmp_path, unverified, monkeypatch):
    given = []
    monkeypatch.setattr(run, "one_experiment", lambda e, _, limit, __: given.append(limit) or [])
    monkeypatch.setattr(run, "toy", lambda *_, **__: 0)
    assert main(["reproduce", "all", "--budget", "8min", "--out", str(tmp_path)]) == 2
    assert given == [60] * 8  # TinyImageNet is not there


@pytest.mark.parametrize("text", ["10", "ten minutes", "0s", "-5min", "5 days"])
def test_a_budget_that_is_none_is_a_sentence(text):
    with pytest.raises(ValueError, match="expected a budget such as 90s, 10min or 2h"):
        budget.seconds(text)


class Page(HTMLParser):
    """Counts tables, and collects what would be fetched."""

    def __init__(self):
        super().__init__()
        self.tables, self.fetched = 0, []

    def handle_starttag(self, tag, attributes):
        self.tables += tag == "table"
        self.fetched += [
            value
            for name, value in attributes
            if name in ("src", "href", "xlink:href") and not value.startswith("#")
        ]


@pytest.fixture
def unverified(monkeypatch):
    """The claims have tests of their own; how often they were asked for."""
    asked = []
    monkeypatch.setattr(run, "verified_before", lambda device, console: not asked.append(device))
    return asked


def test_from_the_command_line_to_the_page(tmp_path, unverified, capsys, monkeypatch):
    monkeypatch.setattr(local_global, "IMAGES", 20)
    words = ["--out", str(tmp_path), "--seeds", "2", "--iterations", "3"]
    assert main(["reproduce", "weight-decay", *words, "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert "digits: 3 iterations in place of 1000." in said
    assert "The paper does not have the digits." in said
    record = json.loads((tmp_path / "weight-decay.json").read_text(encoding="utf-8"))
    assert [row["seeds"] for row in record["rows"]] == [[1, 2]] * 10
    assert unverified == ["cpu"]
    (made,) = record["runs"]
    assert made["runs"] == 20
    assert made["versions"]["torch"] == torch.__version__
    assert record["command"] == "gradreg reproduce weight-decay --seeds 2 --iterations 3"
    lines = (tmp_path / "weight-decay.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 20
    # Nothing is run again, and the networks that were kept are measured.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert main(["reproduce", "local-global", *words, "--tables"]) == 0
    assert main(["reproduce", "weight-decay", *words]) == 0
    assert unverified == ["cpu"] * 2, "not for tables alone"
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    page = Page()
    page.feed((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.tables == 2
    assert not page.fetched
    for suffix in ("png", "svg"):
        assert (tmp_path / f"local-global.{suffix}").stat().st_size > 5000


def test_a_table_that_is_replaced_is_said(tmp_path, unverified, capsys):
    words = ["reproduce", "confidence-penalty", "--out", str(tmp_path), "--seeds", "1"]
    part = ["--arm", "baseline"]
    assert main([*words, "--iterations", "1", *part]) == 0
    assert "In place of" not in capsys.readouterr().out
    assert main([*words, "--iterations", "2", *part]) == 0
    assert "This table replaces one with other rows or settings" in flat(capsys.readouterr().out)
    assert main([*words, "--iterations", "3", *part, "--tables"]) == 0
    assert "have other settings" in flat(capsys.readouterr().out)


def flat(text):
    return " ".join(text.split())


def test_a_part_of_a_table_and_the_rest_is_not_run(tmp_path, unverified):
    words = ["--seeds", "1", "--iterations", "1", "--out", str(tmp_path)]
    part = ["--row", "300 images", "--arm", "baseline", "--arm", "CP"]
    assert main(["reproduce", "train-size", *words, *part]) == 0
    record = json.loads((tmp_path / "train-size.json").read_text(encoding="utf-8"))
    ran = [(row["row"], row["arm"]) for row in record["rows"] if row["seeds"]]
    assert ran == [("300 images", "baseline"), ("300 images", "CP")]
    assert sum("NOT RUN" in row for row in record["table"]["rows"]) == 13
    assert "--row '300 images' --arm baseline --arm CP" in record["command"]


def test_the_scripts_sum_the_confidence_penalty_over_the_batch():
    run = SETTINGS["mnist"].run
    z = torch.randn(run.batch, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = z.softmax(1)
    ours = arm(run, "CP", 0.01).confidence * confidence_penalty(z)
    assert ours.item() == pytest.approx(0.01 * (p * p.log()).sum().item(), rel=1e-12)


def test_another_width_of_the_residual_net(tmp_path, monkeypatch):
    monkeypatch.setattr(departures, "of_data", lambda run, folder: [f"a note on {run.data}"])
    wanted = {"on": ["mnist", "cifar-10"], "data": tmp_path, "width": 1, "iterations": 7}
    request = SimpleNamespace(**ASKED | wanted)
    experiment = assembly.assembled("weight-decay", request)
    runs = {c.run.data: c.run for c in experiment.cells}
    assert (runs["cifar-10"].width, runs["cifar-10"].iterations) == (1, 7)
    assert (runs["mnist"].width, runs["mnist"].iterations) == (SETTINGS["mnist"].run.width, 7)
    said = experiment.departures
    assert "cifar-10: 1 × (16, 32, 64) filters in place of 3 × (16, 32, 64)." in said
    assert "mnist: 7 iterations in place of 10000." in said
    assert "a note on cifar-10" in said
    assert not any("mnist" in sentence and "filters" in sentence for sentence in said)


def test_the_reduced_protocol_and_what_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(departures, "of_data", lambda run, folder: [])
    wanted = {"on": ["cifar-10"], "data": tmp_path, "protocol": "reduced", "iterations": 7}
    request = SimpleNamespace(**ASKED | wanted)
    experiment = assembly.assembled("weight-decay", request)
    assert all((c.run.width, c.run.blocks, c.run.halved) == (1, 1, True) for c in experiment.cells)
    assert all((c.run.iterations, c.run.learning_rate) == (7, 0.05) for c in experiment.cells)
    said = " ".join(experiment.departures)
    for change in ("7 iterations in place of 50000", "rate of 0.05 in place of 0.01", "blocks on "):
        assert change in said


def test_a_table_with_nothing_run_has_no_figure(tmp_path, unverified):
    words = ["reproduce", "confidence-penalty", "--seeds", "1", "--out", str(tmp_path)]
    assert main([*words, "--iterations", "1", "--arm", "baseline"]) == 0
    assert (tmp_path / "confidence-penalty.png").exists()
    assert main([*words, "--iterations", "2", "--tables"]) == 0
    assert not list(tmp_path.glob("*.png")) + list(tmp_path.glob("*.svg"))
    assert ".png" not in (tmp_path / "tables.md").read_text(encoding="utf-8")


def test_nothing_is_trained_where_a_claim_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "verified_before", lambda device, console: False)
    assert main(["reproduce", "train-size", "--out", str(tmp_path)]) == 1
    assert "Not trained: claims failed, as shown above." in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["weight-decay", "--seeds", "0"], "expected --seeds to be a whole number >= 1"),
        (["weight-decay", "--jobs", "0"], "expected --jobs to be a whole number >= 1"),
        (["weight-decay", "--seeds", "1000000000000"], "expected --seeds of at most 1000"),
        (
            ["weight-decay", "--width", "2", "--on", "digits"],
            "expected no --width for weight-decay",
        ),
        (
            ["weight-decay", "--protocol", "short"],
            "expected --protocol to be one of paper, reduced",
        ),
        (["train-size", "--protocol", "reduced"], "expected --protocol paper for train-size"),
        (["weight-decay", "--noise", "0.2"], "expected --problem and --noise with toy alone"),
        (["toy", "--problem", "cosine"], "expected --problem to be one of sin, square, radial"),
        (["toy", "--noise", "-1"], "expected --noise to be a number >= 0"),
        (["weight-decay", "--budget", "soon"], "expected a budget such as"),
        (["weight-decay", "--data", "{tmp}"], "got none"),
        (["weight-decay", "--on", "mnsit"], "expected --on of weight-decay to be one of"),
        (["train-size", "--row", "7 images"], "expected --row of train-size to be one of"),
        (["train-size", "--arm", "spectreg"], "expected --arm of train-size to be one of"),
        (["tinyimagenet"], "expected --data with tiny-imagenet-200"),
        (["weight-decay", "--budget", "9" * 400 + "h"], "expected a budget such as"),
        (["weight-decay", "--width", "-5", "--on", "cifar-10"], "expected width to be a whole"),
        (
            ["dropout-batchnorm", "--row", "dropout", "--arm", "SpectReg, shared probe"],
            "expected an --arm that the --row has, got none of 'dropout': baseline, SpectReg, Doub",
        ),
        (
            ["toy", "--arm", "SpectReg", "--budget", "1s"],
            "for the toy problem, got --arm SpectReg --budget 1s",
        ),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(tmp_path, unverified, capsys, words, said):
    words = [word.format(tmp=tmp_path) for word in words]
    assert main(["reproduce", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


FILE = """
data = "digits"
train = 60
validation = 50
network = "lenet"
batch = 20
iterations = 3
penalty = "spectreg"
seed = 5
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    from gradreg_experiments.runs import one, tune

    for module in (one, tune):
        monkeypatch.setattr(module, "verified_before", lambda device, console: True)
    path = tmp_path / "run.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_tune_prints_the_curve_and_chooses_by_validation(tmp_path, file, capsys):
    out = tmp_path / "out"
    words = [str(file), "--from", "0.01", "--to", "100", "--points", "3", "--seeds", "2"]
    assert main(["tune", *words, "--out", str(out)]) == 0
    assert " chosen" in capsys.readouterr().out
    record = json.loads((out / "tune.json").read_text(encoding="utf-8"))
    assert list(record["validation"]) == ["0", "0.01", "1", "100"]
    again = shlex.split(record["command"])
    assert again == ["gradreg", "tune", str(file), "--from", "0.01", "--to", "100.0", *words[5:]]
    best = max(record["validation"].values())
    assert record["validation"][f"{record['chosen']:g}"] == best
    assert (out / "tune.png").stat().st_size > 5000


def test_tune_of_the_confidence_penalty_is_a_grid_of_its_weight(tmp_path, file):
    """A run without another penalty: 0 is the plain run, and each β is in the run's name."""
    out = tmp_path / "out"
    text = FILE.replace('penalty = "spectreg"', "confidence = 0.5")
    file.write_text(text, encoding="utf-8")
    words = [str(file), "--from", "0.1", "--to", "10", "--points", "2", "--seeds", "1"]
    assert main(["tune", *words, "--out", str(out)]) == 0
    runs = [
        json.loads(p.read_text("utf-8"))["outcome"]["run"] for p in (out / "runs").glob("*.json")
    ]
    assert sorted((run["penalty"], run["confidence"]) for run in runs) == [
        ("none", 0.0),
        ("none", 0.1),
        ("none", 10.0),
    ]


def test_train_prints_a_line_for_each_seed(tmp_path, file, capsys):
    words = [str(file), "--seeds", "2", "--out", str(tmp_path / "runs")]
    assert main(["train", *words]) == 0
    first = capsys.readouterr().out
    assert "seed 5: test " in first
    assert "seed 6: test " in first
    assert main(["train", *words, "--stack-seeds"]) == 0  # both are there
    assert first.splitlines()[-2:] == capsys.readouterr().out.splitlines()[-2:]


def test_a_file_that_is_not_there_is_a_sentence(tmp_path, file, capsys):
    assert main(["train", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
    assert main(["tune", str(file), "--from", "1", "--to", "0.1"]) == 2
    assert "expected 0 < --from < --to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("{", True),
        ("[" * 100_000, True),
        ('{"experiment": "x", "table": {}}', True),
        ("5", False),
        ("[1]", False),
    ],
)
def test_other_files_in_the_folder(tmp_path, text, ours, capsys):
    (tmp_path / "other.json").write_text(text, encoding="utf-8")
    status = main(["reproduce", "local-global", "--tables", "--out", str(tmp_path)])
    assert status == (2 if ours else 0)
    assert ("other.json" in capsys.readouterr().err) == ours


def test_a_path_that_is_not_utf_8_is_written(tmp_path, unverified):
    words = ["reproduce", "confidence-penalty", "--tables", "--out", str(tmp_path)]
    folder = tmp_path / "da\udcff"
    folder.mkdir()
    assert main([*words, "--data", str(folder), "--on", "digits"]) == 0
    assert "da\\udcff" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_data_set_asked_for_twice_is_there_once(tmp_path, unverified):
    words = ["--on", "digits", "--on", "digits", "--tables", "--out", str(tmp_path)]
    assert main(["reproduce", "confidence-penalty", *words]) == 0
    record = json.loads((tmp_path / "confidence-penalty.json").read_text(encoding="utf-8"))
    assert len(record["rows"]) == 4


def test_damaged_weights_are_named(tmp_path, unverified, capsys):
    words = ["--out", str(tmp_path), "--seeds", "1", "--iterations", "1"]
    assert main(["reproduce", "weight-decay", *words]) == 0
    for path in (tmp_path / "runs").glob("*.weights"):
        path.write_bytes(b"damaged")
    assert main(["reproduce", "local-global", *words, "--tables"]) == 2
    assert "expected the weights of a run in" in capsys.readouterr().err
