"""Results and weights are found again, and a change of a byte is noticed."""

import json
import re
from dataclasses import replace

import pytest
import torch
from gradreg_experiments.runs import one, train
from gradreg_experiments.runs.store import Store, sum_of
from gradreg_experiments.runs.sweep import missing
from runs.common import RUN, flipped, request


@pytest.fixture
def kept(tmp_path):
    """A result in a store."""
    short, store = replace(RUN, iterations=2), Store(tmp_path)
    outcomes, networks = train([short])
    store.keep(outcomes[0], networks[0])
    return short, store, networks[0]


def changed(store, run, change):
    """The record of a run, with another sum."""
    record = json.loads(store.result(run).read_text(encoding="utf-8"))
    change(record)
    text = json.dumps(record | {"sum": sum_of(record)})
    store.result(run).write_text(text, encoding="utf-8")


def test_results_are_kept_and_found(tmp_path):
    store, other = Store(tmp_path), replace(RUN, seed=2)
    short = replace(RUN, iterations=2, validation=0)
    outcomes, networks = train([short])
    store.keep(outcomes[0], networks[0])
    found = store.find(short)
    assert found.validation != found.validation  # nan
    assert replace(found, validation=0) == replace(outcomes[0], validation=0)
    assert missing([(short,), (other, short), (other,)], store) == [(other,)]
    changed(store, short, lambda record: record.update(images="others"))
    assert store.find(short) is None
    (tmp_path / f"{short.id}.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="delete it"):
        store.find(short)


def test_a_flipped_bit_of_weights_is_noticed(kept):
    run, store, network = kept
    for name, value in store.state(run).items():
        assert value.equal(network.state_dict()[name])
    flipped(store.weights(run), store.weights(run).read_bytes().index(b"data/0") + 100)
    torch.load(store.weights(run), weights_only=True)  # torch does not mind
    with pytest.raises(ValueError, match=r"expected the weights of a run in .*delete it, and its"):
        store.state(run)


def test_a_changed_byte_of_a_result_is_noticed(kept):
    """A digit of an accuracy, a letter of a key, a bracket: whatever it is."""
    run, store, _ = kept
    path = store.result(run)
    content = path.read_bytes()
    places = [p for p in range(0, len(content), 7) if not content[p : p + 1].isspace()]
    assert len(places) > 50
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match="delete it to run it again") as caught:
            store.find(run)
        assert str(path) in str(caught.value)
    path.write_bytes(content)
    assert store.find(run) is not None


FOREIGN = {
    "without a sum": lambda text: re.sub(r',\s*"sum": "\w+"', "", text),
    "a list": lambda text: "[1]",
    "nested for ever": lambda text: "[" * 100_000,
    "nothing": lambda text: "",
    "a number beyond any": lambda text: text.replace('"seconds": ', '"seconds": 1e999'),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_result_that_is_not_ours_is_named(kept, name):
    run, store, _ = kept
    text = store.result(run).read_text(encoding="utf-8")
    store.result(run).write_text(FOREIGN[name](text), encoding="utf-8")
    with pytest.raises(ValueError, match=f"expected the result of a run in {store.result(run)}"):
        store.find(run)


def test_the_result_of_another_run_is_named(kept):
    run, store, _ = kept
    changed(store, run, lambda record: record["outcome"]["run"].update(seed=2))
    with pytest.raises(ValueError, match="the result of another run"):
        store.find(run)


@pytest.mark.parametrize("value", [[1], "0.5", {}, True])
@pytest.mark.parametrize("name", ["test", "seconds", "stacked", "diverged"])
def test_a_figure_that_is_no_number_is_named(kept, name, value):
    """The sum fits; what prints the figure would raise an error of its own."""
    run, store, _ = kept
    changed(store, run, lambda record: record["outcome"].update({name: value}))
    with pytest.raises(ValueError, match=f"got: {name} = .*, which is no number; delete it to"):
        store.find(run)


def test_a_run_that_diverged_is_kept_and_found(tmp_path):
    run, store = replace(RUN, learning_rate=1e30, optimiser="nesterov"), Store(tmp_path)
    outcomes, networks = train([run])
    store.keep(outcomes[0], networks[0])
    found = store.find(run)
    assert (found.diverged, found.test) == (20, outcomes[0].test)
    assert found.loss != found.loss


def test_without_validation_images_no_accuracy_on_them_is_printed(kept, monkeypatch, capsys):
    run, store, network = kept
    monkeypatch.setattr(one, "verified_before", lambda device, console: True)
    assert one.run_all(run, request(store)) == 0
    assert "%, validation " in capsys.readouterr().out
    without = replace(run, validation=0)
    store.keep(replace(store.find(run), run=without, validation=float("nan")), network)
    assert one.run_all(without, request(store)) == 0
    out = capsys.readouterr().out
    assert "seed 1: test " in out
    assert " validation " not in out


@pytest.mark.parametrize("content", [None, b""])
def test_weights_that_are_lost_are_named(kept, monkeypatch, capsys, content):
    run, store, _ = kept
    monkeypatch.setattr(one, "verified_before", lambda device, console: True)
    if content is None:
        store.weights(run).unlink()
    else:
        store.weights(run).write_bytes(content)
    assert one.run_all(run, request(store)) == 2
    assert f"expected the weights of a run in {store.weights(run)}" in capsys.readouterr().out


def test_a_run_that_diverged_is_named(tmp_path, monkeypatch, capsys):
    run = replace(RUN, learning_rate=1e30, optimiser="nesterov")
    monkeypatch.setattr(one, "verified_before", lambda device, console: True)
    assert one.run_all(run, request(Store(tmp_path))) == 2
    assert "its loss is not finite at step 20" in capsys.readouterr().out
