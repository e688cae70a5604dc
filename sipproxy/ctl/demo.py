"""What ``make run`` serves: a configuration and two accounts to try things with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from sipproxy.config import load
from sipproxy.store.accounts import AccountTable

ACCOUNTS = {"alice@example.test": "alice-demo", "bob@example.test": "bob-demo"}


def write_demo(file: Path) -> list[str]:
    """Write the demonstration to ``file`` unless it exists; return what to tell the operator.

    Accounts that are there keep their passwords.
    """
    if not file.exists():
        file.write_text(files("sipproxy").joinpath("demo.toml").read_text("utf-8"), "utf-8")
    config = load(file)
    if config.settings.domains != ("example.test",):
        return [f"{file} is a configuration of your own: used as it is"]
    table = AccountTable(config.data)
    known = {aor for aor, _ in table.rows()}
    lines = [f"configuration: {file}, data: {config.data.name}/"]
    for aor, password in ACCOUNTS.items():
        if aor.encode() not in known:
            table.put(aor, password, replace=False)
        lines.append(f"account: {aor}, password: {password}")
    listens = (f"{x.transport} {x.address}:{x.port}" for x in config.settings.listen)
    lines.append(f"server: {', '.join(listens)}; try it with `.venv/bin/sipctl try`")
    return lines
