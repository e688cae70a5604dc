"""Servers that know each other, for tests between domains."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from unittest import SkipTest

from cryptography import x509
from twisted.trial.unittest import TestCase

from tests.authority import Authority, dns
from tests.interop.processes import HOST, Process, Server, directory, free_port, has_udp, needs
from tests.interop.users import User

PATIENCE = 1.5  # seconds, as `[proxy] patience`


def route(domain: str, port: int, transport: str = "udp", address: str = HOST) -> str:
    """Return a ``[[route]]`` entry."""
    return f'[[route]]\ndomain = "{domain}"\nto = "sip:{address}:{port};transport={transport}"\n'


def tls_listen(place: Path, domain: str, port: int, authority: Authority) -> str:
    """Return a ``[[listen]]`` entry for TLS, with a certificate of a domain in a directory.

    The address is in it, too, for clients that look for that.
    """
    names = [*dns(domain), x509.IPAddress(ip_address(HOST))]
    certificate, key = authority.write(place, domain, *names)
    return (
        f'[[listen]]\ntransport = "tls"\naddress = "{HOST}"\nport = {port}\n'
        f'certificate = "{place / certificate}"\nprivate_key = "{place / key}"\n'
    )


def server(
    case: TestCase, domain: str, *tables: str, users: tuple[str, ...], port: int | None = None
) -> Server:
    """Start one of our servers with so little patience that a test can wait for it.

    ``tables`` may be any, but for ``[proxy]``.
    """
    extra = f"[proxy]\npatience = {PATIENCE}\n" + "".join(tables)
    return Server(case, domain, users, extra, port)


def registered(case: TestCase, aor: str, port: int, transport: str = "udp") -> User:
    """Return a user who has registered."""
    user = User(case, aor, port, transport)
    status = user.register(600).status
    assert status == 200, f"REGISTER of {aor} was answered {status}"
    return user


_KAMAILIO_TLS = """\
enable_tls=yes
listen=tls:{host}:{port}
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{place}/k.test.pem")
modparam("tls", "private_key", "{place}/k.test.key")
modparam("tls", "ca_list", "{place}/ca.pem")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 1)
"""


class Kamailio(Process):
    """A Kamailio for k.test, which knows the ports of a.test and b.test.

    ``tls`` is the port that it has for TLS, and the directory of its certificate: then a.test is
    there, too.
    """

    def __init__(
        self, case: TestCase, port: int, a: int, b: int, tls: tuple[int, Path] | None = None
    ) -> None:
        self.port = port
        self._case = case
        place = directory(case)
        template = Path(__file__).resolve().with_name("kamailio.cfg").read_text()
        facts: dict[str, object] = {"PORT": port, "A": a, "B": b, "TLS": "disable_tcp=yes"}
        if tls is not None:
            facts["TLS"] = _KAMAILIO_TLS.format(host=HOST, port=tls[0], place=tls[1])
            facts["A"] = f"{a};transport=tls"
        for name, value in facts.items():
            template = template.replace(f"@{name}@", str(value))
        file = place / "kamailio.cfg"
        file.write_text(template)
        # fmt: off
        arguments = [
            needs("kamailio"), "-f", file, "-DD", "-E", "-w", place, "-Y", place,
            "-P", place / "pid", "-m", "64", "-M", "8",
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


def needs_kamailio_tls() -> None:
    """Skip the test where Kamailio has no TLS."""
    if not list(Path("/usr/lib").glob("*/kamailio/modules/tls.so")):
        raise SkipTest("Kamailio has no TLS: .ci/run installs it")
