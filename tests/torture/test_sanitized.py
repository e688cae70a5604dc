"""The extensions in C under AddressSanitizer and UndefinedBehaviorSanitizer, for a short while.

``python -m tests.torture.sanitized`` is the long one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.torture import sanitized

COUNT = 50_000
OVERRUN = """
#include <Python.h>
static PyObject *overrun(PyObject *module, PyObject *octets) {
    return PyLong_FromLong(PyBytes_AS_STRING(octets)[PyBytes_GET_SIZE(octets) + 1]);
}
static PyMethodDef functions[] = {{"overrun", overrun, METH_O, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "overrun", "", -1, functions};
PyMODINIT_FUNC PyInit_overrun(void) { return PyModule_Create(&definition); }
"""


class SanitizedTests(SynchronousTestCase):
    """What the sanitizers find ends the process that it is found in."""

    skip = sanitized.missing()

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_fuzz(self) -> None:
        """Fifty thousand spoiled messages, and as many URIs."""
        sanitized.build(self.folder)
        self.assertEqual(sanitized.run(self.folder, ["-m", "tests.torture.fuzz", str(COUNT)]), 0)

    def test_datagrams(self) -> None:
        """Batches of datagrams of every size."""
        sanitized.build(self.folder)
        command = ["-m", "twisted.trial", "--temp-directory", str(self.folder / "trial")]
        command += ["tests.transport.test_datagrams"]
        self.assertEqual(sanitized.run(self.folder, command), 0)

    def test_the_sanitizers_work(self) -> None:
        """An octet too many that is read is found."""
        source = self.folder / "overrun.c"
        source.write_text(OVERRUN, "ascii")
        self.patch(sanitized, "SOURCES", (str(source),))
        self.patch(sanitized, "name_of", lambda source: "overrun")
        sanitized.build(self.folder)
        run = ["-c", "import tests, overrun; overrun.overrun(b'x' * 100)"]
        self.assertNotEqual(sanitized.run(self.folder, run, is_quiet=True), 0)
        self.assertEqual(sanitized.run(self.folder, ["-c", "import tests, overrun"]), 0)

    def test_unguarded(self) -> None:
        """Without them it says so, and does nothing."""
        run = [sys.executable, "-m", "tests.torture.fuzz", "1"]
        self.assertEqual(subprocess.run(run, capture_output=True, check=False).returncode, 2)
