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
from sipproxy.transport.certificates import read_pair
from tests.authority import Authority, dns

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
            self.assertEqual({name.removesuffix("_bucket") for name in named} - known, set(), file)

    def test_what_operators_want_to_see_is_on_the_dashboard(self) -> None:
        """Whatever is a metric has its place there, but for what one looks up otherwise."""
        shown = (CONTRIB / "grafana-dashboard.json").read_text("utf-8")
        missing = [name for name in told() if name.partition("{")[0] not in shown]
        self.assertEqual(missing, [])

    def test_the_dashboard_is_json(self) -> None:
        panels = json.loads((CONTRIB / "grafana-dashboard.json").read_text("utf-8"))["panels"]
        self.assertGreater(len(panels), 5)

    def test_prometheus_takes_the_alerts(self) -> None:
        promtool("check", "rules", str(CONTRIB / "sipproxy-alerts.yml"))

    def test_prometheus_takes_the_metrics(self) -> None:
        promtool("check", "metrics", given=scraper(FakeServer(self.mktemp()).node)())

    def test_prometheus_takes_what_has_been_counted(self) -> None:
        """Every metric has a sample."""
        node = FakeServer(self.mktemp()).node
        node.store = SqliteStore(Path(self.mktemp()), StoreSettings(), node.reactor)
        node.store.took.add(0.02)
        names, counts = node.network.resolver.names, node.network.counts
        names.outcomes["SRV", "found"] += 1
        names.took.add(99.0)
        counts.handshakes["in", "secured"] += 1
        counts.versions["TLSv1.3"] += 1
        counts.closed["idle"] += 1
        node.notifier.post.outcomes["2xx"] += 1
        node.notifier.census.population[b"presence", b"active"] += 1
        node.core.limited["max_bindings"] += 1
        node.core.answers[b"MESSAGE", 2] += 1
        place = Path(self.mktemp())
        place.mkdir()
        certificate, key = Authority().write(place, "our", *dns("example.test"))
        pair = read_pair("listen[0].", place / certificate, place / key)
        node.network.contexts.pairs = [pair]
        given = scraper(node)()
        without = [m.name for m in NodeCollector(node).collect() if not m.samples]
        self.assertEqual(without, [])
        promtool("check", "metrics", given=given)


def promtool(*words: str, given: bytes = b"") -> None:
    """Run promtool, which has to find nothing wrong."""
    program = shutil.which("promtool")
    if program is None:
        raise SkipTest("needs promtool, of Debian's prometheus: .ci/run installs it")
    ran = subprocess.run([program, *words], input=given, capture_output=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, b""), ran
