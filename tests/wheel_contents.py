"""Run by ``nox -s wheel``: the wheel holds the packages and nothing else.

Usage: python tests/wheel_contents.py DIRECTORY-OF-THE-BUILT-FILES
"""

import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGES = {
    "gradreg_ref",
    "gradreg_verify",
    "gradreg_torch",
    "gradreg_jax",
    "gradreg_experiments",
    "gradreg_cli",
}
DATA = (
    "gradreg_experiments/figures.mplstyle",
    "gradreg_experiments/reproduce/page.css",
    "gradreg_verify/report/report.css",
    "gradreg_verify/vectors/v1.json",
    "gradreg_verify/vectors/v1.mistakes.json",
    "gradreg_verify/vectors/vectors.schema.json",
)


def check(directory):
    """Exit with a sentence where the wheel or the sdist is not what it should be."""
    (wheel,) = Path(directory).glob("*.whl")
    (sdist,) = Path(directory).glob("*.tar.gz")
    files = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in files if ".dist-info" not in name}
    expected = sorted(PACKAGES)
    assert tops == PACKAGES, f"expected {expected} in the wheel, got {sorted(tops)}"
    for package in PACKAGES:
        assert f"{package}/py.typed" in files, f"expected {package}/py.typed in the wheel"
    for name in DATA:
        assert name in files, f"expected {name} in the wheel"
    assert any(name.endswith("licenses/LICENSE") for name in files), "expected LICENSE in the wheel"
    with tarfile.open(sdist) as archive:
        sources = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for needed in ("README.md", "noxfile.py", "tests/conftest.py", "docs/index.md"):
        assert needed in sources, f"expected {needed} in the sdist"
    print(f"{len(files)} files in the wheel, {len(sources)} in the sdist")


if __name__ == "__main__":
    check(sys.argv[1])
