"""Binding the sockets of the listeners, all or none, before anything is served."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterable
from ipaddress import ip_address

import msgspec

from sipproxy.transport.settings import Listen

BACKLOG = 1024
SPARE = 64  # descriptors for all but connections: listeners, the control socket, the store


Place = tuple[str, str, int]  # transport, address and port


class Bound(msgspec.Struct, frozen=True):
    """A listener with its socket; ``listen.port`` is the one that the kernel gave."""

    listen: Listen
    socket: socket.socket
    family: int
    asked: int = -1  # the port in the configuration, where it is 0

    @property
    def place(self) -> Place:
        """What makes it the same listener in another configuration."""
        port = self.listen.port if self.asked < 0 else self.asked
        return self.listen.transport, self.listen.address, port


class BindError(Exception):
    """A listener's address cannot be had; ``index`` is its place in the configuration.

    ``is_ours``: another listener of ours has the port, which it has until it is stopped.
    """

    def __init__(self, index: int, listen: Listen, problem: OSError, is_ours: bool = False) -> None:
        self.index = index
        self.is_ours = is_ours
        self.listen = listen
        self.problem = problem
        super().__init__(f"{listen.transport} {listen.address}:{listen.port}: {problem.strerror}")


def bind_all(listens: Iterable[Listen]) -> list[Bound]:
    """Bind every listener; raises `BindError` for the first that fails, and leaves none open."""
    bound: list[Bound] = []
    for index, listen in enumerate(listens):
        try:
            bound.append(bind(listen))
        except OSError as problem:
            close_all(bound)
            raise BindError(index, listen, problem) from problem
    return bound


def bind_new(listens: Iterable[Listen], standing: Iterable[Bound]) -> list[Bound]:
    """Return every listener, with the socket that one of the same place has already, else bound.

    Raises `BindError` as `bind_all` does, and leaves nothing open then that was not before.
    """
    left, known = list(standing), list(standing)
    new: list[Bound] = []
    bound: list[Bound] = []
    for index, listen in enumerate(listens):
        place = listen.transport, listen.address, listen.port
        one = next((one for one in left if one.place == place), None)
        try:
            bound.append(bind(listen) if one is None else _with(one, listen))
        except OSError as problem:
            close_all(new)
            is_ours = any(_is_in_the_way(other, listen) for other in known)
            raise BindError(index, listen, problem, is_ours) from problem
        new += [bound[-1]] if one is None else []
        left = [other for other in left if other is not one]
    return bound


def _is_in_the_way(one: Bound, listen: Listen) -> bool:
    """Tell whether a listener of ours has what another one asks for."""
    here, there = ip_address(one.listen.address), ip_address(listen.address)
    is_same = here == there or here.is_unspecified or there.is_unspecified
    kinds = {one.listen.transport == "udp", listen.transport == "udp"}
    is_same = is_same and here.version == there.version and len(kinds) == 1
    return is_same and one.listen.port == listen.port


def _with(one: Bound, listen: Listen) -> Bound:
    found = msgspec.structs.replace(listen, port=one.listen.port)
    return msgspec.structs.replace(one, listen=found)


def bind(listen: Listen) -> Bound:
    """Bind one listener; raises OSError."""
    sock = bound_socket(listen.address, listen.port, listen.transport != "udp")
    port: int = sock.getsockname()[1]
    found = msgspec.structs.replace(listen, port=port)
    return Bound(found, sock, sock.family, -1 if listen.port else 0)


def bound_socket(address: str, port: int, stream: bool) -> socket.socket:
    """Bind a socket; a stream listens too, for bind alone misses a port that is taken."""
    family = _family(address)
    sock = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:  # else an IPv4 peer would be called ::ffff:192.0.2.1
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if stream:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if stream:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET


def room(wanted: int) -> int:
    """Return how many of so many connections the process may have, its limit raised for them.

    Without descriptors to spare, the reactor could only turn away whoever connects, operators too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + SPARE:
        soft = wanted + SPARE if hard == resource.RLIM_INFINITY else min(wanted + SPARE, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(soft - SPARE, 1))


def close_all(bound: Iterable[Bound]) -> None:
    """Close the sockets of listeners that are not served."""
    for one in bound:
        one.socket.close()
