from sipproxy.sip.message import Request, Response
from sipproxy.sip.uri import Uri

def prepare(
    names: dict[bytes, tuple[bytes, int]],
    methods: dict[bytes, bytes],
    types: tuple[type, ...],
    /,
) -> None: ...
def message(data: bytes, fits: bool, /) -> Request | Response | None: ...
def uri(raw: bytes, /) -> Uri | None: ...
