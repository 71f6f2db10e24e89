"""Every experiment as cells. A cell is an arm in a row, a run, and what the poster has there."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

from gradreg_experiments.reproduce.settings import ARMS, SETTINGS, SIZES, Setting, arm
from gradreg_experiments.runs import Run

_Lams = Mapping[str, float]  # λ of arms
_Percent = tuple[float, float | None]  # accuracy, standard deviation


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Parameters
    ----------
    row, arm : str
        Where the cell stands. The other arms of a row are compared with the row's arm "baseline".
    run : Run
        Of every seed.
    poster : tuple, optional
        Accuracy and standard deviation over 10 seeds on the poster, in per cent.
    figure : str
        The figure of an `Outcome` that the cell shows: "test" or "top5".
    """

    row: str
    arm: str
    run: Run
    poster: _Percent | None = None
    figure: str = "test"


@dataclass(frozen=True)
class Experiment:
    """A table.

    Parameters
    ----------
    name, title : str
        On the command line, and of the page.
    cells : tuple of Cell
        Row by row.
    departures : tuple of str
        How the table departs from the poster and the scripts, a sentence each.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    departures: tuple[str, ...] = ()


_THREE = ("baseline", "SpectReg", "DoubleBack")
_WEIGHT_DECAY = {  # data set, with weight decay: baseline, SpectReg
    ("mnist", False): ((97.25, 0.22), (97.69, 0.11)),
    ("mnist", True): ((97.40, 0.15), (97.73, 0.13)),
    ("cifar-10", False): ((48.27, 0.82), (50.41, 0.65)),
    ("cifar-10", True): ((55.63, 2.06), (59.24, 1.48)),
    ("cifar-100", False): ((37.81, 0.33), (41.80, 0.70)),
    ("cifar-100", True): ((49.56, 2.96), (52.49, 0.65)),
}
_CONFIDENCE = {  # data set: baseline, SpectReg, DoubleBack, CP
    "mnist": (97.39, 97.79, 97.89, 97.57),
    "cifar-10": (55.63, 59.24, 57.45, 58.30),
    "cifar-100": (49.56, 52.49, 48.72, 51.04),
}
_DROPOUT = {  # layer: no penalty, SpectReg, DoubleBack
    "neither": ((96.99, 0.15), (97.59, 0.13), (97.56, 0.24)),
    "batch norm": ((96.89, 0.23), (96.94, 0.27), (96.89, 0.22)),
    "dropout": ((97.29, 0.19), (97.65, 0.14), (97.98, 0.12)),
}


def _with_decay(setting: Setting) -> Run:
    """The run with the paper's weight decay."""
    return replace(setting.run, weight_decay=setting.weight_decay)


def _arms(
    row: str, run: Run, lams: _Lams, names: Iterable[str] = ARMS, poster: Iterable[_Percent] = ()
) -> list[Cell]:
    """The cells of a row: each arm with its λ, and what the poster has of the first arms."""
    return [
        Cell(row, name, arm(run, name, lams.get(name, 0)), printed)
        for name, printed in zip_longest(names, poster)
    ]


def _variants(
    row: str, run: Run, lam: float, variants: Mapping[str, Mapping[str, Any]]
) -> list[Cell]:
    """The baseline, SpectReg, and SpectReg with other choices of the run."""
    spect = arm(run, "SpectReg", lam)
    others = [Cell(row, f"SpectReg, {n}", replace(spect, **v)) for n, v in variants.items()]
    return [Cell(row, "baseline", run), Cell(row, "SpectReg", spect), *others]


def _weight_decay(data: str) -> Experiment:
    """Weight decay and gradient regularisation, 2000 training points."""
    setting, cells = SETTINGS[data], list[Cell]()
    for decays in (False, True):
        run = _with_decay(setting) if decays else setting.run
        lams = setting.lams if decays else setting.lams | setting.lams_without
        row = f"{setting.title}, weight decay {run.weight_decay:g}"
        names = [name for name in ARMS if name in ("baseline", *lams)]
        cells += _arms(row, run, lams, names, _WEIGHT_DECAY.get((data, decays), ()))
    return Experiment("weight-decay", "Weight decay", tuple(cells))


def _confidence_penalty(data: str) -> Experiment:
    """A comparison with the confidence penalty, with weight decay."""
    setting, names = SETTINGS[data], (*_THREE, "CP")
    poster = [(mean, None) for mean in _CONFIDENCE.get(data, ())]
    cells = _arms(setting.title, _with_decay(setting), setting.lams, names, poster)
    return Experiment("confidence-penalty", "Against the confidence penalty", tuple(cells))


