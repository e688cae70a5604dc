"""``sipctl reload``: the configuration is read again; all of it takes effect, or nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sipproxy.changes import Change, changes, differ, refuse_what_stays
from sipproxy.config import Config, ConfigError, load
from sipproxy.ctl.command import as_json, configured, fail
from sipproxy.ctl.socket import NotRunning, Refused, ask
from sipproxy.ctl.supervisor import Supervisor
from sipproxy.ctl.web import Web, bind_http
from sipproxy.interfaces import DEACTIVATED, REJECTED, Ending, is_deferred
from sipproxy.node import Node, contexts_of
from sipproxy.transport.sockets import BindError, Bound, bind_new

if TYPE_CHECKING:
    from sipproxy.ctl.settings import Http
    from sipproxy.transport.certificates import Pair

_WHO_IS_OURS = ("auth", "components", "domains", "listen", "plugin")
_PATIENCE = 60.0  # seconds: plugins may take their time


class NotTaken(ConfigError):
    """A component has failed where it must not: all but it is under the new configuration."""


class Reloader:
    """Has a running server follow its configuration file; ``web`` is its HTTP port.

    The log has each change, or the one reason why there is none, and ``supervisor`` is told.
    """

    def __init__(
        self, node: Node, web: Web | None = None, supervisor: Supervisor | None = None
    ) -> None:
        self._node = node
        self._web = web
        self._supervisor = supervisor or Supervisor(node.reactor, {})

    def reload(self, is_trial: bool = False, file: str = "") -> list[Change]:
        """Read the file again and follow it, in this turn of the reactor.

        ``file`` is what whoever asks takes it to be; empty: that does not matter. Returns what has
        changed, or would. Raises `ConfigError` where a start would, and where something needs a
        restart; then, and where it ``is_trial``, nothing has changed. Raises `NotTaken`, too.
        """
        if is_trial:
            return self._read(is_trial, file)
        self._supervisor.reloading()
        status = "the configuration was refused"
        try:
            found = self._read(is_trial, file)
            count = f"{len(found) or 'no'} change{'' if len(found) == 1 else 's'}"
            status = f"the configuration was read again: {count}"
        except ConfigError as error:
            self._node.log.error("{problem}; nothing changed", problem=error)
            raise
        finally:
            self._supervisor.reloaded(status)
        for change in found:
            self._node.log.info("{change}", change=change)
        self._node.log.info("{status}", status=status)
        for name in self._node.unswitched:
            problem = "has failed to take its options (see the log), all else has; restart"
            fault = NotTaken(self._node.config.file, f"plugin.{name}", problem)
            self._node.log.error("{problem}", problem=fault)
            raise fault
        return found

    def _read(self, is_trial: bool, file: str) -> list[Change]:
        node, before = self._node, self._node.config
        if node.front.is_draining:
            raise before.error("", "the server is stopping")
        if file and Path(file) != before.place.resolve():
            problem = f"the server runs with {before.place.resolve()}: name that with --config"
            raise ConfigError(file, "", problem)
        config = load(before.place)
        refuse_what_stays(before, config)
        contexts = contexts_of(config)
        found = changes(before.settings, config.settings)
        renewed = _renewed(node.network.contexts.pairs, contexts.pairs)
        if config.settings != before.settings:
            self._follow(config, is_trial)
        elif not is_trial:
            node.config, node.network.contexts = config, contexts  # authorities may be others
        return found + renewed

    def _follow(self, config: Config, is_trial: bool) -> None:
        node, before = self._node, self._node.settings
        opened: list[Any] = []
        try:
            bound = _bound(config, node.bound)
            known = {one.socket for one in node.bound}
            opened += [one.socket for one in bound if one.socket not in known]
            is_moved = self._web is not None and config.settings.http != before.http
            web = _bound_http(config, before.http) if is_moved else None
            opened += [] if web is None else [web]
            node.reconfigure(config, bound, is_trial)
        except BaseException:
            _close(opened)
            raise
        if is_trial:
            _close(opened)
            return
        if self._web is not None and is_moved:
            self._web.move(web)
        if differ(before, config.settings, _WHO_IS_OURS):
            _end_strangers(node)


def _close(opened: list[Any]) -> None:
    for sock in opened:
        sock.close()


def _bound(config: Config, standing: list[Bound]) -> list[Bound]:
    """Return the listeners, bound; raises `ConfigError`. A node without sockets has none."""
    if not standing:
        return []
    try:
        return bind_new(config.settings.listen, standing)
    except BindError as error:
        remedy = "stop what uses it, or choose another address or port"
        if error.is_ours:
            remedy = "a listener of ours has it: that needs a restart, or another port"
        raise config.error(f"listen[{error.index}]", f"{error}; {remedy}") from None


def _bound_http(config: Config, before: Http) -> socket.socket | None:
    """Return the socket of metrics and health, if any; raises `ConfigError`."""
    try:
        return bind_http(config)
    except ConfigError as error:
        if before.port != config.settings.http.port:
            raise
        problem = f"{config.settings.http.address}: {before.address} has the port until it is"
        problem += " closed: that needs a restart, or another port"
        raise config.error("http.address", problem) from error


def _renewed(before: list[Pair], after: list[Pair]) -> list[Change]:
    """Return what has become of certificates whose files are the same."""
    known = {(pair.key, pair.file): pair for pair in before}
    return [
        Change(f"{new.key} ({new.file})", _validity(old), _validity(new))
        for new in after
        if (old := known.get((new.key, new.file))) and old.chain != new.chain
    ]


def _validity(pair: Pair) -> str:
    names = ", ".join(pair.domains) or "no SIP domain"
    return f"for {names}; expires on {pair.expires:%Y-%m-%d}; {pair.chain[0].serial_number:x}"


def _end_strangers(node: Node) -> None:
    """End what belongs to nobody of ours any more, and bindings whose listener is gone."""
    ours, location = set(node.identity.domains), node.location
    for package, aor in node.notifier.resources():
        if aor.rpartition(b"@")[2] not in ours:
            node.notifier.end(package, aor, b"noresource")
    for package, aor in node.publications.resources():
        if aor.rpartition(b"@")[2] not in ours:
            node.publications.clear(package, aor)
    for aor in list(location.aors()):
        _sweep(node, aor, REJECTED if aor.rpartition(b"@")[2] not in ours else DEACTIVATED)
    node.departures.look()


def _sweep(node: Node, aor: bytes, ending: Ending) -> None:
    """End the bindings of a user that cannot be reached any more, or all where it is none."""

    def commit() -> Any:
        bindings = location.bindings(aor)
        kept = [one for one in bindings if ending is DEACTIVATED and one.is_reachable]
        return location.commit(aor, kept, ending) if len(kept) < len(bindings) else None

    location, text = node.location, "the bindings of {aor} stay: the store cannot be written"
    committed = location.turns.take(aor, commit)
    if is_deferred(committed):
        committed.addErrback(lambda _: node.log.error(text, aor=aor))


@click.command("reload")
@click.option("--dry-run", "--check", "is_trial", is_flag=True, help="Print the changes only.")
@as_json
@click.pass_context
def reload_command(context: click.Context, is_trial: bool, as_json: bool) -> None:
    """Let a running server read its configuration again: all of it takes effect, or nothing.

    Prints what changes. Listeners that stay keep their connections; bindings, subscriptions and
    calls go on.
    """
    config = configured(context)
    asked = {"is_trial": is_trial, "file": str(config.file.resolve())}
    try:
        found: list[dict[str, Any]] = ask(config.data, "reload", timeout=_PATIENCE, **asked)
    except NotRunning as error:
        fail(f"{error}; if `data` is another now, put it back: it needs a restart")
    except Refused as error:
        fail(error)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for row in found:
        click.echo(str(Change(**row)))
    if not found:
        click.echo("nothing changed")
