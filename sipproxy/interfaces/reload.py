"""PUBLIC: what a component may do when the configuration is read again while the server runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import Interface

if TYPE_CHECKING:
    from sipproxy.interfaces import IHost


class IReconfigurable(Interface):
    """A component that goes on under another configuration, with all that it keeps.

    Any other one stays as it is where its own options are the same, and so is who we are (domains,
    aliases, listeners), and is built again where they are not: what the old one kept is lost then,
    what it joined in ``build`` tells it no more, and a service stops once the new one has started.
    What keeps nothing, and holds parts of the host, says ``is_stateless = True`` in its factory: it
    is built again each time. A store, a location table and documents are never built again: without
    this interface, other options of theirs need a restart.
    """

    def reconfigured(options: Any, host: IHost) -> Callable[[], None]:
        """Return what makes it take checked options; it is not called where another part refuses.

        It is asked each time, for what the host says of itself may be new while its own options are
        the same: ``host.settings`` and ``host.identity`` are those that are to be. Nothing may have
        changed before the call, which must not fail. Raises ValueError where these options cannot
        be taken, or not without a restart.
        """
