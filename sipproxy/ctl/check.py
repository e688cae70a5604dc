"""``sipctl check``: everything that would stop a server from starting, found beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from twisted.internet.task import Clock

from sipproxy.config import Config
from sipproxy.ctl.socket import NotRunning, Refused, ask
from sipproxy.node import Node
from sipproxy.transport.certificates import Pair
from sipproxy.transport.identity import sent_by
from sipproxy.transport.sockets import BindError, bind_all, close_all


def check_config(config: Config) -> list[str]:
    """Build the server without serving, and try its ports; raises `ConfigError`.

    Returns what is worth saying though nothing is wrong.
    """
    node = Node(config, [], Clock())
    notes = [*_check_certificates(config, node.network.contexts.pairs), *_check_names(config, node)]
    try:
        ask(config.data, "status")
    except (NotRunning, Refused):
        return notes + _check_ports(config)
    return [*notes, "a server runs with this configuration's data: its ports are in use"]


def _check_certificates(config: Config, pairs: list[Pair]) -> Iterator[str]:
    """Say whose each certificate is, and until when; raises `ConfigError` for one that is over."""
    now = datetime.now(UTC)
    for pair in pairs:
        if pair.expires <= now:
            problem = f"{pair.file}: has expired on {pair.expires:%Y-%m-%d}; renew it"
            raise config.error(pair.key, problem)
        names = ", ".join(pair.domains) or "no SIP domain"
        days = (pair.expires - now).days
        yield f"{pair.key}: for {names}; expires on {pair.expires:%Y-%m-%d}, in {days} days"


def _check_names(config: Config, node: Node) -> Iterator[str]:
    """Say which listener calls itself what its certificate does not (RFC 5922 §7.5)."""
    pairs = {pair.key: pair for pair in node.network.contexts.pairs}
    for index, listen in enumerate(config.settings.listen):
        pair = pairs.get(f"listen[{index}].certificate")
        ours = sent_by(listen).host.decode()
        if pair is not None and ours not in pair.domains:
            yield (
                f"listen[{index}].advertise: peers see {ours} in Record-Route, for which the"
                " certificate is not: they cannot connect to it by TLS"
            )


def _check_ports(config: Config) -> list[str]:
    try:
        close_all(bind_all(config.settings.listen))
    except BindError as error:
        remedy = "stop what uses it, or choose another address or port"
        raise config.error(f"listen[{error.index}]", f"{error}; {remedy}") from None
    return []
