"""Our server under measure: with what is in C, and in Python alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load.servers import DOMAIN, PASSWORD, Server, Setting, found
from sipproxy.sip import scanner
from sipproxy.sip.digest import ha1
from sipproxy.store.accounts import AccountTable
from sipproxy.transport import batches

ROOT = Path(__file__).resolve().parents[2]
OURS = """
domains = ["example.test"]
{listen}
[auth]
required = {required}
algorithms = ["MD5"]
[components]
store = "memory"
[events]
packages = ["presence", "reg"]
per_watcher = 1000000
per_source = 1000000
unproven = 1000000
[presence]
unknown_watchers = "allow"
notify_interval = 0.0
[transactions]
linger = {linger}
"""
LISTEN = '[[listen]]\ntransport = "{transport}"\naddress = "127.0.0.1"\nport = {port}\n'
CERTIFICATE = 'certificate = "our.pem"\nprivate_key = "our.key"\n'
IN_PYTHON = {"SIPPROXY_SCANNER": "python", "SIPPROXY_DATAGRAMS": "single"}


class Ours(Server):
    """``twistd sipproxy``, the state in memory."""

    @staticmethod
    def lacks() -> str:
        """Return why it cannot be measured with what is in C; empty where it can."""
        if scanner.IS_BUILT and batches.IS_BUILT:
            return ""
        return "ours with the scanner is left out: the extensions in C are not built"

    def _prepared(self, setting: Setting) -> Sequence[object]:
        listen = LISTEN.format(transport="udp", port=self.port)
        if "tcp" in setting.needs:
            listen += LISTEN.format(transport="tcp", port=self.port)
        if "tls" in setting.needs:
            listen += LISTEN.format(transport="tls", port=self.tls_port) + CERTIFICATE
        required = "true" if setting.accounts else "false"
        text = OURS.format(listen=listen, required=required, linger=setting.linger)
        (self.home / "sipproxy.toml").write_text(text)
        if setting.accounts:
            self._write_accounts(setting.accounts)
        # What `tests` does when it is imported is to leave the scanner out where IN_PYTHON says so.
        start = "import tests; from twisted.scripts.twistd import run; run()"
        return [sys.executable, "-c", start, "-n", "--pidfile=", "sipproxy"]

    def _write_accounts(self, users: Sequence[str]) -> None:
        domain, password = DOMAIN.encode(), PASSWORD.encode()
        named = [user.encode() for user in users]
        secrets = ((ha1("MD5", user, domain, password), b"", b"") for user in named)
        rows = ((user, domain, secret) for user, secret in zip(named, secrets, strict=True))
        AccountTable(self.home / "var").put_all(rows, replace=False)

    def _environment(self) -> Mapping[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in IN_PYTHON}
        return {**environment, "PYTHONPATH": str(ROOT)}

    def memory(self) -> float:
        """KiB of the process that are resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return found(r"VmRSS:\s+(\d+) kB", status)


class Pure(Ours):
    """The same in Python alone, as where there is no compiler."""

    def _environment(self) -> Mapping[str, str]:
        return {**super()._environment(), **IN_PYTHON}
