"""Tests of sipproxy; the folders mirror the package."""

import os
import sys

if os.environ.get("SIPPROXY_SCANNER") == "python":  # as where there is no compiler
    sys.modules["sipproxy.sip._scan"] = None  # type: ignore[assignment]
