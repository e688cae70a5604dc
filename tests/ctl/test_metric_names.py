"""Every metric is in the operator's guide, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl.metrics import NodeCollector
from sipproxy.store.settings import StoreSettings
from sipproxy.store.sqlite import SqliteStore
from sipproxy.testing import FakeServer

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "operator.md"


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
        told = re.findall(r"^\| `(sipproxy_[^`]*)` \|", GUIDE.read_text("utf-8"), re.M)
        self.assertEqual(set(told), found)
