"""What another configuration would change, key by key, and what of it a running server cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from sipproxy.config import Config, ConfigError, Settings

HIDDEN = "(hidden)"
# What is kept of before a start, or was begun by it, would be left behind.
NEED_A_RESTART = ("components.documents", "components.location", "components.store", "store.")

_is_secret = re.compile(r"pass|secret|token|credential|private|dsn|key$", re.I).search
_password = re.compile(r"(://[^/@\s:]*:)[^/@\s]+@").sub


class Change(NamedTuple):
    """A key whose value is another one; None where there is, or was, none."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key}: {_written(self.old)} -> {_written(self.new)}"


def _written(value: Any) -> str:
    if value is None:
        return "none"
    return value if value == HIDDEN else json.dumps(value, ensure_ascii=False)


def changes(old: Settings, new: Settings) -> list[Change]:
    """Return what differs, in the order of the settings; values that may be secrets are hidden."""
    before, after = _flat(old, new), _flat(new, old)
    keys = [*before, *(key for key in after if key not in before)]
    return [
        Change(key, _open(key, before.get(key)), _open(key, after.get(key)))
        for key in keys
        if before.get(key) != after.get(key)
    ]


def differ(old: Settings, new: Settings, tables: Iterable[str]) -> bool:
    """Tell whether any of these tables is another one."""
    return any(getattr(old, name) != getattr(new, name) for name in tables)


def refuse_what_stays(old: Config, new: Config) -> None:
    """Raise `ConfigError` for the first change that needs a restart."""
    if old.data != new.data:
        raise _needs_a_restart(new, Change("data", str(old.data), str(new.data)))
    for change in changes(old.settings, new.settings):
        if change.key.startswith(NEED_A_RESTART):
            raise _needs_a_restart(new, change)


def _needs_a_restart(config: Config, change: Change) -> ConfigError:
    what = f"{_written(change.old)} -> {_written(change.new)}"
    return config.error(change.key, f"{what} needs a restart: restart, or put it back")


def _flat(settings: Settings, other: Settings) -> dict[str, Any]:
    """Return every setting by its key; listeners and routes are named by what they are about.

    Of those that the other configuration has not, what is not as by default.
    """
    table = msgspec.to_builtins(settings)
    named, known = _named(settings), _named(other)
    table.update({kind: list(entries) for kind, entries in named.items()})
    flat = dict(_leaves("", table))
    for kind, entries in named.items():
        for name, entry in entries.items():
            values = msgspec.to_builtins(entry)
            if name not in known[kind]:
                usual = {f.encode_name: f.default for f in msgspec.structs.fields(entry)}
                values = {key: value for key, value in values.items() if value != usual[key]}
            for key in _IN_THE_NAME & values.keys():
                del values[key]
            flat.update(_leaves(f"{kind}[{name}]", values))
    return flat


_IN_THE_NAME = {"transport", "address", "port", "domain"}


def _named(settings: Settings) -> dict[str, dict[str, Any]]:
    listens = {f"{x.transport} {x.address}:{x.port}": x for x in settings.listen}
    return {"listen": listens, "route": {x.domain: x for x in settings.route}}


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    is_component = key.count(".") == 1 and key.startswith("plugin.")
    if not isinstance(value, dict) or (is_component and not value):
        yield key, value
        return
    for name, inner in value.items():
        yield from _leaves(f"{key}.{name}" if key else name, inner)


def _open(key: str, value: Any) -> Any:
    """Return a value as it may be shown: plugins have keys that we know nothing of."""
    if value is None or not key.startswith("plugin."):
        return value
    if isinstance(value, dict):
        return {name: _open(f"{key}.{name}", inner) for name, inner in value.items()}
    if _is_secret(key.partition(".")[2].partition(".")[2]):
        return HIDDEN
    if isinstance(value, list | tuple):
        return [_open(key, one) for one in value]
    return _password(rf"\1{HIDDEN}@", value) if isinstance(value, str) else value
