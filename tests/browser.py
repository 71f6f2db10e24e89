"""``nox -s browser`` opens the built documentation in a real browser and reports problems.

Every page, on a desktop and on a phone, light and dark: nothing scrolls sideways, formulas have a
size and their font, no code is cut off on a desktop, nothing is fetched from elsewhere, the search
finds. Pictures of some pages go to a folder.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = {"desktop": 1280, "phone": 390}
PICTURES = ("index", "start", "spectreg", "claims", "paper", "train")
# Without these Chromium looks up hosts that no page has asked for.
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the folder and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def problems(page: Page, address: str, on_desktop: bool) -> list[str]:
    """Say what is wrong with a page."""
    fetched, said = [], []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("pageerror", lambda error: said.append(f"a script failed: {error}"))
    page.goto(address)
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    formulas = "[...document.querySelectorAll('math')]"
    flat = page.evaluate(f"{formulas}.filter(m => !m.getBoundingClientRect().height).length")
    font = page.evaluate(
        "document.fonts.load('16px \"STIX Two Math\"').then(f => f.length, () => 0)"
    )
    code = "[...document.querySelectorAll('div.highlight-python pre')]"
    cut = page.evaluate(f"{code}.filter(e => e.scrollWidth > e.clientWidth).length")
    broken = page.evaluate(
        "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    )
    elsewhere = [url for url in fetched if not url.startswith(("http://127.0.0.1", "data:"))]
    said += [f"scrolls sideways by {wide} pixels"] * (wide > 0)
    said += [f"{flat} formulas without a height"] * (flat > 0)
    said += ["the mathematical font does not load"] * (font != 1)
    said += [f"{cut} blocks of code cut off at the right"] * (cut > 0 and on_desktop)
    said += [f"images that do not load: {broken}"] * bool(broken)
    said += [f"fetches {elsewhere}"] * bool(elsewhere)
    return said


def search(browser: Browser, address: str) -> list[str]:
    """Say what is wrong with the search."""
    page = browser.new_page()
    page.goto(f"{address}/search.html?q=unbiased")
    page.wait_for_selector("#search-results li", timeout=10_000)
    found = page.locator("#search-results li").all_inner_texts()
    return [] if any("SpectReg" in text for text in found) else [f"search found {found}"]


def main(html: Path, out: Path, chromium: str) -> int:
    """Return 1 if something is wrong, and leave pictures in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    pages = sorted(path.stem for path in html.glob("*.html") if path.stem != "genindex")
    wrong = []
    with served(html) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for device, width in WIDTHS.items():
            for scheme in ("light", "dark"):
                size = {"width": width, "height": 900}
                context = browser.new_context(viewport=size, color_scheme=scheme)
                for name in pages:
                    page = context.new_page()
                    said = problems(page, f"{address}/{name}.html", width == WIDTHS["desktop"])
                    wrong += [f"{name}, {device}, {scheme}: {sentence}" for sentence in said]
                    if name in PICTURES:
                        page.screenshot(path=out / f"{name}-{device}-{scheme}.png")
                    page.close()
                context.close()
        wrong += search(browser, address)
        browser.close()
    print("\n".join([*wrong, f"{len(pages)} pages, {len(wrong)} problems; pictures in {out}"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
