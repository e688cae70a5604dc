"""Every metric is in the operator's guide, and nothing else is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl.metrics import NodeCollector, scraper
from sipproxy.store.settings import StoreSettings
from sipproxy.store.sqlite import SqliteStore
from sipproxy.testing import FakeServer

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "operator.md"


def told() -> list[str]:
    """Return every metric of the guide, with its labels."""
    return re.findall(r"^\| `(sipproxy_[^`]*)` \|", GUIDE.read_text("utf-8"), re.M)


class GuideTests(SynchronousTestCase):
    """The table of the guide."""

    def test_names_and_labels(self) -> None:
        server = FakeServer(self.mktemp())
        server.node.store = SqliteStore(Path(self.mktemp()), StoreSettings(), server.clock)
        found = set()
        for metric in NodeCollector(server.node).collect():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            labels = getattr(metric, "_labelnames", ())
            found.add(name + ("{" + ",".join(labels) + "}" if labels else ""))
        self.assertEqual(set(told()), found)


class ContribTests(SynchronousTestCase):
    """What is shipped for Prometheus and Grafana speaks of metrics that there are."""

    def test_dashboard_and_alerts(self) -> None:
        known = {name.partition("{")[0] for name in told()}
        for file in ("grafana-dashboard.json", "sipproxy-alerts.yml"):
            named = set(re.findall(r"\bsipproxy_\w+", (CONTRIB / file).read_text("utf-8")))
            self.assertEqual(named - known, set(), file)

    def test_the_dashboard_is_json(self) -> None:
        panels = json.loads((CONTRIB / "grafana-dashboard.json").read_text("utf-8"))["panels"]
        self.assertGreater(len(panels), 5)

    def test_prometheus_takes_the_alerts(self) -> None:
        promtool("check", "rules", str(CONTRIB / "sipproxy-alerts.yml"))

    def test_prometheus_takes_the_metrics(self) -> None:
        promtool("check", "metrics", given=scraper(FakeServer(self.mktemp()).node)())


def promtool(*words: str, given: bytes = b"") -> None:
    """Run promtool, which has to find nothing wrong."""
    program = shutil.which("promtool")
    if program is None:
        raise SkipTest("needs promtool, of Debian's prometheus: .ci/run installs it")
    ran = subprocess.run([program, *words], input=given, capture_output=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, b""), ran
