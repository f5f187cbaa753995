"""The pages in a real browser: by mouse, by keyboard, in the dark, on a phone, without JavaScript.

One service over one trained experiment, one browser. Whatever page a test opens, the browser must
have nothing to complain of and ask no other host for anything.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from .processes import PYTHON, TRACKER, environment, free_port, kill, place, start, succeed

pytestmark = pytest.mark.system

CHROMIUM = Path("/usr/bin/chromium")

TRAINING = """
import mlflow
import torch
import tracker

class Net(torch.nn.Module):
    def __init__(self, hidden, depth=2):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(depth))
        self.head = torch.nn.Linear(4, hidden)

mlflow.set_experiment("digits")
for hidden, losses in ((8, [0.9, 0.5, 0.4]), (16, [0.8, 0.3, 0.2])):
    with mlflow.start_run():
        for epoch, loss in enumerate(losses):
            tracker.log_checkpoint(Net(hidden), epoch=epoch, metrics={"val_loss": loss})
tracker.register(tracker.best_checkpoint("val_loss"), "digits-net", alias="champion")
"""

COMPLAINTS = """
window.complaints = [];
window.shifted = 0;
document.addEventListener("securitypolicyviolation", (event) => {
  window.complaints.push(`${event.violatedDirective} ${event.blockedURI}`);
});
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""

