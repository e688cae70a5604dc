"""Tells Twisted of the component ``blocklist``; imports what it builds when it builds it."""

from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from sipproxy.interfaces import IComponentFactory, IHost, IRequestFilter


@implementer(IPlugin, IComponentFactory)
class BlocklistFactory:
    """Refuses blocked senders."""

    name = "blocklist"
    provides = IRequestFilter

    @property
    def options(self) -> Any:
        """The class of its options."""
        from sipproxy_blocklist.blocklist import BlocklistOptions

        return BlocklistOptions

    def build(self, options: Any, host: IHost) -> Any:
        """Build the filter."""
        from sipproxy_blocklist.blocklist import Blocklist

        return Blocklist(options, host)


blocklist = BlocklistFactory()
