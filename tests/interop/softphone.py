"""A baresip: configured in a directory, commanded by its control socket, read by what it prints."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from tests.interop.processes import (
    DEADLINE,
    HOST,
    Process,
    directory,
    free_port,
    needs,
    password,
)

# stdio shows MESSAGEs, contact sends them to its first entry, ctrl_tcp takes commands.
_CONFIG = """\
poll_method epoll
sip_listen {host}:{port}
net_interface {host}
module_path {modules}
module stdio.so
module_tmp account.so
module_app contact.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
menu_bell no
{tls}"""
_ACCOUNT = '<sip:{aor};transport={transport}>;auth_pass="{password}";outbound="{server}";regint=60'


def _modules(installed: str) -> Path:
    """Return where the modules lie that belong to an installed baresip."""
    library = Path(installed).resolve().parent.with_name("lib")
    for pattern in ("baresip/modules", "*/baresip/modules"):
        for found in library.glob(pattern):
            return found
    raise SkipTest(f"baresip has no modules in {library}: .ci/run installs them")


class Softphone(Process):
    """A user with a baresip whose one contact is ``peer``."""

    def __init__(
        self,
        case: TestCase,
        aor: str,
        peer: str,
        server_port: int,
        transport: str,
        ca: Path | None = None,
    ) -> None:
        installed = needs("baresip")
        self.aor = aor
        self._control = free_port()
        place = directory(case)
        facts = {"host": HOST, "port": free_port(), "control": self._control}
        tls = "" if ca is None else f"sip_cafile {ca}\nsip_verify_server yes\n"
        place.joinpath("config").write_text(
            _CONFIG.format(**facts, modules=_modules(installed), tls=tls)
        )
        account = _ACCOUNT.format(
            aor=aor,
            transport=transport,
            password=password(aor),
            server=f"sip:{HOST}:{server_port};transport={transport}",
        )
        place.joinpath("accounts").write_text(account + "\n")
        place.joinpath("contacts").write_text(f'"Peer" <sip:{peer}>\n')
        super().__init__(case, aor, [installed, "-f", place], place)

    def registered(self) -> None:
        """Wait until its REGISTER has been answered 200."""
        self.wait_for(lambda: "200 OK () [1 binding]" in self.output, "a binding")

    def send(self, text: str) -> None:
        """Send a MESSAGE to the contact."""
        command = {"command": "message", "params": text, "token": "sent"}
        octets = json.dumps(command, ensure_ascii=False).encode()
        with socket.create_connection((HOST, self._control), DEADLINE) as control:
            control.sendall(b"%d:%s," % (len(octets), octets))
            answer = b""
            while b'"token":"sent"' not in answer:
                octets = control.recv(4096)
                assert octets, f"the control socket was closed after {answer!r}"
                answer += octets
        assert b'"ok":true' in answer, answer

    def received(self, sender: str, text: str) -> None:
        """Wait until a MESSAGE is shown."""
        shown = f'sip:{sender}: "{text}"'
        self.wait_for(lambda: shown in self.output, f"{shown} at {self.aor}")
