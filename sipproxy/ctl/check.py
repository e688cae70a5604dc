"""``sipctl check``: everything that would stop a server from starting, found beforehand."""

from __future__ import annotations

from twisted.internet.task import Clock

from sipproxy.config import Config
from sipproxy.ctl.socket import NotRunning, Refused, ask
from sipproxy.node import Node
from sipproxy.transport.sockets import BindError, bind_all, close_all


def check_config(config: Config) -> list[str]:
    """Build the server without serving, and try its ports; raises `ConfigError`.

    Returns what is worth saying though nothing is wrong.
    """
    Node(config, [], Clock())
    try:
        ask(config.data, "status")
    except (NotRunning, Refused):
        return _check_ports(config)
    return ["a server runs with this configuration's data: its ports are in use"]


def _check_ports(config: Config) -> list[str]:
    try:
        close_all(bind_all(config.settings.listen))
    except BindError as error:
        remedy = "stop what uses it, or choose another address or port"
        raise config.error(f"listen[{error.index}]", f"{error}; {remedy}") from None
    return []
