"""The rules of the house, held by a walk through the sources."""

from __future__ import annotations

import ast
import re
import statistics
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PACKAGE = Path(__file__).resolve().parents[1] / "sipproxy"

# Each may import from itself and from those named before it.
ORDER = [
    *("sip", "transaction", "interfaces", "transport", "auth", "registrar", "proxy"),
    *("events", "reg", "presence", "store"),
    *("config", "changes", "plugins", "node", "ctl", "service", "testing"),
]
CONFIG_ALSO_SEES = "settings"  # config.py composes the settings of any folder, nothing else of it
PURE = {"sip": {"sip"}, "transaction": {"sip", "transaction"}}
IMPURE = {"random", "secrets", "logging", "socket", "time", "os", "threading", "asyncio"}

MOST_LINES = 399
LONGEST_FUNCTION = 40
MEDIAN_FUNCTION = 10

# What Twisted calls, or looks for, by these names.
TWISTED_CALLS = {
    "_tlsShutdownFinished",
    "addressResolved",
    "buildProtocol",
    "clientConnectionForTLS",
    "connectionLost",
    "connectionMade",
    "connectionRefused",
    "dataReceived",
    "datagramReceived",
    "doRead",
    "doWrite",
    "fileno",
    "handshakeCompleted",
    "lineReceived",
    "logPrefix",
    "makeService",
    "messageReceived",
    "pauseProducing",
    "privilegedStartService",
    "resolutionBegan",
    "resolutionComplete",
    "resumeProducing",
    "serverConnectionForTLS",
    "startService",
    "stopProducing",
    "stopProtocol",
    "stopService",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """A source file: where it stands in the house, and what is in it."""

    def __init__(self, path: Path, text: str) -> None:
        self.name = str(Path(PACKAGE.name, path))
        self.place = path.parts[0].removesuffix(".py")
        self.text = text
        self.tree = ast.parse(text)

    def functions(self) -> Iterator[Function]:
        """Return every function and method, those within others too."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def imports(self) -> Iterator[tuple[str, int]]:
        """Return every module that is imported, wherever the statement stands, with its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level:
                yield "." * node.level, node.lineno
            elif isinstance(node, ast.ImportFrom) and node.module == "sipproxy":
                yield from ((f"sipproxy.{alias.name}", node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or "", node.lineno


MODULES = [
    Module(path.relative_to(PACKAGE), path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
]


def length(function: Function) -> int:
    """Return the lines of a function, from ``def`` to its last."""
    return (function.end_lineno or 0) - function.lineno + 1


class House(SynchronousTestCase):
    """Each test lists whatever breaks its rule."""

    def broken(self, faults: list[str]) -> None:
        """Fail with the faults, one a line."""
        self.assertEqual(faults, [], "\n" + "\n".join(faults))


class Walls(House):
    """What may import what."""

    def test_every_folder_has_a_place(self) -> None:
        places = {module.place for module in MODULES} - {"__init__"}
        self.assertEqual(places - set(ORDER), set())

    def test_imports_are_absolute(self) -> None:
        self.broken(
            [
                f"{module.name}:{line}: a relative import"
                for module in MODULES
                for name, line in module.imports()
                if name.startswith(".")
            ]
        )

    def test_a_folder_imports_only_from_those_above_it(self) -> None:
        self.broken([fault for module in MODULES for fault in _upside_down(module)])

    def test_the_walk_sees_every_kind_of_import(self) -> None:
        text = """
            from typing import TYPE_CHECKING
            from sipproxy import __version__, node
            from sipproxy.sip import message
            if TYPE_CHECKING:
                import sipproxy.proxy.front
            def later():
                from sipproxy.store.memory import MemoryStore
            """
        module = Module(Path("transport", "new.py"), textwrap.dedent(text))
        faults = ["3: sipproxy.node", "6: sipproxy.proxy.front", "8: sipproxy.store.memory"]
        expected = [f"sipproxy/transport/new.py:{fault} stands below" for fault in faults]
        self.assertEqual(_upside_down(module), expected)

    def test_the_walk_knows_what_is_impure(self) -> None:
        names = ["re", "collections.abc", "sipproxy.sip.uri", "sipproxy.transaction.wheel"]
        impure = ["time", "os.path", "zope.interface", "twisted", "sipproxy.interfaces"]
        self.assertEqual([_is_pure("transaction", name) for name in names], [True] * 4)
        self.assertEqual([_is_pure("transaction", name) for name in impure], [False] * 5)
        self.assertFalse(_is_pure("sip", "sipproxy.transaction.wheel"))

    def test_the_pure_folders_import_the_standard_library_only(self) -> None:
        self.broken(
            [
                f"{module.name}:{line}: {name}"
                for module in MODULES
                if module.place in PURE
                for name, line in module.imports()
                if not _is_pure(module.place, name)
            ]
        )


def _upside_down(module: Module) -> list[str]:
    return [
        f"{module.name}:{line}: {name} stands below"
        for name, line in module.imports()
        if name.startswith("sipproxy.") and not _may(module, name)
    ]


def _may(module: Module, name: str) -> bool:
    _, folder, *rest = name.split(".")
    if folder == "__version__":
        return True
    if module.place == "__init__":
        return False
    if module.place == "config" and rest and rest[-1] == CONFIG_ALSO_SEES:
        return True
    return ORDER.index(folder) <= ORDER.index(module.place)


def _is_pure(place: str, name: str) -> bool:
    first, *rest = name.split(".")
    if first == "sipproxy":
        return bool(rest) and rest[0] in PURE[place]
    return first in sys.stdlib_module_names and first not in IMPURE


class Rooms(House):
    """Sizes, names and words."""

    def test_modules_are_short(self) -> None:
        counts = {module.name: len(module.text.splitlines()) for module in MODULES}
        self.broken([f"{name}: {n} lines" for name, n in counts.items() if n > MOST_LINES])

    def test_functions_are_short(self) -> None:
        self.broken(
            [
                f"{module.name}:{function.lineno}: {function.name} has {length(function)} lines"
                for module in MODULES
                for function in module.functions()
                if length(function) > LONGEST_FUNCTION
            ]
        )

    def test_most_functions_are_very_short(self) -> None:
        lengths = [length(function) for module in MODULES for function in module.functions()]
        self.assertLessEqual(statistics.median(lengths), MEDIAN_FUNCTION)

    def test_modules_begin_with_one_sentence(self) -> None:
        faults = []
        for module in MODULES:
            first, _, rest = (ast.get_docstring(module.tree) or "").partition("\n")
            if not first.endswith((".", ":")) or rest.partition("\n")[0].strip():
                faults.append(f"{module.name}: {first!r}")
        self.broken(faults)

    def test_what_is_public_has_a_docstring(self) -> None:
        faults = []
        for module in MODULES:
            for node in _public(module.tree):
                if ast.get_docstring(node) is None:
                    faults.append(f"{module.name}:{node.lineno}: {node.name}")
        self.broken(faults)

    def test_nothing_is_left_for_later(self) -> None:
        words = re.compile("TO" + "DO|FIX" + "ME|X" + "XX")
        self.broken([module.name for module in MODULES if words.search(module.text)])

    def test_names_are_pep_8(self) -> None:
        camel = re.compile(r"_*[a-z0-9]+[A-Z]").match
        self.broken(
            [
                f"{module.name}:{function.lineno}: {function.name}"
                for module in MODULES
                for function in module.functions()
                if camel(function.name) and function.name not in TWISTED_CALLS
            ]
        )

    def test_nobody_is_a_manager(self) -> None:
        words = re.compile("Manager|Helper|Util|Base|Common")
        self.broken(
            [
                f"{module.name}:{node.lineno}: {node.name}"
                for module in MODULES
                for node in ast.walk(module.tree)
                if isinstance(node, ast.ClassDef) and words.search(node.name)
            ]
        )


def _public(scope: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    for node in scope.body:
        if isinstance(node, (*Function.__args__, ast.ClassDef)) and node.name[0] != "_":
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)
