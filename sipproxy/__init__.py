"""An instant-messaging and presence server for SIP, on Twisted."""

__version__ = "0.1.0"
