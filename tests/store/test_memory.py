"""The store that forgets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sipproxy.interfaces import IStore
from sipproxy.store.memory import MemoryStore


class Memory(SynchronousTestCase):
    """Values by kind and key."""

    def setUp(self) -> None:
        self.store = MemoryStore()

    def test_it_is_a_store(self) -> None:
        verifyObject(IStore, self.store)

    def test_nothing_at_first(self) -> None:
        self.assertEqual(list(self.store.load("binding")), [])

    def test_what_was_put_is_loaded(self) -> None:
        self.store.put("binding", b"a", 1)
        self.store.put("binding", b"b", [2])
        self.store.put("rule", b"a", 3)
        self.assertEqual(sorted(self.store.load("binding")), [(b"a", 1), (b"b", [2])])
        self.assertEqual(list(self.store.load("rule")), [(b"a", 3)])

    def test_put_replaces(self) -> None:
        self.store.put("rule", b"a", 1)
        self.store.put("rule", b"a", 2)
        self.assertEqual(list(self.store.load("rule")), [(b"a", 2)])

    def test_remove(self) -> None:
        self.store.put("rule", b"a", 1)
        self.store.remove("rule", b"a")
        self.store.remove("rule", b"a")
        self.store.remove("never", b"a")
        self.assertEqual(list(self.store.load("rule")), [])

    def test_what_is_loaded_is_a_copy(self) -> None:
        self.store.put("rule", b"a", 1)
        for _, _ in self.store.load("rule"):
            self.store.remove("rule", b"a")

    def test_commit_is_at_once(self) -> None:
        self.assertIsNone(self.store.commit())
