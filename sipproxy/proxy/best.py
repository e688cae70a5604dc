"""Choosing the best of several final responses (RFC 3261 §16.7 steps 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence

from sipproxy.sip.message import Response

_TELLING = (401, 407, 415, 420, 484)  # they say how to ask again
_CHALLENGES = (b"www-authenticate", b"proxy-authenticate")


def choose(finals: Sequence[Response], own: int | None) -> Response | int:
    """Return what goes upstream: a branch's response, or the status that we say of the others.

    Where neither is there it is 500.
    """
    chosen = best(finals) if finals else None
    if chosen is not None and (
        own is None or chosen.status >= 600 or chosen.status // 100 <= own // 100
    ):
        add_challenges(chosen, finals)
        return chosen
    return own or 500


def best(responses: Sequence[Response]) -> Response:
    """Return the response to forward: any 6xx, else the lowest class, the telling ones first."""
    return min(responses, key=_rank)


def _rank(response: Response) -> tuple[int, int]:
    kind = response.status // 100
    return (0 if kind == 6 else kind, 0 if response.status in _TELLING else 1)


def add_challenges(chosen: Response, responses: Sequence[Response]) -> None:
    """Give a 401 or 407 the challenges of all others, unchanged and in order (step 7)."""
    if chosen.status not in (401, 407):
        return
    for response in responses:
        if response is chosen or response.status not in (401, 407):
            continue
        for name, line in zip(response.names, response.lines, strict=True):
            if name in _CHALLENGES:
                chosen.names.append(name)
                chosen.lines.append(line)
