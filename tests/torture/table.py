"""What each message of RFC 4475 and RFC 5118 has to meet with, row by row."""

from __future__ import annotations

from typing import NamedTuple

FORWARD = "forward"
DROP = "drop"  # nothing answered, nothing forwarded, nothing kept
# On streams, for the octets that follow an answer, or come without one.
CLOSE = "close"
WAIT = "wait"
CALL = f"100 {FORWARD}"


class Row(NamedTuple):
    """Outcomes, each a status or more in the order they are sent, or one of the words above.

    ``ours``: the Request-URI is ours, and whoever it names is there. ``secured``: the same with
    authentication. ``foreign``: nothing of it is ours. ``message``: ours, with MESSAGE in INVITE's
    place. ``outbound``: the sender is ours, but not the Request-URI. ``stream``: ours, over TCP;
    the same as over UDP where nothing is said.
    """

    section: str
    ours: str
    secured: str
    foreign: str
    message: str = ""
    outbound: str = ""
    stream: str = ""


def _invite(section: str, message: str = FORWARD, stream: str = CALL) -> Row:
    """A readable INVITE to a user."""
    return Row(section, CALL, "407", "403", message, stream=stream)


def _request(section: str, outbound: str = "") -> Row:
    """A readable request to a user."""
    return Row(section, FORWARD, "407", "403", outbound=outbound)


def _register(section: str, answer: str = "200") -> Row:
    """A readable REGISTER."""
    return Row(section, answer, "401", "403")


def _bad(section: str, status: str = "400", stream: str = "") -> Row:
    """What nobody may act on, whoever sends it to whom."""
    return Row(section, status, status, status, stream=stream)


RFC4475 = {
    # 3.1.1: valid
    "wsinv": _invite("3.1.1.1"),
    "intmeth": _request("3.1.1.2"),
    "esc01": _invite("3.1.1.3"),
    "escnull": _register("3.1.1.4"),
    "esc02": _request("3.1.1.5"),
    "lwsdisp": _request("3.1.1.6"),
    "longreq": _invite("3.1.1.7"),
    # Over a stream the octets beyond the first message are a second one (RFC 3261 §18.3), whose
    # body has five more than it says: they are no message at all.
    "dblreq": _register("3.1.1.8")._replace(stream=f"200 480 {CLOSE}"),
    "semiuri": _request("3.1.1.9", outbound=FORWARD),
    "transports": _request("3.1.1.10"),
    "mpart01": _request("3.1.1.11", outbound=FORWARD),
    "unreason": _bad("3.1.1.12", DROP),  # a response to nothing; see test_responses
    "noreason": _bad("3.1.1.13", DROP),
    # 3.1.2: invalid
    "badinv01": _bad("3.1.2.1"),
    "clerr": _bad("3.1.2.2", stream=WAIT),
    "ncl": _bad("3.1.2.3", stream=f"400 {CLOSE}"),
    "scalar02": _bad("3.1.2.4"),
    "scalarlg": _bad("3.1.2.5", DROP),
    # To is none of a proxy's business (RFC 3261 §16.3 step 1), but where it begins a dialog.
    "quotbal": _bad("3.1.2.6")._replace(message=FORWARD),
    "ltgtruri": _bad("3.1.2.7"),
    "lwsruri": _bad("3.1.2.8"),
    "lwsstart": _bad("3.1.2.9"),
    "trws": _bad("3.1.2.10"),
    "escruri": _bad("3.1.2.11"),
    "baddate": _invite("3.1.2.12"),  # nor is Date
    "regbadct": _register("3.1.2.13", "400"),
    "badaspec": _request("3.1.2.14", outbound=FORWARD),
    "baddn": _bad("3.1.2.15", stream=WAIT),  # it has no end of head; see test_streams
    "badvers": _bad("3.1.2.16", "505"),
    "mismatch01": _bad("3.1.2.17"),
    "mismatch02": _bad("3.1.2.18"),
    "bigcode": _bad("3.1.2.19", DROP),
    # 3.2: transaction layer
    "badbranch": _request("3.2.1", outbound=FORWARD),
    # 3.3: application layer
    "insuf": _bad("3.3.1"),
    "unkscm": _bad("3.3.2", "416"),
    "novelsc": _bad("3.3.3", "416"),
    "unksm2": _register("3.3.4", "400"),
    "bext01": _bad("3.3.5", "420")._replace(outbound="420"),
    "invut": _invite("3.3.6"),
    "regaut01": _register("3.3.7"),
    "multi01": _bad("3.3.8"),
    "mcl01": _bad("3.3.9", stream=f"400 {CLOSE}"),
    "bcast": _bad("3.3.10", DROP),
    # An OPTIONS may be answered where its hops are used up (RFC 3261 §16.3 step 3): here, to ours.
    "zeromf": Row("3.3.11", "200", "200", "483", outbound="483"),
    "cparam01": _register("3.3.12"),
    "cparam02": _register("3.3.13"),
    "regescrt": _register("3.3.14"),
    "sdp01": _invite("3.3.15"),
    # 3.4: RFC 2543; over a stream it cannot be framed (RFC 3261 §20.14)
    "inv2543": _invite("3.4.1", stream=f"400 {CLOSE}")._replace(secured=CALL),  # From is foreign
}

RFC5118 = {
    "ipv6-good": _register("4.1"),
    "ipv6-bad": _bad("4.2"),
    # The port is a part of the address: another domain, to which we are but a proxy.
    "port-ambiguous": Row("4.3", FORWARD, "407", "403"),
    "port-unambiguous": _register("4.4"),
    "via-received-param-with-delim": _request("4.5"),
    # OPTIONS to the server itself is answered without asking who it is (RFC 3261 §11).
    "via-received-param-no-delim": Row("4.5", "200", "200", "403"),
    "ipv6-in-sdp": _invite("4.6"),
    "mult-ip-in-header": _request("4.7", outbound=FORWARD),
    "mult-ip-in-sdp": _invite("4.8"),
    "ipv4-mapped-ipv6": _invite("4.9"),
    "ipv6-bug-abnf-3-colons": _request("4.10"),
    "ipv6-correct-abnf-2-colons": _request("4.10"),
}

ROWS: dict[str, Row] = {f"rfc4475/{name}": row for name, row in RFC4475.items()} | {
    f"rfc5118/{name}": row for name, row in RFC5118.items()
}