def _dropout_batchnorm(data: str) -> Experiment:
    """Dropout, batch norm instead of dropout, or neither, with weight decay."""
    run, cells = _with_decay(SETTINGS[data]), list[Cell]()
    for row, poster in _DROPOUT.items():
        norm = row == "batch norm"
        lams = {"SpectReg": 0.001, "DoubleBack": 0.001} if norm else {"SpectReg": 0.01}
        layer = replace(run, dropout=row == "dropout", batch_norm=norm)
        made = _arms(
            row, layer, {"DoubleBack": 50} | lams, _THREE, poster if data == "mnist" else ()
        )
        if norm:
            shared = replace(made[1].run, options={"shared_probe": True})
            made.insert(2, replace(made[1], arm="SpectReg, shared probe", run=shared))
        cells += made
    departures = (
        "The table has the λ that a script notes for this table. That script trains a wider LeNet, "
        "of 32 and 64 filters. The poster does not say which LeNet was trained.",
        "The scripts share a probe among a batch. With batch norm a shared probe makes SpectReg "
        "zero, because the outputs of batch norm add up to a constant. The table has a shared "
        "probe, and a probe for each example.",
    )
    return Experiment("dropout-batchnorm", "Dropout and batch norm", tuple(cells), departures)


def _train_size(data: str) -> Experiment:
    """Accuracy against the number of training images, with weight decay."""
    run, cells = _with_decay(SETTINGS[data]), list[Cell]()
    sizes = SIZES if data == "mnist" else dict.fromkeys((100, 300, 1000), SIZES[500])
    for n, lams in sizes.items():
        cells += _arms(f"{n} images", replace(run, train=n), lams)
    departures = (
        "The poster shows a curve without numbers.",
        "JacReg has the λ that the scripts list for JacReg. Their command passes SpectReg's λ.",
    )
    return Experiment("train-size", "Training-set size", tuple(cells), departures)


def _semi_supervised(data: str) -> Experiment:
    """SpectReg on images without labels as well. The poster announces this, without a table."""
    setting, cells = SETTINGS[data], list[Cell]()
    few, many = ((100, 10_000), (500, 10_000)), ((100, 500),)
    for n, unlabelled in few if data == "mnist" else many:
        run = replace(_with_decay(setting), train=n)
        variants = {"unlabelled too": {"unlabelled": unlabelled}}
        cells += _variants(f"{n} labels", run, setting.lams["SpectReg"], variants)
    return Experiment("semi-supervised", "Images without labels", tuple(cells))


def _initialisation(data: str) -> Experiment:
    """The initial weights of the scripts, or He's: the effect of λ depends on them."""
    setting, cells = SETTINGS[data], list[Cell]()
    laws: dict[str, Literal["scripts", "he"]] = {"the scripts'": "scripts", "He's": "he"}
    for row, law in laws.items():
        cells += _arms(row, replace(_with_decay(setting), initialisation=law), setting.lams, _THREE)
    return Experiment("initialisation", "Initialisation", tuple(cells))


def _probes(data: str) -> Experiment:
    """SpectReg with probes of less noise (frames) and of more (one probe for the whole batch)."""
    setting = SETTINGS[data]
    variants: dict[str, dict[str, Any]] = {
        "frames": {"options": {"probe": "frames"}},
        "shared probe": {"options": {"shared_probe": True}},
    }
    cells = _variants(setting.title, _with_decay(setting), setting.lams["SpectReg"], variants)
    departures = ("The poster does not compare probes. The scripts share a probe among a batch.",)
    return Experiment("probes", "Probes", tuple(cells), departures)


def _tinyimagenet(data: str) -> Experiment:
    """200 classes. Poster and scripts name neither network nor λ."""
    run = replace(
        SETTINGS["cifar-100"].run,
        data=data,
        train=20_000,
        balanced=True,
        validation=0,
        width=2,
        weight_decay=3e-4,
    )
    spect = arm(run, "SpectReg", 3e-4)
    cells = (
        Cell("top 1", "baseline", run, (44.62, 0.58)),
        Cell("top 1", "SpectReg", spect, (50.76, 0.59)),
        Cell("top 5", "baseline", run, (70.20, 0.58), "top5"),
        Cell("top 5", "SpectReg", spect, (75.93, 0.40), "top5"),
    )
    departures = (
        "Poster and scripts name no architecture, λ or weight decay. The table has the residual "
        "net of CIFAR with two thirds of the width, images halved by the first convolution, "
        "λ 0.0003, and weight decay 0.0003.",
        "20,000 training images, 100 of each class, in place of 100,000.",
    )
    return Experiment("tinyimagenet", "TinyImageNet-200", cells, departures)


def _local_global(data: str) -> Experiment:
    """The networks of the weight-decay table whose Jacobians are measured."""
    cells = (replace(cell, poster=None) for cell in _weight_decay(data).cells)
    measured = tuple(c for c in cells if c.arm in _THREE)
    departures = (
        "The poster claims that the norm is small everywhere, and shows this for the toy problem "
        "only.",
    )
    return Experiment("local-global", "Local or global control", measured, departures)


EXPERIMENTS: dict[str, Callable[[str], Experiment]] = {
    "weight-decay": _weight_decay,
    "dropout-batchnorm": _dropout_batchnorm,
    "train-size": _train_size,
    "confidence-penalty": _confidence_penalty,
    "semi-supervised": _semi_supervised,
    "local-global": _local_global,
    "initialisation": _initialisation,
    "probes": _probes,
    "tinyimagenet": _tinyimagenet,
}
