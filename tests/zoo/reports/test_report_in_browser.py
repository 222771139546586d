"""The page of `zoo report` in Chromium: what a person sees, presses and saves there."""

import csv
import json
import os
import shlex
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

import zoo
from zoo.data.labels import read_labels
from zoo.evaluation.reporting import report
from zoo.reports.page import write_page
from zoo.reports.page.tiles import make_tiles

MODEL = "simclr-resnet8-digits"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\">, 'quoted' &amp; \u202e𝓍"
CONTRAST = """
function luminance(colour) {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function background(element) {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!colour.startsWith("rgba")) return colour;
  }
  return "rgb(255, 255, 255)";
}
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility() || element.tagName === "SCRIPT" || element.closest(".wrong")) continue;
  const [a, b] = [getComputedStyle(element).color, background(element)].map(luminance);
  found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 80)]);
}
return found.sort((a, b) => a[0] - b[0])[0];
"""

UNNAMED = """
const controls = [...document.querySelectorAll("select, input, button")];
return controls.filter((e) => !e.ariaLabel && !e.labels?.length && !e.textContent.trim()).length;
"""


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("path", "label"), *rows])


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser. It is skipped on a machine without one, but fails in CI."""
    found, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not found or not driver:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("install Debian's packages chromium and chromium-driver")
    options = ChromeOptions()
    options.binary_location = found
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


@pytest.fixture
def open_page(chromium, tmp_path):
    """Open a page at a width in pixels and a colour scheme; nothing may be in the log of errors at the end."""
    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    for kind in ("browser", "performance"):
        chromium.get_log(kind)  # of the tests before

    def opened(path, width=1200, scheme="light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]
        features = [{"name": name, "value": value} for name, value in media]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        chromium.get(f"file://{path}")
        WebDriverWait(chromium, 20).until(lambda _: chromium.execute_script("return canvas.dataset.drawn"))
        return chromium

    yield opened
    assert chromium.get_log("browser") == []


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """120 digits as files, of which 60 have labels, a classifier, and the report."""
    home = tmp_path_factory.mktemp("home")
    data = zoo.load_dataset("digits")
    (home / "photos").mkdir()
    for i in range(120):
        Image.fromarray(data.train.images[i, 0].numpy()).save(home / "photos" / f"{i:03}, a digit.png")
    labels = data.train.labels[:60].tolist()
    write(home / "labels.csv", [[f"photos/{i:03}, a digit.png", f"class {label}"] for i, label in enumerate(labels)])
    given = (home / "photos", "--labels", home / "labels.csv")
    run("fit", MODEL, *given, "--out", home / "classifier")
    run("report", home / "classifier", *given, "--out", home / "report.html", "--next", 5)
    return home


def active(browser):
    return browser.switch_to.active_element.get_attribute("id")


def press(browser, *keys):
    ActionChains(browser).send_keys(*keys).perform()


def downloaded(folder):
    """The bytes of the CSV that the page saved."""
    deadline = time.monotonic() + 10
    while not (found := list(Path(folder).glob("labels*.csv"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found[0]


def test_labels_given_with_the_keyboard_reach_the_csv_and_the_next_fit(home, open_page, tmp_path):
    browser = open_page(home / "report.html")
    suggested = browser.execute_script("return data.suggested")
    browser.execute_script("localStorage.clear()")
    ids = [f"select-{i}" for i in suggested]
    browser.execute_script("document.getElementById(arguments[0]).focus()", ids[0])
    press(browser, "3")
    assert active(browser) == ids[1]
    press(browser, Keys.ENTER)  # goes on without a label
    assert active(browser) == ids[2]
    Select(browser.find_element(By.ID, ids[2])).select_by_visible_text("a new class …")
    press(browser, ' an "odd", one ', Keys.ENTER)
    assert active(browser) == ids[3]
    assert "2 of 5 labelled here; the file has 62 labels" in browser.find_element(By.ID, "progress").text
    browser.refresh()  # the labels are kept
    assert Select(browser.find_element(By.ID, ids[2])).first_selected_option.text == 'an "odd", one'
    browser.find_element(By.ID, "save-button").send_keys(Keys.ENTER)
    path = downloaded(tmp_path)
    header, *rows = csv.reader(path.read_text().splitlines())
    assert header == ["path", "label"] and len(rows) == 62
    photos = sorted(str(photo) for photo in (home / "photos").iterdir())
    assert [photos[suggested[0]], "class 2"] in rows and [photos[suggested[2]], 'an "odd", one'] in rows
    given = read_labels(home / "labels.csv", photos, files=True)
    saved = read_labels(path, photos, files=True)
    assert {i: label for i, label in saved.items() if i in given} == given
    zoo_, *command = shlex.split(browser.find_element(By.ID, "command").text)
    assert zoo_ == "zoo" and command[-1] == str(home / "classifier-2")
    command[command.index("~/Downloads/labels.csv")] = path
    command[-1] = tmp_path / "next"
    fitted = run(*command, "--json").stdout
    assert json.loads(fitted)["labels"]['an "odd", one'] == 1


def test_the_page_asks_nothing_of_a_network(home, open_page):
    browser = open_page(home / "report.html")
    for button in browser.find_elements(By.CSS_SELECTOR, "#confusion-table button"):
        button.click()
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file://", "data:", "blob:")) for url in asked)
    blocked = browser.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));"
        "new Image().src = 'http://127.0.0.1:9/x.png';"
    )
    assert blocked == "img-src"
    assert len(browser.get_log("browser")) == 1  # the line about this very image


def test_a_cell_of_the_confusion_matrix_shows_its_images(home, open_page):
    browser = open_page(home / "report.html")
    cells = browser.find_elements(By.CSS_SELECTOR, "#confusion-table button")
    judged = browser.execute_script("return data.judged")
    assert sum(int(cell.text) for cell in cells) == len(judged["images"])
    cells[0].send_keys(Keys.ENTER)
    assert cells[0].get_attribute("aria-pressed") == "true"
    assert (
        cells[0]
        .get_attribute("aria-label")
        .startswith(browser.find_element(By.CSS_SELECTOR, "#cell-title h3").text[:20])
    )
    assert len(browser.find_elements(By.CSS_SELECTOR, "#cell-list li")) == int(cells[0].text)
    WebDriverWait(browser, 5).until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#cell-list canvas[data-drawn]"))
    browser.find_element(By.CSS_SELECTOR, "#cell-list button").click()
    assert active(browser) == "canvas" and "kept" in browser.find_element(By.ID, "card").get_attribute("class")


def test_pointing_at_an_image_shows_it_and_arrows_go_on(home, open_page):
    browser = open_page(home / "report.html")
    canvas = browser.find_element(By.ID, "canvas")
    x, y = browser.execute_script("canvas.scrollIntoView(); return [screenX[7], screenY[7]]")
    box = canvas.rect
    from_middle = (round(x - box["width"] / 2), round(y - box["height"] / 2))
    ActionChains(browser).move_to_element_with_offset(canvas, *from_middle).perform()
    card = browser.find_element(By.ID, "card")
    WebDriverWait(browser, 5).until(lambda _: card.find_elements(By.CSS_SELECTOR, "canvas[data-drawn]"))
    assert "a digit.png" in card.text and "label: class" in card.text and "prediction: class" in card.text
    browser.execute_script("canvas.focus()")
    press(browser, Keys.ARROW_RIGHT)
    first = browser.find_element(By.ID, "map-said").get_attribute("textContent")
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert first != browser.find_element(By.ID, "map-said").get_attribute("textContent")
    press(browser, "+", "+", Keys.ENTER)
    assert browser.execute_script("return view.scale") > 1.5 and "kept" in card.get_attribute("class")
    press(browser, Keys.ESCAPE, "0")
    assert browser.execute_script("return view.scale") == 1 and not card.is_displayed()


def test_the_legend_hides_a_class_and_colours_change(home, open_page):
    browser = open_page(home / "report.html")
    button = browser.find_element(By.CSS_SELECTOR, "#legend button")
    button.click()
    assert button.get_attribute("aria-pressed") == "false" and browser.execute_script("return hidden.size") == 1
    for kind, fewest in (("prediction", 8), ("confidence", 2)):
        browser.find_element(By.CSS_SELECTOR, f"[value={kind}]").click()
        assert len(browser.find_elements(By.CSS_SELECTOR, "#legend button")) >= fewest
        assert browser.execute_script("return hidden.size") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_readable_narrow_and_wide_light_and_dark(home, open_page, width, scheme):
    browser = open_page(home / "report.html", width, scheme)
    browser.find_element(By.CSS_SELECTOR, "#confusion-table button").click()
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    contrast, where = browser.execute_script(CONTRAST)
    assert contrast >= 4.5, where
    levels = [int(h.tag_name[1]) for h in browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    assert browser.execute_script(UNNAMED) == 0


def test_hostile_names_do_nothing_and_reach_the_csv(home, open_page, tmp_path):
    folder = tmp_path / '<b id="bold">'
    folder.mkdir()
    names = [f"{i} {HOSTILE.replace('/', '')}.png" for i in range(4)]
    for i, name in enumerate(names):
        (folder / name).write_bytes((home / "photos" / f"{i:03}, a digit.png").read_bytes())
    write(tmp_path / "given.csv", [[str(folder / name), f"{HOSTILE} {i % 2}"] for i, name in enumerate(names)])
    run("fit", MODEL, folder, "--labels", tmp_path / "given.csv", "--out", tmp_path / "classifier")
    report(tmp_path / "classifier", folder, tmp_path / "report.html", labels=tmp_path / "given.csv")
    browser = open_page(tmp_path / "report.html")
    assert browser.title.startswith("Report: ") and '<b id="bold">' in browser.title
    assert not browser.find_elements(By.CSS_SELECTOR, "img, #bold")
    assert HOSTILE.replace("\u202e", "\\u202e") in browser.find_element(By.ID, "counts-table").text
    browser.find_element(By.ID, "save-button").click()
    photos = [str(folder / name) for name in names]
    saved = read_labels(downloaded(tmp_path / "."), photos, files=True)
    assert saved == read_labels(tmp_path / "given.csv", photos, files=True)


def test_ten_thousand_images_are_drawn_and_pointed_at_quickly(open_page, tmp_path):
    n, generator = 10_000, np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8))
    data = {
        "summary": [],
        "classes": ["a", "b"],
        "strange": [],
        "root": "",
        "paths": [f"train/{i}" for i in range(n)],
        "x": generator.random(n).tolist(),
        "y": generator.random(n).tolist(),
        "map": "",
        "labels": [-1] * n,
        "predictions": [i % 2 for i in range(n)],
        "probabilities": [0.9] * n,
        "margins": [0.8] * n,
        "test": [],
        "judged": None,
        "leastSure": list(range(24)),
        "suggested": list(range(20)),
        "command": "",
        "key": "many",
    }
    write_page(tmp_path / "many.html", "Many", data, make_tiles(images, None, 48), make_tiles(images[:20], None, 48))
    browser = open_page(tmp_path / "many.html")
    assert int(browser.execute_script("return canvas.dataset.drawn")) < 10_000  # milliseconds
    took = browser.execute_script(
        "const took = [];"
        "for (let i = 0; i < 50; i++) {"
        "  const start = performance.now();"
        "  show(nearest(screenX[i], screenY[i], 14));"
        "  took.push(performance.now() - start);"
        "}"
        "return took.sort((a, b) => a - b)"
    )
    assert took[25] < 50
