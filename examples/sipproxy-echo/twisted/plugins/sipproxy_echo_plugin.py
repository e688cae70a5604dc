"""Tells Twisted of the component ``echo``; imports what it builds when it builds it."""

from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from sipproxy.interfaces import IComponentFactory, IHost, IRequestHandler


@implementer(IPlugin, IComponentFactory)
class EchoFactory:
    """Sends messages back."""

    name = "echo"
    provides = IRequestHandler

    @property
    def options(self) -> Any:
        """The class of its options."""
        from sipproxy_echo.echo import EchoOptions

        return EchoOptions

    def build(self, options: Any, host: IHost) -> Any:
        """Build the handler."""
        from sipproxy_echo.echo import Echo

        return Echo(options, host)


echo = EchoFactory()
