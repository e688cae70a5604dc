"""The messages that the RFCs print: each whole one is read, and comes out as it went in."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.framing import Framer
from sipproxy.sip.parser import BadMessage, parse_datagram, parse_framed
from tests.shared import SHARED, needs_shared

FOLDER = SHARED / "sipmsgs"
# Faults of the RFCs that the index does not note.
FAULTY = {
    "rfc3327/008.sip": "the Request-URI has no scheme",
    "rfc3327/009.sip": "the Request-URI has no scheme",
    "rfc3327/010.sip": "the Request-URI has no scheme",
    "rfc3327/011.sip": "the Request-URI has no scheme",
    "rfc7315/007.sip": "a Via has a user part",
    "rfc7315/008.sip": "a Via has a user part",
    "rfc7315/010.sip": "a Via has a user part",
    "rfc7315/012.sip": "a Via has a user part",
}


@needs_shared("sipmsgs", "index.json")
class RfcMessagesTests(SynchronousTestCase):
    """RFC 3261 §7, in the words of fifty RFCs."""

    def messages(self) -> dict[str, bytes]:
        """Return every complete SIP message by the name of its file."""
        index = json.loads((FOLDER / "index.json").read_text())
        names = [entry["file"] for entry in index if entry["complete"]]
        return {name: (FOLDER / name).read_bytes() for name in names if name.endswith(".sip")}

    def test_octet_for_octet(self) -> None:
        checked = 0
        for name, data in self.messages().items():
            if name in FAULTY:
                continue
            message = parse_datagram(data)
            self.assertEqual(message.encode(), data, name)
            self.assertTrue(message.via.host, name)
            checked += 1
        self.assertGreater(checked, 500)

    def test_faulty_ones_are_a_400(self) -> None:
        messages = self.messages()
        for name in FAULTY:
            error = self.assertRaises(BadMessage, parse_datagram, messages[name])
            self.assertEqual(error.status, 400, name)
            self.assertIsNotNone(error.salvage, name)

    def test_one_stream(self) -> None:
        """§18.3: all that have a Content-Length, one behind the other."""
        messages = [
            data
            for name, data in self.messages().items()
            if name not in FAULTY and parse_datagram(data).value(b"content-length") is not None
        ]
        stream = b"".join(messages)
        framer = Framer(65536, 65536)
        frames: list[bytes | BadMessage] = []
        for start in range(0, len(stream), 1460):
            frames += framer.feed(stream[start : start + 1460])
        self.assertEqual(frames, messages)
        for data in messages:
            self.assertEqual(parse_framed(data).encode(), data)
