"""The control socket's place: who may open it, and what becomes of an old one."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.ctl.socket import FILE, NotRunning, Refused, ask, bind_control


class WithDirectory(SynchronousTestCase):
    """A test with a directory whose name is short enough for a socket's."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)

    def bind(self) -> socket.socket:
        """Bind the control socket until the test ends."""
        listening = bind_control(self.directory)
        self.addCleanup(listening.close)
        return listening

    def serve(self, *answers: bytes) -> list[bytes]:
        """Answer one connection each from a thread; return the lines that came."""
        listening = self.bind()
        listening.settimeout(5.0)
        lines: list[bytes] = []

        def run() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection, connection.makefile("rb") as incoming:
                    lines.append(incoming.readline())
                    connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return lines


class Binding(WithDirectory):
    """`bind_control`."""

    def test_it_is_the_owners_alone(self) -> None:
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        self.directory = self.directory / "deep" / "data"
        self.bind()
        mode = os.stat(self.directory / FILE).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)

    def test_the_umask_is_as_before(self) -> None:
        before = os.umask(0o027)
        self.addCleanup(os.umask, before)
        self.bind()
        self.assertEqual(os.umask(0o027), 0o027)

    def test_a_stale_socket_is_replaced(self) -> None:
        self.bind().close()
        self.assertTrue((self.directory / FILE).exists())
        listening = self.bind()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.directory / FILE))
            listening.accept()[0].close()

    def test_a_live_one_is_refused(self) -> None:
        lines = self.serve(b'{"ok": true, "result": {}}\n')
        error = self.assertRaises(FileExistsError, bind_control, self.directory)
        self.assertEqual(str(error), f"another server runs with {self.directory}")
        self.assertEqual(lines, [b'{"command": "status"}\n'])

    def test_a_place_that_cannot_be(self) -> None:
        (self.directory / "file").write_text("")
        self.assertRaises(OSError, bind_control, self.directory / "file")
        self.assertRaises(OSError, bind_control, self.directory / (200 * "x"))


class Asking(WithDirectory):
    """`ask`."""

    def test_the_result(self) -> None:
        lines = self.serve(b'{"ok": true, "result": [1, "\xc3\xbc"]}\n')
        self.assertEqual(ask(self.directory, "bindings", aor="a@b"), [1, "ü"])
        self.assertEqual(lines, [b'{"command": "bindings", "aor": "a@b"}\n'])

    def test_an_error(self) -> None:
        self.serve(b'{"ok": false, "error": "no"}\n')
        self.assertEqual(str(self.assertRaises(Refused, ask, self.directory, "x")), "no")

    def test_no_answer(self) -> None:
        self.serve(b"")
        self.assertEqual(str(self.assertRaises(Refused, ask, self.directory, "x")), "no answer")

    def test_garbage(self) -> None:
        self.serve(b"\xff\xfe\n")
        self.assertRaises(NotRunning, ask, self.directory, "x")

    def test_nobody(self) -> None:
        error = self.assertRaises(NotRunning, ask, self.directory, "x")
        self.assertTrue(str(error).startswith(f"no server answers in {self.directory}: "), error)