FAINT_TEXTS = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) =>
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return parts("white");
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest("script, noscript")) continue;
    const a = luminance(parts(getComputedStyle(element).color));
    const b = luminance(ground(element));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(`${text.slice(0, 30)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}
"""


@dataclass
class Site:
    """A running service, and a browser that looks at it."""

    address: str
    browser: Browser
    best: dict[str, Any]
    complaints: list[str] = field(default_factory=list)

    @property
    def experiment(self) -> str:
        return f"/experiments/{self.best['experiment_id']}"

    @property
    def checkpoint(self) -> str:
        return f"/checkpoints/{self.best['id']}"

    @contextlib.contextmanager
    def window(self, **options: Any) -> Iterator[Page]:
        """Open a window in a fresh profile; whatever it complains of is in ``complaints``."""
        context = self.browser.new_context(base_url=self.address, **options)
        context.add_init_script(COMPLAINTS)
        self._listen(context)
        page = context.new_page()
        yield page
        if options.get("java_script_enabled", True):
            self.complaints += page.evaluate("window.complaints")
        context.close()

    def _listen(self, context: BrowserContext) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(message.text)

        context.on("console", said)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        host = urlsplit(self.address).netloc
        context.on(
            "request",
            lambda request: (
                None
                if urlsplit(request.url).netloc == host
                else self.complaints.append(request.url)
            ),
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"There is no {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        arguments += ["--disable-component-update", "--disable-sync"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site_of_module(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, database_template: Path
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("page")
    variables = environment(directory)
    place(database_template, directory)
    (directory / "train.py").write_text(TRAINING)
    address = f"http://127.0.0.1:{free_port()}"
    command = (TRACKER, "serve", "--port", address.rpartition(":")[2])
    process = start(*command, directory=directory, variables=variables)
    try:
        succeed(PYTHON, "train.py", directory=directory, variables=variables)  # while that starts
        wait_for(f"{address}/health")
        with urllib.request.urlopen(f"{address}/api/1/best?metric=val_loss", timeout=10) as answer:
            yield Site(address, browser, json.load(answer)["checkpoints"][0])
    finally:
        kill(process)


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "The service does not answer."
            time.sleep(0.05)


@pytest.fixture
def site(site_of_module: Site) -> Iterator[Site]:
    site_of_module.complaints.clear()
    yield site_of_module
    assert site_of_module.complaints == []


def test_from_the_list_to_the_best_checkpoint_with_the_mouse(site: Site) -> None:
    with site.window(viewport={"width": 1280, "height": 900}) as page:
        page.goto("/")
        page.get_by_role("link", name="digits").click()
        plot = page.get_by_role("application")
        page.wait_for_selector(".plot canvas")
        box = plot.bounding_box()
        assert box is not None
        # The best is the last and lowest dot.
        for right in range(2, 60, 3):
            page.mouse.move(box["x"] + box["width"] - right, box["y"] + box["height"] - 60)
            if page.locator(".tip").is_visible():
                break
        tip = page.locator(".tip").inner_text()
        page.mouse.down()
        page.mouse.up()
        page.wait_for_url("**/checkpoints/**")

        assert "0.2" in tip
        assert "epoch-2" in tip
        assert page.url.endswith(site.checkpoint)
        assert page.get_by_label("constructor call").inner_text().strip() == "Net(hidden=16)"


def test_from_dot_to_dot_with_the_keyboard(site: Site) -> None:
    with site.window() as page:
        page.goto(site.experiment)
        page.keyboard.press("Tab")
        skip = page.evaluate("document.activeElement.textContent")
        page.get_by_role("application").focus()
        told = []
        for key in ("ArrowRight", "ArrowLeft", "ArrowDown"):
            page.keyboard.press(key)
            told.append(page.locator("#chart-status").inner_text())
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_url("**/checkpoints/**")

        assert skip == "Skip to content"
        assert [each.split(", run")[0] for each in told] == ["epoch-2", "epoch-1", "epoch-1"]
        assert told[0].endswith("val_loss 0.2, the best")
        assert [each.rpartition(" ")[2] for each in told[1:]] == ["0.3", "0.5"]
        assert page.url.endswith(site.checkpoint)


def test_a_wrong_filter_is_told_where_it_was_typed_and_can_be_put_right(site: Site) -> None:
    with site.window() as page:
        page.goto(site.experiment)
        page.get_by_label("Filter").fill("metrics.val_loss <")
        page.keyboard.press("Enter")
        field = page.get_by_label("Filter")
        page.wait_for_selector("[role=alert]")

        assert field.input_value() == "metrics.val_loss <"
        assert page.evaluate("document.activeElement.id") == "filter"
        assert "It ends too early." in page.get_by_role("alert").inner_text()

        field.fill("metrics.val_loss < 0.45 AND params.hidden = '8'")
        page.get_by_role("button", name="Show").click()
        page.wait_for_load_state()

        assert page.locator(".checkpoints tbody tr").count() == 1
        assert page.get_by_role("alert").count() == 0


@pytest.mark.parametrize("by_https", [True, False])
def test_the_lines_that_load_it_are_copied_with_the_keyboard_and_that_is_said(
    site: Site, by_https: bool
) -> None:
    with site.window(permissions=["clipboard-read", "clipboard-write"]) as page:
        if not by_https:  # where browsers keep the clipboard from scripts
            page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
        page.goto(site.checkpoint)
        page.get_by_role("button", name="Copy the lines that load the model").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Copied.")

        assert page.evaluate("navigator.clipboard.readText()") == (
            f'import tracker\nmodel = tracker.load_model("{site.best["id"]}")'
        )
        assert page.locator(".code [role=status]").first.inner_text() == "Copied."


def test_the_architecture_opens_with_the_keyboard(site: Site) -> None:
    with site.window() as page:
        page.goto(site.checkpoint)
        summary = page.locator(".tree summary").filter(has_text="ModuleList")
        row = page.get_by_text("0 to 1")
        before = row.is_visible()
        summary.focus()
        page.keyboard.press("Space")

        assert before != row.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_and_nothing_jumps(site: Site, scheme: Any) -> None:
    grounds = set()
    with site.window(color_scheme=scheme) as page:
        for path in (
            "/",
            site.experiment,
            f"{site.experiment}?filter=<",
            site.checkpoint,
            "/models",
        ):
            page.goto(path)
            assert page.evaluate(FAINT_TEXTS) == []
            assert page.evaluate("window.shifted") < 0.01
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    (ground,) = grounds
    assert (ground == "rgb(19, 20, 23)") == (scheme == "dark")


def test_a_phone_shows_every_page_without_scrolling_sideways(site: Site) -> None:
    with site.window(viewport={"width": 360, "height": 740}, has_touch=True) as page:
        for path in (
            "/",
            site.experiment,
            f"{site.experiment}?filter=<",
            site.checkpoint,
            "/models",
        ):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_javascript_everything_but_the_curves_is_there(site: Site) -> None:
    with site.window(java_script_enabled=False) as page:
        page.goto(site.experiment)
        page.get_by_label("Better is").select_option("max")
        page.get_by_role("button", name="Show").click()

        assert "The curves need JavaScript." in page.locator(".plot").inner_text()
        assert page.locator(".best .large").inner_text() == "0.9"
        assert page.get_by_role("button", name="Copy").count() == 0
        assert page.locator(".checkpoints tbody tr").count() == 6
