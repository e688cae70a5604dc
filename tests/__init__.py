"""Tests of sipproxy; the folders mirror the package."""

import importlib.util
import os
import sys
from pathlib import Path

if os.environ.get("SIPPROXY_SCANNER") == "python":  # as where there is no compiler
    sys.modules["sipproxy.sip._scan"] = None  # type: ignore[assignment]

# Extensions that were built with sanitizers take the place of those that are installed.
for _path in Path(os.environ.get("SIPPROXY_SANITIZED", "/nowhere")).glob("*.so"):
    _spec = importlib.util.spec_from_file_location(_path.stem, _path)
    assert _spec is not None and _spec.loader is not None
    sys.modules[_path.stem] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_path.stem])
