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

# stdio shows MESSAGEs, contact sends them to its first entry, ctrl_tcp takes commands; aubridge
# plays what it hears, without a sound card. RTP is above all ports that anybody else chooses.
_CONFIG = """\
poll_method epoll
sip_listen {host}:{port}
net_interface {host}
rtp_ports 61000-65534
audio_player aubridge,loop
audio_source aubridge,loop
audio_alert aubridge,ring
module_path {modules}
module stdio.so
module g711.so
module aubridge.so
module_tmp account.so
module_app contact.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
menu_bell no
{more}"""
# Up to its library's version 1, baresip gives up when any challenge names another algorithm.
MD5_ONLY = '[auth]\nalgorithms = ["MD5"]\n'
_ACCOUNT = '<sip:{aor};transport={transport}>;auth_pass="{password}";outbound="{server}";regint=60'


def _modules(installed: str) -> Path:
    """Return where the modules lie that belong to an installed baresip."""
    library = Path(installed).resolve().parent.with_name("lib")
    for pattern in ("baresip/modules", "*/baresip/modules"):
        for found in library.glob(pattern):
            return found
    raise SkipTest(f"baresip has no modules in {library}: .ci/run installs them")


class Softphone(Process):
    """A user with a baresip whose one contact is ``peer``; with ``presence`` they are watched."""

    def __init__(
        self,
        case: TestCase,
        aor: str,
        peer: str,
        server_port: int,
        transport: str,
        ca: Path | None = None,
        presence: bool = False,
    ) -> None:
        installed = needs("baresip")
        self.aor = aor
        self._read = 0
        self._control = free_port()
        place = directory(case)
        facts = {"host": HOST, "port": free_port(), "control": self._control}
        more = "" if ca is None else f"sip_cafile {ca}\nsip_verify_server yes\n"
        more += "module_app presence.so\n" if presence else ""
        place.joinpath("config").write_text(
            _CONFIG.format(**facts, modules=_modules(installed), more=more)
        )
        account = _ACCOUNT.format(
            aor=aor,
            transport=transport,
            password=password(aor),
            server=f"sip:{HOST}:{server_port};transport={transport}",
        )
        published, watched = (";pubint=60", ";presence=p2p") if presence else ("", "")
        place.joinpath("accounts").write_text(f"{account}{published}\n")
        place.joinpath("contacts").write_text(f'"Peer" <sip:{peer}>{watched}\n')
        super().__init__(case, aor, [installed, "-f", place], place)

    def registered(self) -> None:
        """Wait until its REGISTER has been answered 200."""
        self.wait_for(lambda: "registered successfully" in self.output, "a binding")

    def send(self, text: str) -> None:
        """Send a MESSAGE to the contact."""
        self.command("message", text)

    def command(self, name: str, parameters: str = "") -> None:
        """Have a command done."""
        command = {"command": name, "params": parameters, "token": "sent"}
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

    def shows(self, text: str) -> None:
        """Wait until it prints a text, after the one that was waited for before."""
        self.wait_for(lambda: text in self.output[self._read :], f"{text!r} at {self.aor}")
        self._read = self.output.index(text, self._read) + len(text)

    def sees(self, status: str) -> None:
        """Wait until it shows that its contact has come to another status."""
        self.shows(f"{status}\x1b[;m\n")

    def call(self, *callees: Softphone) -> None:
        """Call a user, whose phones all ring, until that is known here too."""
        self.command("dial", f"sip:{callees[0].aor}")
        for callee in callees:
            callee.shows(f"Incoming call from:  sip:{self.aor}")
        self.shows("180 Ringing")

    def accept(self, caller: Softphone) -> None:
        """Accept a call, until both say that it stands: this side has had its ACK then."""
        self.command("accept")
        for phone, peer in ((self, caller), (caller, self)):
            phone.shows(f"Call established: sip:{peer.aor}")

    def hang_up(self, peer: Softphone) -> None:
        """End a call that was accepted, until both sides know that it is over."""
        self.command("hangup")
        self.shows("terminate call")
        peer.shows("session closed: Connection reset by peer")

    def cancel(self, *callees: Softphone) -> None:
        """End a call that rings, until all phones are silent."""
        self.command("hangup")
        for callee in callees:
            callee.stops_ringing()

    def stops_ringing(self) -> None:
        """Wait until a call is over that nobody accepted here."""
        self.shows("session closed: Connection reset by peer")

    def reject(self) -> None:
        """Reject a call that rings."""
        self.command("hangup")
        self.shows("(486 Rejected)")
