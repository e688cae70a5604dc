"""``sipctl try``: two temporary users register and send each other a MESSAGE."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sipproxy.config import Config
from sipproxy.ctl.client import Client, NoAnswer, unverified
from sipproxy.ctl.socket import NotRunning, Refused, ask
from sipproxy.store.accounts import AccountError, AccountTable
from sipproxy.store.schema import DatabaseError

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_TEXT = "sipctl try: Grüße ✓"
_FAULTS = (NotRunning, Refused, AccountError, DatabaseError, OSError)


class Failed(Exception):
    """A step did not end as it should; the text says how."""


class Trial:
    """The steps against one running server; ``report`` is told each with its outcome."""

    def __init__(self, config: Config, report: Callable[[str, str | None], None]) -> None:
        self._config = config
        self._report = report

    def run(self) -> bool:
        """Take every step; True when all passed."""
        try:
            status = self._step("the server answers on its control socket", self._status)
            with self._accounts() as users:
                passed = [self._over(one, users) for one in status["listen"]]
            return all(passed)
        except Failed:
            return False

    def _step(self, name: str, take: Callable[[], Any]) -> Any:
        try:
            result = take()
        except (Failed, NoAnswer, *_FAULTS) as error:
            waited = f"waited for {error}" if isinstance(error, NoAnswer) else str(error)
            self._report(name, waited)
            raise Failed(name) from None
        self._report(name, None)
        return result

    def _status(self) -> Any:
        return ask(self._config.data, "status")

    @contextmanager
    def _accounts(self) -> Iterator[list[tuple[str, str]]]:
        """Two accounts for as long as the trial lasts."""
        domain = self._config.settings.domains[0]
        users = [(f"try-{os.urandom(4).hex()}@{domain}", os.urandom(12).hex()) for _ in "ab"]
        opened = partial(AccountTable, self._config.data)
        table = self._step("the account table can be written", opened)

        def add() -> None:
            for aor, password in users:
                table.put(aor, password, replace=False)
            ask(self._config.data, "reload-accounts")

        try:
            self._step("two temporary accounts are made", add)
            yield users
        finally:
            for aor, _ in users:
                try:
                    table.delete(aor)
                except AccountError:
                    continue
            self._forget()

    def _forget(self) -> None:
        try:
            ask(self._config.data, "reload-accounts")
        except (NotRunning, Refused):
            return

    def _over(self, listen: dict[str, Any], users: list[tuple[str, str]]) -> bool:
        address = _WILDCARDS.get(listen["address"], listen["address"])
        place = f"{listen['transport']} {address}:{listen['port']}"
        server = (address, listen["port"])
        clients: list[Client] = []
        try:
            for aor, password in users:
                context = self._context() if listen["transport"] == "tls" else None
                make = partial(Client, listen["transport"], server, aor, password, context)
                clients.append(self._step(f"{place}: a client has a socket", make))
            self._talk(place, *clients)
        except Failed:
            return False
        finally:
            for client in clients:
                client.close()
        return True

    def _context(self) -> ssl.SSLContext:
        """Return what our clients connect with: as ourselves where certificates are asked for."""
        context, settings = unverified(), self._config.settings
        if settings.tls.verify_clients != "none":
            listen = next(one for one in settings.listen if one.transport == "tls")
            home = self._config.home
            context.load_cert_chain(home / listen.certificate, home / listen.private_key)
        return context

    def _talk(self, place: str, a: Client, b: Client) -> None:
        self._step(f"{place}: OPTIONS is answered", partial(_options, a))
        challenged = self._config.settings.auth.required
        if challenged:
            self._step(f"{place}: a wrong password is refused", partial(_wrong_password, a))
        for client in (a, b):
            self._step(f"{place}: {client.aor} registers", partial(_registered, client, 60))
        for one, other in ((a, b), (b, a)):
            self._step(
                f"{place}: a MESSAGE from {one.aor} reaches {other.aor}",
                partial(_delivered, one, other, challenged),
            )
        if "presence" in self._config.settings.events.packages:
            self._step(f"{place}: {a.aor} publishes, and sees it", partial(_published, a))
        for client in (a, b):
            self._step(f"{place}: {client.aor} leaves", partial(_registered, client, 0))


def _expect(status: int, wanted: int) -> None:
    if status != wanted:
        raise Failed(f"answered {status}, not {wanted}")


def _options(client: Client) -> None:
    domain = client.aor.rpartition("@")[2]
    branch = client.send(b"OPTIONS", b"sip:" + domain.encode(), client.aor, [])
    _expect(client.final(branch).status, 200)


def _wrong_password(client: Client) -> None:
    password, client.password = client.password, "wrong"
    try:
        _expect(client.register(60).status, 401)
    finally:
        client.password = password


def _registered(client: Client, expires: int) -> None:
    response = client.register(expires)
    _expect(response.status, 200)
    here = any(client.address in value for value in response.values(b"contact"))
    if here != bool(expires):
        raise Failed("the binding is " + ("missing" if expires else "still there"))


_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:{aor}">
<tuple id="try"><status><basic>open</basic></status><note>{text}</note></tuple></presence>"""


def _published(client: Client) -> None:
    """Publish presence, and fetch it as its owner, who always may (RFC 3903, RFC 3856)."""
    uri, event = b"sip:" + client.aor.encode(), (b"Event", b"presence")
    body = _DOCUMENT.format(aor=client.aor, text=_TEXT).encode()
    typed = (b"Content-Type", b"application/pidf+xml")
    stored = client.authenticated(b"PUBLISH", uri, client.aor, [event, typed], body)
    _expect(stored.status, 200)
    contact = (b"Contact", b"<" + client.contact + b">")
    asked = [event, contact, (b"Expires", b"0")]
    _expect(client.authenticated(b"SUBSCRIBE", uri, client.aor, asked).status, 200)
    told = client.request()
    if told.method != b"NOTIFY" or _TEXT.encode() not in told.body:
        raise Failed(f"{told.method.decode()} with {told.body!r} arrived")
    tag = (b"SIP-If-Match", stored.value(b"sip-etag") or b"")
    removed = client.authenticated(b"PUBLISH", uri, client.aor, [event, tag, (b"Expires", b"0")])
    _expect(removed.status, 200)


def _delivered(sender: Client, receiver: Client, challenged: bool) -> None:
    body = _TEXT.encode()
    branch = sender.message(receiver.aor, body, challenged)
    request = receiver.request()
    if request.method != b"MESSAGE" or request.body != body:
        raise Failed(f"{request.method.decode()} with {request.body!r} arrived")
    _expect(sender.final(branch).status, 200)
