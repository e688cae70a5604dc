"""Kamailio under measure, with its fastest allocator and its default one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.servers import PASSWORD, Server, Setting, found

CONFIG = Path(__file__).with_name("kamailio.cfg")
SCHEMAS = Path("/usr/share/kamailio/db_sqlite")
PLACES = ("usr/lib/*/kamailio/modules", "usr/lib64/kamailio/modules")
PACKAGES = {
    "tls.so": "kamailio-tls-modules",
    "presence.so": "kamailio-presence-modules",
    "presence_xml.so": "kamailio-presence-modules",
    "db_sqlite.so": "kamailio-sqlite-modules",
}
MODULES = {"tls": ["tls.so"], "presence": ["presence.so", "presence_xml.so", "db_sqlite.so"]}


def program(name: str) -> str | None:
    """Return the path of a program, wherever a package puts it."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def modules() -> Path | None:
    """Return the directory of Kamailio's modules, or None."""
    for place in PLACES:
        for module in Path("/").glob(f"{place}/tm.so"):
            return module.parent
    return None


def version() -> str:
    """Return its version, or that there is none."""
    path = program("kamailio")
    if path is None:
        return "not installed"
    done = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=10, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0].removeprefix("version: kamailio ").strip()


def lacks(needs: frozenset[str]) -> str:
    """Return what to install for what a case needs, in one line; empty where all is there."""
    place = modules()
    if program("kamailio") is None or program("kamcmd") is None or place is None:
        return "Kamailio is not installed, and left out: apt-get install kamailio"
    wanted = [module for need in sorted(needs) for module in MODULES.get(need, ())]
    absent = sorted({PACKAGES[module] for module in wanted if not (place / module).exists()})
    if not absent:
        return ""
    return f"Kamailio is left out where it has no modules: apt-get install {' '.join(absent)}"


class Kamailio(Server):
    """Kamailio with one of its allocators, everything in memory."""

    allocator = ""

    def _prepared(self, setting: Setting) -> Sequence[object]:
        values = {
            "PORT": self.port,
            "TLS_PORT": self.tls_port,
            "MODULES": modules(),
            "HOME": self.home,
            "LINGER": int(setting.linger * 1000),
            "PASSWORD": PASSWORD,
        }
        text = CONFIG.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        (self.home / "kamailio.cfg").write_text(text)
        has = {*setting.needs, *(["digest"] if setting.accounts else [])}
        if "presence" in has:
            self._write_tables()
        memory = ["-m", "2048", "-M", "64", "-x", self.allocator, "-X", self.allocator]
        defined = [word for name in sorted(has) for word in ("-A", f"WITH_{name.upper()}")]
        where = ["-f", "kamailio.cfg", "-Y", self.home, "-w", self.home]
        return [program("kamailio"), "-DD", "-E", *where, *memory, "-b", "4194304", *defined]

    def _write_tables(self) -> None:
        """Make the tables that it wants to see, although it keeps nothing in them."""
        database = sqlite3.connect(self.home / "kamailio.db")
        for name in ("standard", "presence"):
            database.executescript((SCHEMAS / f"{name}-create.sql").read_text())
        database.close()

    def memory(self) -> float:
        """KiB of the shared memory that are in use: nearly all that it keeps is there."""
        command = [str(program("kamcmd")), "-s", f"unix:{self.home}/ctl", "core.shmmem"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return found(r"real_used: (\d+)", done.stdout) / 1024


class Tlsf(Kamailio):
    """With its fastest allocator."""

    allocator = "tlsf"


class Qm(Kamailio):
    """With its default allocator."""

    allocator = "qm"
