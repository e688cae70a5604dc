from typing import Any

from sipproxy.sip.uri import Uri

def prepare(
    names: dict[bytes, tuple[bytes, int]],
    methods: dict[bytes, bytes],
    via: type,
    cseq: type,
    name_addr: type,
    uri: type,
    /,
) -> None: ...
def message(data: bytes, fits: bool, /) -> tuple[Any, ...] | None: ...
def uri(raw: bytes, /) -> Uri | None: ...
