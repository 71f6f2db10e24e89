"""Damaged files for everything that reads JSON or TOML: ``python tests/fuzz.py 3000``.

Whatever a file holds, its reader returns, or raises a ValueError that names the file. The script
prints how often a reader did neither; `test_files.py` runs a part of it.
"""

import json
import os
import random
import resource
import signal
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

from gradreg_verify import vectors
from gradreg_verify.report import e_values, history, render, waivers

ROOT = Path(__file__).parents[1]
SECONDS = 2  # after which a reader is said to hang
WORDS = [
    *("NaN", "-Infinity", "1e400", "1e-400", "-1", "0", "1.5", "true", "null", "9" * 400),
    *("9" * 5000, '""', '"\\ud800"', '"\\u001b[31m"', "[]", "{}", "[" * 200 + "]" * 200),
    *("[" * 100_000, '{"a": ' * 90 + "1" + "}" * 90, '{"a": 1, "a": 2}', "inf", "nan", "'x'"),
    *("1979-05-27", "a." * 5000 + "b", "\x00", "\ufeff", "[[a]]\n" * 50, "99999999", "[1, [2]]"),
]


def readers():
    """Name of a file, a right text of it, files beside it, and what reads it."""
    cases = json.loads(vectors.published("v1.json"))["cases"][:2]
    given = json.dumps({"format": 1, "cases": cases})
    results = [{k: case[k] for k in ("name", "value", "gradient")} for case in cases]
    evidence = {"f (spectreg)": [{"seed": s, "p": 0.5, "tests": 30} for s in range(3)]}
    verdict = {"torch on cpu": {"date": "now", "framework": "torch 2", "outcome": "20 hold"}}
    report = (ROOT / "docs" / "verdicts" / "loopback.json").read_text(encoding="utf-8")
    yield "w.toml", '[waivers]\nS1 = "why"\nrepeatable = "so"\n', {}, waivers.read
    yield "e.json", json.dumps(evidence), {}, e_values.read
    yield "r.json", report, {}, render.read
    yield "v.json", given, {}, in_its_folder(vectors.check)
    yield "v.results.json", json.dumps({"results": results}), {"v.json": given}, check_vectors
    yield "gradreg/verified.json", json.dumps(verdict), {}, remembered
    if all(map(find_spec, ("torch", "matplotlib", "rich", "sklearn"))):
        yield from readers_of_experiments()


def readers_of_experiments():
    """The same of those that need torch."""
    from gradreg_experiments.reproduce import budget, page, record
    from gradreg_experiments.runs import from_toml
    from gradreg_experiments.runs.store import Store, from_record

    run = 'data = "digits"\ntrain = 20\nnetwork = "lenet"\nseed = 1\nbatch = 10\n'
    run += 'penalty = "spectreg"\nlam = 0.1\n[options]\nprobe = "sphere"\nnum_probes = 2\n'
    yield "run.toml", run, {}, from_toml
    table = (ROOT / "experiments" / "results" / "initialisation.json").read_text(encoding="utf-8")
    yield "table.json", table, {}, in_its_folder(page.write_page)
    result = SimpleNamespace(experiment=SimpleNamespace(name="old"), rows=[])
    yield "old.json", table, {}, in_its_folder(lambda folder: record.replaced(folder, result))
    kept = next(iter((ROOT / "experiments" / "results" / "reduced" / "runs").glob("*.json")))

    def planned(path):
        return budget.planned(path, "c", lambda: budget.Plan(3, 1.0, "3 seeds"))

    def find(path):
        run = SimpleNamespace(id=path.stem)
        return Store(path.parent).read(run, lambda found: from_record(found["outcome"], run))

    plan = {"command": "c", "seeds": 3, "share": 0.5, "sentence": "3 seeds"}
    yield "plan.json", json.dumps(plan), {}, planned
    yield kept.name, kept.read_text(encoding="utf-8"), {}, find


def in_its_folder(read):
    return lambda path: read(path.parent)


check_vectors = in_its_folder(vectors.check)


def remembered(path):
    """Where no verdict can be read, none is known."""
    os.environ["XDG_STATE_HOME"] = str(path.parents[1])
    return history.last("torch", "cpu", "torch 2")


def damaged(text, chance):
    """The bytes of a text after one to three changes."""
    content = text.encode()
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(content) + 1)
        end = start + chance.choice((0, 1, 4, 30, 1000, len(content)))
        word = chance.choice(WORDS).encode()
        content = chance.choice(
            (
                content[:start] + word + content[end:],
                content[:start] + bytes([chance.randrange(256)]) + content[start + 1 :],
                content[:start],
                content[:start] + content[start:end] + content[start:],
                with_another_value(content, word, chance),
            )
        )
    return (
        chance.choice((b"", b"\xef\xbb\xbf", b"\xff\xfe")) + content if start % 9 == 0 else content
    )


def with_another_value(content, word, chance):
    """One value in place of another, so that the file stays what it is but for that."""
    ends = [i for i, byte in enumerate(content) if byte in b",\n}]"]
    starts = [i for i, byte in enumerate(content) if byte in b":=[,"]
    if not starts:
        return word
    start = chance.choice(starts) + 1
    end = next((i for i in ends if i >= start), len(content))
    return content[:start] + word + content[end:]


def no_files(path):
    """What stands where a file should: nothing, a folder, a pipe, a device, a loop, 4 GB."""

    def large():
        path.touch()
        os.truncate(path, 4 << 30)

    yield lambda: None
    yield path.mkdir
    yield lambda: os.mkfifo(path)
    yield lambda: path.symlink_to("/dev/zero")
    yield lambda: path.symlink_to(path)
    yield large


def outcome(read, path):
    """'' if the reader returned or said what is wrong in one sentence; else what it did."""

    def hangs(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        read(path)
    except ValueError as error:
        return "" if str(path) in str(error) or str(path.parent) in str(error) else f"{error!r}"
    except TimeoutError:
        return "hangs"
    except Exception as error:
        return f"{error!r:.200}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ""


def trials(count, seed):
    """Name of a file, and the outcome of its reader, `count` times and on whatever is no file."""
    chance, every = random.Random(seed), list(readers())
    for name, _, _, read in every:
        with tempfile.TemporaryDirectory() as folder:
            kinds = len(list(no_files(Path(folder))))
        for kind in range(kinds):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                list(no_files(path))[kind]()
                yield name, f"no file {kind}", outcome(read, path)
    for number in range(count):
        name, text, others, read = every[number % len(every)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            for other, content in others.items():
                (path.parent / other).write_text(content, encoding="utf-8")
            content = damaged(text, chance)
            path.write_bytes(content)
            yield name, content, outcome(read, path)


def main():
    """Run as many trials as asked for, and print what came."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0
    wrong = Counter()
    number = 0
    for number, (name, content, said) in enumerate(trials(count, seed), 1):  # noqa: B007
        if said:
            wrong[name, said] += 1
            print(f"{name}: {said}\n    {content[:300]!r}", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{number} files, {wrong.total()} tracebacks or hangs, {memory:.0f} MB at most")


if __name__ == "__main__":
    main()
