"""The page in a browser: Debian's Chromium, without a window."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.config import Config
from asrkd.report.prepare import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (Debian: apt-get install chromium)")
# Written into the page's title by the browser itself: what it has laid out, and what it could not play.
PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const wide = [...document.querySelectorAll("main > *, section > *, figure")]
    .filter(part => part.getBoundingClientRect().right > innerWidth + 1).length;
  const sounds = [...document.querySelectorAll("audio")].map(sound => `${sound.duration}/${sound.error}`);
  document.title = `tables ${document.querySelectorAll("table").length}, figures ${
    [...document.querySelectorAll("figure svg")].filter(figure => figure.getBoundingClientRect().height > 50).length
  }, beyond the edge ${wide}, sounds ${sounds}`;
}, 1000));
</script>"""


class Title(HTMLParser):
    text = ""

    def handle_data(self, data: str) -> None:
        self.text += data if self.lasttag == "title" else ""


@pytest.mark.parametrize("width", [1400, 500])  # pixels; Chromium's windows are no narrower than 500
def test_the_page_in_a_browser(
    exp: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.chdir(exp)
    soundfile.write("u1.wav", np.sin(np.arange(16000) / 7), 16000)
    write_report(exp, config)
    page = exp / "report" / "index.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    options += [f"--window-size={width},900", "--virtual-time-budget=5000", "--enable-logging=stderr"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", page.as_uri()]
    done = subprocess.run([str(CHROMIUM), *options], capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in done.stderr
    title = Title()
    title.feed(done.stdout[: done.stdout.index("</title>") + len("</title>")])
    tables = len(re.findall("<table>", text))
    assert tables > 10
    assert title.text.strip() == f"tables {tables}, figures {text.count('<svg')}, beyond the edge 0, sounds 1/null"
