"""Tells Twisted of the component ``message-summary``; imports what it builds when it builds it."""

from typing import Any

import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from sipproxy.interfaces import IComponentFactory
from sipproxy.interfaces.events import IEventHost, IEventPackage


class NoOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """There is nothing to set."""


@implementer(IPlugin, IComponentFactory)
class MessageSummaryFactory:
    """Tells users how many messages wait for them."""

    name = "message-summary"
    provides = IEventPackage
    options = NoOptions

    def build(self, options: NoOptions, host: IEventHost) -> Any:
        """Build the package."""
        from sipproxy_mwi.mwi import MessageSummary

        return MessageSummary(host)


message_summary = MessageSummaryFactory()
