"""What ``twistd`` needs to know of sipproxy; every twistd run imports this."""

from twisted.application.service import ServiceMaker

sipproxy = ServiceMaker(
    "sipproxy",
    "sipproxy.service",
    "An instant-messaging and presence server for SIP.",
    "sipproxy",
)
