"""Pages in headless Chromium at the widths of a desk and of a phone; left out where there is none."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from edge.bench.report import write_report
from edge.page import plotly_library
from tests.edge.bench.jetson_run import jetson_record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [pytest.mark.long, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

WATCH = """<!doctype html><body><script>
const seen = {};
const look = (name, frame) => {
  const page = frame.contentDocument, root = page.documentElement;
  const charts = [...page.querySelectorAll(".chart")];
  seen[name] = {
    overflow: root.scrollWidth - root.clientWidth, charts: charts.length,
    live: page.querySelectorAll(".is-live .js-plotly-plot").length, data: page.querySelectorAll(".figure-data").length,
    hidden: charts.filter(
      (chart) => ![...chart.children].some((each) => each.getBoundingClientRect().height > 40)).length,
    buttons: [...page.querySelectorAll(".modebar-btn")].map((each) => each.getAttribute("data-title") || ""),
    asked: frame.contentWindow.performance.getEntriesByType("resource").map((each) => each.name),
  };
  if (Object.keys(seen).length === 2) {
    const found = document.createElement("pre");
    found.id = "found";
    found.textContent = JSON.stringify(seen);
    document.body.append(found);
  }
};
for (const [name, width] of [["desk", 1280], ["phone", 390]]) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 900; frame.src = "report.html";
  frame.onload = () => {
    const isDone = () => !frame.contentDocument.querySelector(".figure-data");
    const wait = () => (isDone() ? setTimeout(() => look(name, frame), 50) : setTimeout(wait, 50));
    wait();
  };
  document.body.append(frame);
}
</script></body>"""


def seen_by_browser(folder):
    """Return what a browser makes of a page: width -> facts."""
    (folder / "watch.html").write_text(WATCH, encoding="utf-8")
    # The file of a page may look into another one here alone, where both are ours.
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=60000",
    )
    command = [CHROMIUM, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", str(folder / "watch.html")]
    out = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
    found = re.search(r'<pre id="found">(.*?)</pre>', out, re.DOTALL)
    assert found, "the page was not done"
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


def test_drawn_charts_are_seen_at_both_widths_and_nothing_is_cut(card, tmp_path, monkeypatch):
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)
    write_report(tmp_path, jetson_record(card, 5.0), None, ())
    for facts in seen_by_browser(tmp_path).values():
        assert (facts["overflow"], facts["hidden"], facts["live"], facts["asked"]) == (0, 0, 0, [])
        assert facts["charts"] > 6


def test_live_charts_cover_the_drawn_ones_at_both_widths_and_fetch_nothing(card, tmp_path):
    pytest.importorskip("plotly")
    write_report(tmp_path, jetson_record(card, 5.0), None, ())
    for facts in seen_by_browser(tmp_path).values():
        assert (facts["overflow"], facts["hidden"], facts["data"], facts["asked"]) == (0, 0, 0, [])
        assert facts["live"] >= 7
        assert len(facts["buttons"]) == 6 * facts["live"]
        assert not [title for title in facts["buttons"] if re.search("share|cloud|edit", title, re.IGNORECASE)]
