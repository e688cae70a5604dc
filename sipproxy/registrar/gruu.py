"""GRUUs: temporary ones are sealed and opened here, and both kinds resolved (RFC 5627)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from sipproxy.sip.grammar import unescape
from sipproxy.sip.gruu import names_instance
from sipproxy.sip.uri import Uri

if TYPE_CHECKING:
    from sipproxy.registrar.binding import Binding

KEY_LENGTH = 64  # bytes
_PREFIX = b"tgruu."
_STAMP, _OWNER, _CALL = 6, 8, 4  # bytes
_HEAD = _STAMP + _OWNER + _CALL
_BLOCK = 48  # bytes: users of up to 29 bytes all have GRUUs of one length
_END = b"\x80"


class Instance:
    """The instance that a binding is of, and what its temporary GRUUs depend on.

    ``made`` is the stamp of this registration, so that of two bindings the later one was refreshed
    last, and it makes the temporary GRUU that came of it. GRUUs made before ``since`` are invalid
    (RFC 5627 §5.1, §5.3), but for those made before the start at ``revives_before`` (0: none): the
    registration that they came of may have lasted until it was lost with the process before.
    ``first_cseq`` is the CSeq of the REGISTER that the oldest valid one came of (RFC 5628 §5); 0
    where we have forgotten it.
    """

    __slots__ = ("first_cseq", "made", "reg_id", "revives_before", "since", "urn")

    def __init__(
        self,
        urn: bytes,
        reg_id: int,
        made: int,
        since: int,
        revives_before: int = 0,
        first_cseq: int = 0,
    ) -> None:
        self.urn = urn
        self.reg_id = reg_id  # 0: it does not register a flow (RFC 5626 §4.2)
        self.made = made
        self.since = since
        self.revives_before = revives_before
        self.first_cseq = first_cseq

    @property
    def beginning(self) -> tuple[int, int, int]:
        """Where its temporary GRUUs begin, as its bindings share it: the last three arguments."""
        return self.since, self.revives_before, self.first_cseq


class _Seal:
    """What a temporary GRUU holds."""

    __slots__ = ("aor", "call", "made", "owner")

    def __init__(self, made: int, owner: bytes, call: bytes, aor: bytes) -> None:
        self.made = made
        self.owner = owner
        self.call = call
        self.aor = aor


class Gruus:
    """Makes temporary GRUUs and resolves GRUUs of both kinds.

    ``key`` is secret and outlives the process, as temporary GRUUs do; ``started`` is the date, as
    the store has it, and ``now`` the monotonic time. A temporary GRUU holds all that it means,
    encrypted and authenticated (AES-SIV, RFC 5297): nothing is kept of it, and two of them tell
    nobody whether they are one user's (§5.1).
    """

    def __init__(self, key: bytes, started: float, now: Callable[[], float]) -> None:
        self._cipher = AESSIV(key)
        self._now = now
        self._offset = started - now()
        self.started = self._last = int(started * 1000)

    def stamp(self, after: int = 0) -> int:
        """Return the date in milliseconds, later than any returned before, and than ``after``."""
        date = int((self._offset + self._now()) * 1000)
        self._last = max(self._last + 1, after + 1, date)
        return self._last

    def temporary(self, scheme: bytes, aor: bytes, binding: Binding) -> bytes:
        """Return the temporary GRUU that came of a binding's registration."""
        user, _, domain = aor.rpartition(b"@")
        instance = binding.instance
        assert instance is not None
        head = instance.made.to_bytes(_STAMP, "big") + _owner(aor, instance.urn)
        text = head + _call(binding.call_id) + user + _END
        text += b"\0" * (-len(text) % _BLOCK)
        sealed = _base64(self._cipher.encrypt(text, [domain]))
        return b"%s:%s%s@%s;gr" % (scheme, _PREFIX, sealed, domain)

    def user(self, user: bytes | None, domain: bytes) -> bytes | None:
        """Return the user that a temporary GRUU hides, or None where it is none of ours."""
        seal = self._open(user or b"", domain)
        return None if seal is None else seal.aor.rpartition(b"@")[0]

    def bound(self, uri: Uri, domain: bytes, bindings: Sequence[Binding]) -> list[Binding] | None:
        """Return those of an address-of-record's bindings that a GRUU means (§5.4).

        None for a temporary GRUU that is not ours, or not valid any more.
        """
        if uri.params[b"gr"]:
            return [b for b in bindings if b.instance and names_instance(uri, b.instance.urn)]
        seal = self._open(uri.user or b"", domain)
        if seal is None:
            return None
        own = [b for b in bindings if _is_of(b, seal)]
        calls = {_call(b.call_id) for b in own}
        return [b for b in own if self._lives(seal, b, calls)] or None  # §5.3: it ended with them

    def _lives(self, seal: _Seal, binding: Binding, calls: set[bytes]) -> bool:
        instance = binding.instance
        assert instance is not None
        if seal.made >= instance.since:
            return True
        return seal.made < instance.revives_before and seal.call in calls

    def _open(self, user: bytes, domain: bytes) -> _Seal | None:
        user = unescape(user)
        if not user.startswith(_PREFIX):
            return None
        text = user[len(_PREFIX) :]
        try:
            data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            opened = self._cipher.decrypt(data, [domain])
        except (binascii.Error, ValueError, InvalidTag):
            return None
        if _base64(data) != text:  # bits that stand for nothing were changed
            return None
        head, name = opened[:_HEAD], opened[_HEAD:].rstrip(b"\0")[: -len(_END)]
        made = int.from_bytes(head[:_STAMP], "big")
        return _Seal(made, head[_STAMP:-_CALL], head[-_CALL:], name + b"@" + domain)

    # Registration

    def begin(
        self,
        urn: bytes,
        reg_id: int,
        call_id: bytes,
        bindings: Sequence[Binding],
        grace: float,
        cseq: int = 0,
    ) -> Instance:
        """Return the instance of a new binding, beside the ones that its user has (§5.1).

        ``call_id`` and ``cseq`` are of its REGISTER. ``grace`` is how long a registration that was
        lost with the process before may have lasted, in seconds.
        """
        own = [b for b in bindings if b.instance and b.instance.urn == urn]
        known = newest(own).instance if own else None
        made = self.stamp(known.made if known else 0)
        same = [b for b in own if not reg_id or b.instance.reg_id == reg_id]  # type: ignore[union-attr]
        if same and newest(same).call_id != call_id:
            return Instance(urn, reg_id, made, made, 0, cseq)
        if known:
            return Instance(urn, reg_id, made, *known.beginning)
        revives = made - self.started < grace * 1000
        if revives:
            return Instance(urn, reg_id, made, made, self.started)
        return Instance(urn, reg_id, made, made, 0, cseq)


def newest(bindings: Sequence[Binding]) -> Binding:
    """Return the binding of an instance that was refreshed last."""
    if len(bindings) == 1:
        return bindings[0]
    return max(bindings, key=lambda b: b.instance.made if b.instance else 0)


def _is_of(binding: Binding, seal: _Seal) -> bool:
    return binding.instance is not None and _owner(seal.aor, binding.instance.urn) == seal.owner


def _owner(aor: bytes, instance: bytes) -> bytes:
    return hashlib.sha256(b"%d:%s%s" % (len(aor), aor, instance)).digest()[:_OWNER]


def _call(call_id: bytes) -> bytes:
    return hashlib.sha256(call_id).digest()[:_CALL]


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
