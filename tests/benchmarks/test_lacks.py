"""What is not installed is said in one line."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load import generator, kamailio, ours


class Lacks(SynchronousTestCase):
    """Compilers, extensions and peers that are not there."""

    def modules(self, *names: str) -> None:
        """Let Kamailio be installed with these modules."""
        place = Path(self.mktemp())
        place.mkdir()
        for name in ("tm.so", *names):
            (place / name).touch()
        self.patch(kamailio, "modules", lambda: place)
        self.patch(kamailio, "program", lambda name: f"/usr/sbin/{name}")

    def test_no_kamailio(self) -> None:
        self.patch(kamailio, "program", lambda name: None)
        text = kamailio.lacks(frozenset())
        self.assertEqual(text, "Kamailio is not installed, and left out: apt-get install kamailio")
        self.assertEqual(kamailio.version(), "not installed")

    def test_no_modules_for_some_cases(self) -> None:
        self.modules("tls.so", "presence.so", "presence_xml.so")
        self.assertEqual(kamailio.lacks(frozenset(["tcp", "tls"])), "")
        text = kamailio.lacks(frozenset(["presence"]))
        self.assertTrue(text.endswith("apt-get install kamailio-sqlite-modules"), text)

    def test_no_compiler(self) -> None:
        self.patch(generator, "PROGRAM", Path(self.mktemp()))
        self.patch(generator.shutil, "which", lambda name: None)
        error = self.assertRaises(generator.NotBuilt, generator.build)
        self.assertIn("apt-get install gcc libssl-dev", str(error))

    def test_no_extensions(self) -> None:
        self.patch(ours.scanner, "IS_BUILT", False)
        self.assertIn("are not built", ours.Ours.lacks())
