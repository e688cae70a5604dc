"""The server as README.md says that it is installed: in an environment of its own, once."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from unittest import SkipTest

from tests.pages import ROOT, blocks


def installing() -> list[str]:
    """Return what README.md says is to be typed to install the server."""
    typed = [command for block in blocks(ROOT / "README.md") for command in block.commands]
    return [command for command in typed if command.startswith(("python3 -m venv", "venv/bin/pip"))]


@functools.cache
def installed() -> Path:
    """Make an environment and install the sources in it, as README.md says; once for all pages."""
    place = Path(tempfile.mkdtemp(prefix="installed-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "_trial_temp*", "*.egg-info")
    for name in ("sipproxy", "twisted"):
        shutil.copytree(ROOT / name, place / name, ignore=ignored)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, place)
    quietly = {"PIP_CONSTRAINT": str(ROOT / "constraints.txt"), "PIP_QUIET": "1"}
    for command in installing():
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env={**os.environ, **quietly},
            capture_output=True,
            text=True,
            timeout=200,
        )
        if ran.returncode and "pip" in command and "onnection" in ran.stderr:
            raise SkipTest("needs a package registry: none can be reached")
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return place / "venv"
