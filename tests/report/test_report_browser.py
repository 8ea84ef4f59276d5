"""The page in a real browser: nothing is cut off or scrolls sideways, nothing is logged."""

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
WIDTHS = (360, 1280)  # a phone and a desktop, in CSS pixels
PROBE = """<!doctype html><body><script>
const found = {};
for (const width of WIDTHS) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800; frame.src = "REPORT.html";
  frame.onload = () => {
    const page = frame.contentDocument, root = page.documentElement;
    const folded = page.querySelector("details .target");
    frame.contentWindow.location.hash = folded.id;
    const opened = folded.closest("details").open;
    page.querySelectorAll("details").forEach(part => part.open = true);
    const broken = [...page.images].filter(image => !image.naturalWidth).length;
    found[width] = {wide: root.scrollWidth, seen: root.clientWidth, broken, opened,
                    images: page.images.length, height: root.scrollHeight};
    document.title = JSON.stringify(found);
  };
  document.body.append(frame);
}
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def seen(filled, tmp_path_factory):
    """What the browser measured at each width, and what it wrote to its log."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page was not looked at")
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(filled / "REPORT.html", folder)
    (folder / "probe.html").write_text(PROBE.replace("WIDTHS", str(list(WIDTHS))))
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--virtual-time-budget=20000", f"--user-data-dir={folder / 'profile'}"]
    address = f"http://127.0.0.1:{server.server_port}/probe.html"
    try:
        done = subprocess.run(
            [*command, "--dump-dom", address], capture_output=True, text=True, timeout=120
        )
    finally:
        server.shutdown()
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    return json.loads(html.unescape(title[1])), done.stderr


def test_a_link_to_a_folded_table_opens_it(seen):
    assert all(page["opened"] for page in seen[0].values())


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_scrolls_sideways_and_every_picture_shows(seen, width):
    page = seen[0][str(width)]
    assert page["wide"] <= page["seen"] <= width
    assert page["images"] >= 10 and page["broken"] == 0
    assert page["height"] > 800


def test_the_console_stays_empty(seen):
    assert [line for line in seen[1].splitlines() if "CONSOLE" in line] == []
