"""Servers that know each other, for tests between domains."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.interop.processes import HOST, Process, Server, directory, free_port, has_udp, needs
from tests.interop.users import User

PATIENCE = 1.5  # seconds, as `[proxy] patience`


def route(domain: str, port: int, transport: str = "udp", address: str = HOST) -> str:
    """Return a ``[[route]]`` entry."""
    return f'[[route]]\ndomain = "{domain}"\nto = "sip:{address}:{port};transport={transport}"\n'


def server(
    case: TestCase, domain: str, *tables: str, users: tuple[str, ...], port: int | None = None
) -> Server:
    """Start one of our servers with routes, and so little patience that a test can wait for it."""
    extra = f"[proxy]\npatience = {PATIENCE}\n" + "".join(tables)
    return Server(case, domain, users, extra, port)


def registered(case: TestCase, aor: str, port: int, transport: str = "udp") -> User:
    """Return a user who has registered."""
    user = User(case, aor, port, transport)
    status = user.register(600).status
    assert status == 200, f"REGISTER of {aor} was answered {status}"
    return user


class Kamailio(Process):
    """A Kamailio for k.test, which knows the ports of a.test and b.test."""

    def __init__(self, case: TestCase, port: int, a: int, b: int) -> None:
        self.port = port
        self._case = case
        place = directory(case)
        template = Path(__file__).resolve().with_name("kamailio.cfg").read_text()
        for name, value in (("PORT", port), ("A", a), ("B", b)):
            template = template.replace(f"@{name}@", str(value))
        file = place / "kamailio.cfg"
        file.write_text(template)
        # fmt: off
        arguments = [
            needs("kamailio"), "-f", file, "-DD", "-E", "-w", place, "-Y", place,
            "-P", place / "pid", "-m", "32", "-M", "4",
        ]
        # fmt: on
        super().__init__(case, "kamailio", arguments, place)

    def ready(self) -> Kamailio:
        """Wait until it answers OPTIONS."""
        self.wait_for(lambda: has_udp(self.port), "Kamailio's socket")
        probe = User(self._case, "probe@k.test", self.port)
        status = probe.authenticated(b"OPTIONS", b"sip:k.test", "probe@k.test", []).status
        assert status == 200, f"OPTIONS was answered {status}"
        return self


def kamailio_port(case: TestCase) -> int:
    """Return a port for a Kamailio, or skip the test."""
    needs("kamailio")
    return free_port()
