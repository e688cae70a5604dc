"""Publications as they are kept: a stable encoding of all that a publication is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sipproxy.interfaces.events import IEventPackage, IKeepsContents, Publication
from sipproxy.sip.errors import SipError

if TYPE_CHECKING:
    from sipproxy.interfaces import IStore
    from sipproxy.registrar.records import Flows

KIND = "publications"  # by package and resource, with a space in between
_VERSION = 1


class Ended:
    """The connection of a publisher, which ended with the process before."""

    reliable = True
    is_open = False


ENDED: Any = Ended()


class _Publication(msgspec.Struct, array_like=True, frozen=True):
    """`Publication`; ``flow`` is None for none, empty for one that ends with us.

    ``content`` is what the package keeps besides, None where the body is all there is.
    """

    tag: bytes
    media_type: bytes
    data: bytes
    expires_on: float
    order: int
    flow: bytes | None
    content: Any


class _Record(msgspec.Struct, array_like=True, frozen=True):
    """The publications of a resource for a package; what is added comes last, with a default."""

    version: int
    publications: tuple[_Publication, ...]


def kept_record(
    publications: Sequence[Publication], package: IEventPackage | None, store: IStore, flows: Flows
) -> Any:
    """Return what is kept of the publications of one resource."""
    keeper = package if IKeepsContents.providedBy(package) else None
    return _Record(_VERSION, tuple(_kept(one, keeper, store, flows) for one in publications))


def _kept(publication: Publication, keeper: Any, store: IStore, flows: Flows) -> _Publication:
    flow = publication.flow
    return _Publication(
        publication.tag,
        publication.media_type,
        publication.data,
        store.date(publication.expires_at),
        publication.order,
        None if flow is None else flows.lasting_name(flow),
        None if keeper is None else keeper.kept(publication),
    )


def read_record(value: Any) -> Sequence[Any]:
    """Return the publications of a record, for `restored`; raises ValueError for what is none."""
    try:
        read = msgspec.convert(value, _Record)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if read.version != _VERSION:
        raise ValueError(f"it is of version {read.version}; this sipproxy knows {_VERSION}")
    return read.publications


def restored(
    kept: Any, resource: bytes, package: IEventPackage, store: IStore, flows: Flows
) -> Publication:
    """Return a publication, checked by its package as when it came; raises ValueError."""
    if not math.isfinite(kept.expires_on):
        raise ValueError("a date that is none")
    flow = kept.flow and flows.find_again(kept.flow)
    try:
        if IKeepsContents.providedBy(package):
            content = package.restored(resource, kept.data, kept.content)
        else:
            content = package.check(resource, kept.media_type, kept.data, None)
    except SipError as error:
        raise ValueError(str(error)) from None
    return Publication(
        kept.tag,
        kept.media_type,
        kept.data,
        content,
        store.moment(kept.expires_on),
        kept.order,
        ENDED if kept.flow == b"" else flow or None,
    )
