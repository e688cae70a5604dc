"""One TCP connection: messages, keep-alives, limits and its end (RFC 3261 §18, RFC 5626 §4.4.1)."""

from __future__ import annotations

from weakref import ref

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.sip.headers import parse_via
from tests.rfc import rfc
from tests.sip.samples import octets
from tests.sip.tables import TableCase, rows
from tests.transport.fakes import Surroundings, connected

MESSAGE = octets(b"Content-Length: 5", body=b"Hello")
VIA = parse_via(b"SIP/2.0/TCP 10.0.0.2:5080;branch=z9hG4bK1;rport")


class StreamCase(TableCase):
    """A connection on a clock."""

    def setUp(self) -> None:
        self.around = Surroundings()
        self.flow, self.wire = connected(self.around)

    def close_from_afar(self) -> None:
        self.flow.connectionLost(None)


@rfc(3261, "18.3", "Content-Length cuts a stream into messages")
class ReadingTest(StreamCase):
    """§18.3: Content-Length cuts a stream into messages."""

    def test_address(self) -> None:
        self.assertEqual((self.flow.host, self.flow.port), (b"192.0.2.7", 40000))
        self.assertTrue(self.flow.is_open and self.flow.reliable)

    def test_a_peer_that_vanishes_is_noticed(self) -> None:
        self.assertTrue(self.wire.is_kept_alive)

    def test_octet_by_octet(self) -> None:
        for octet in MESSAGE:
            self.flow.dataReceived(bytes((octet,)))
        self.assertEqual(self.around.messages, [MESSAGE])

    def test_many_at_once(self) -> None:
        self.flow.dataReceived(MESSAGE * 3 + MESSAGE[:9])
        self.assertEqual(self.around.messages, [MESSAGE] * 3)
        self.flow.dataReceived(MESSAGE[9:])
        self.assertEqual(len(self.around.messages), 4)

    @rfc(5626, "4.4.1", "CRLFCRLF is answered CRLF")
    def test_ping(self) -> None:
        """RFC 5626 §4.4.1: CRLFCRLF is answered CRLF, at once."""
        self.flow.dataReceived(b"\r\n\r\n")
        self.assertEqual(self.wire.value(), b"\r\n")
        self.flow.dataReceived(MESSAGE + b"\r\n\r\n" + MESSAGE)
        self.assertEqual((self.wire.value(), len(self.around.messages)), (b"\r\n" * 2, 2))

    def test_single_line_end_is_no_ping(self) -> None:
        """RFC 3261 §7.5: line ends before a start line are passed over."""
        self.flow.dataReceived(b"\r\n" + MESSAGE)
        self.assertEqual((self.wire.value(), len(self.around.messages)), (b"", 1))

    @rows(
        {
            "no Content-Length": (octets(), 400),
            "head too long": (octets(b"X: " + b"y" * 2000), 513),
            "body too long": (octets(b"Content-Length: 1001"), 413),
        }
    )
    def test_refused(self, data: bytes, status: int) -> None:
        """Where a message ends cannot be known any more: answered, and closed."""
        self.flow.dataReceived(data + MESSAGE)
        self.assertEqual((self.around.errors, self.around.messages), ([status], []))
        self.assertEqual(self.wire.value(), b"%d" % status)
        self.assertTrue(self.wire.disconnecting)
        self.flow.dataReceived(MESSAGE)
        self.assertEqual(self.around.messages, [])

    def test_bug_of_the_receiver(self) -> None:
        """Logged; the messages after it are served."""
        self.around.fault = KeyError("x")
        self.flow.dataReceived(MESSAGE * 2)
        self.assertEqual(len(self.around.messages), 2)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)
        self.assertTrue(self.flow.is_open)


class PartialTest(StreamCase):
    """A message that does not get whole loses its sender the connection."""

    def test_half_a_message(self) -> None:
        self.flow.dataReceived(MESSAGE[:-1])
        self.around.advance(19.8)
        self.assertTrue(self.flow.is_open)
        self.around.advance(0.5)
        self.assertTrue(self.wire.was_aborted)

    def test_an_octet_now_and_then(self) -> None:
        """The time counts from the first octet of the message, not from the last."""
        for octet in MESSAGE[:12]:
            if self.flow.is_open:
                self.flow.dataReceived(bytes((octet,)))
            self.around.advance(2)
        self.assertTrue(self.wire.was_aborted)

    def test_whole_in_time(self) -> None:
        for _ in range(5):
            self.flow.dataReceived(MESSAGE[:-1])
            self.around.advance(15)
            self.flow.dataReceived(MESSAGE[-1:])
        self.around.advance(100)
        self.assertTrue(self.flow.is_open)

    def test_the_next_begins_anew(self) -> None:
        """Half a message that began with the end of another has its own time."""
        self.flow.dataReceived(MESSAGE[:-1])
        self.around.advance(15)
        self.flow.dataReceived(MESSAGE[-1:] + MESSAGE[:9])
        self.around.advance(15)
        self.assertTrue(self.flow.is_open)
        self.around.advance(5.5)
        self.assertFalse(self.flow.is_open)


class IdleTest(StreamCase):
    """A connection closes when it is idle, but for one that somebody relies on."""

    def test_closed(self) -> None:
        self.flow.dataReceived(MESSAGE)
        self.around.advance(599)
        self.assertFalse(self.wire.disconnecting)
        self.around.advance(2)
        self.assertTrue(self.wire.disconnecting)

    def test_what_comes_counts(self) -> None:
        for data in (MESSAGE, MESSAGE, b"\r\n\r\n"):
            self.flow.dataReceived(data)
            self.around.advance(500)
            self.flow.dataReceived(data)
        self.around.advance(500)
        self.assertFalse(self.wire.disconnecting)
        self.around.advance(702)
        self.assertTrue(self.wire.disconnecting)

    @rows({"nothing": b"", "pings": b"\r\n\r\n", "line ends": b"\r\n"})
    def test_unused(self, data: bytes) -> None:
        """A first message has to come in the time that one may take: connecting is cheap."""
        for _ in range(19):
            self.flow.dataReceived(data)
            self.around.advance(1)
        self.assertFalse(self.wire.disconnecting)
        self.around.advance(2)
        self.assertFalse(self.flow.is_open and not self.wire.disconnecting)

    def test_an_octet_a_second(self) -> None:
        """However long the head gets that way."""
        self.flow.dataReceived(MESSAGE)
        for octet in MESSAGE[:19]:
            self.flow.dataReceived(bytes((octet,)))
            self.around.advance(1)
        self.assertTrue(self.flow.is_open)
        self.flow.dataReceived(b"x")
        self.around.advance(2)
        self.assertTrue(self.wire.was_aborted)

    def test_used_by_us(self) -> None:
        """Where we have connected, the peer owes us nothing."""
        self.flow.send(MESSAGE)
        self.around.advance(500)
        self.assertTrue(self.flow.is_open and not self.wire.disconnecting)

    def test_watched(self) -> None:
        watcher = self.around.advance
        self.flow.watch(watcher)
        self.around.advance(2000)
        self.assertFalse(self.wire.disconnecting)
        self.flow.unwatch(watcher)
        self.around.advance(601)
        self.assertTrue(self.wire.disconnecting)

    def test_a_peer_that_does_not_let_go(self) -> None:
        """Closing waits for what was written, but not for ever."""
        self.flow.close()
        self.assertTrue(self.wire.disconnecting)
        self.around.advance(29)
        self.assertFalse(self.wire.was_aborted)
        self.around.advance(2)
        self.assertTrue(self.wire.was_aborted)


class WritingTest(StreamCase):
    """The queue of what a peer does not read is bounded."""

    def test_bounded(self) -> None:
        """By what the kernel has no room for."""
        self.wire.room = 100
        self.flow.send(b"x" * 599)
        self.flow.send(b"y")
        self.assertTrue(self.flow.is_open)
        self.flow.send(b"z")
        self.assertTrue(self.wire.was_aborted)
        self.flow.send(b"z")
        self.assertEqual(self.wire.value(), b"x" * 599)

    def test_one_alone(self) -> None:
        """One that is larger than the queue is none for it, where it is taken."""
        self.flow.send(b"x" * 5000)
        self.assertEqual(len(self.wire.value()), 5000)
        self.wire.room = 4400
        self.flow.send(b"x" * 5000)
        self.assertTrue(self.wire.was_aborted)

    def test_read_in_time(self) -> None:
        for _ in range(5):
            self.wire.room = 0
            self.flow.send(b"x" * 200)
            self.flow.send(b"y" * 200)
            self.around.advance(25)
            self.wire.room = 1 << 30
            self.flow.resumeProducing()
        self.around.advance(100)
        self.assertTrue(self.flow.is_open)
        self.assertEqual(self.wire.value(), (b"x" * 200 + b"y" * 200) * 5)

    def test_order(self) -> None:
        """What came while there was no room goes after what there was none for."""
        self.wire.room = 3
        for part in (b"abcde", b"fg", b"h"):
            self.flow.send(part)
        self.assertEqual(self.wire.value(), b"abcde")
        self.wire.room = 2
        self.flow.resumeProducing()
        self.flow.send(b"i")
        self.assertEqual(self.wire.value(), b"abcdefgh")
        self.wire.room = 9
        self.flow.resumeProducing()
        self.assertEqual(self.wire.value(), b"abcdefghi")

    def test_not_read_in_time(self) -> None:
        self.wire.room = len(MESSAGE) - 1
        self.flow.send(MESSAGE)
        self.around.advance(29.5)
        self.assertTrue(self.flow.is_open)
        self.around.advance(1)
        self.assertTrue(self.wire.was_aborted)

    def test_lost(self) -> None:
        """An error of the connection is the reactor's to tell: it is given what is left."""
        self.patch(self.wire, "writeSomeData", lambda data: ConnectionLost())
        self.flow.send(b"x")
        self.assertEqual(self.wire.value(), b"x")
        self.close_from_afar()
        self.flow.flush()

    def test_nothing_after_the_end(self) -> None:
        self.flow.close()
        self.flow.send(b"x")
        self.assertEqual(self.wire.value(), b"")


class GatheringTest(StreamCase):
    """What a turn of the reactor gives a connection to send is sent together."""

    def setUp(self) -> None:
        StreamCase.setUp(self)
        self.around.gathering = []
        self.written: list[bytes] = []
        self.patch(self.wire, "writeSomeData", self.write)

    def write(self, data: bytes) -> int:
        """Note what one call to the kernel is given."""
        self.written.append(data)
        return len(data)

    def test_together(self) -> None:
        for _ in range(2):
            for part in (b"a", b"b", b"c"):
                self.flow.send(part)
            self.assertEqual(self.around.gathering, [self.flow])
            self.around.gathering.pop().flush()
        self.assertEqual(self.written, [b"abc", b"abc"])

    def test_nothing_is_kept_for_long(self) -> None:
        """Beyond the queue it is sent without waiting for the end of the turn."""
        for _ in range(10):
            self.flow.send(b"x" * 400)
        self.assertEqual([len(data) for data in self.written], [800] * 5)

    def test_closed(self) -> None:
        """What was to be sent is, before the end."""
        self.flow.send(b"a")
        self.flow.send(b"b")
        self.flow.close()
        self.assertEqual(self.wire.value(), b"ab")
        self.flow.flush()
        self.assertEqual(self.written, [])

    def test_ended(self) -> None:
        """To whom there is no way any more, nothing is sent."""
        self.flow.send(b"a")
        self.close_from_afar()
        self.flow.flush()
        self.assertEqual((self.written, self.wire.value()), ([], b""))


class EndTest(StreamCase):
    """Whoever relies on a connection is told of its end, once."""

    def test_watchers(self) -> None:
        told: list[str] = []
        self.flow.watch(lambda: told.append("first"))
        gone = lambda: told.append("gone")  # noqa: E731
        self.flow.watch(gone)
        self.flow.watch(lambda: told.append("second"))
        self.flow.unwatch(gone)
        self.close_from_afar()
        self.close_from_afar()
        self.assertEqual(told, ["first", "second"])
        self.assertEqual((self.flow.is_open, self.around.open), (False, []))

    def test_a_watcher_with_a_bug(self) -> None:
        told: list[str] = []
        self.flow.watch(lambda: told[0])
        self.flow.watch(lambda: told.append("second"))
        self.close_from_afar()
        self.assertEqual(told, ["second"])
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)

    @rows({"idle": b"", "with part of a message": MESSAGE[:9]})
    def test_nothing_holds_what_has_ended(self, data: bytes) -> None:
        """Neither the wheel, which had an appointment for it, nor a ring of references."""
        self.flow.dataReceived(data)
        self.assertEqual(len(self.around.wheel), 1)
        self.close_from_afar()
        self.assertEqual((len(self.around.wheel), self.flow.transport), (0, None))
        gone = ref(self.flow)
        del self.flow, self.wire
        self.assertIsNone(gone())

    def test_closed_here_and_then_ended(self) -> None:
        self.flow.close()
        self.close_from_afar()
        self.assertEqual(len(self.around.wheel), 0)
        self.around.advance(100)
        self.assertFalse(self.wire.was_aborted)

    def test_watching_what_has_ended(self) -> None:
        told: list[str] = []
        self.close_from_afar()
        self.flow.watch(lambda: told.append("at once"))
        self.assertEqual(told, ["at once"])

    def test_too_many(self) -> None:
        """A connection beyond a limit is cut, and nobody counts it."""
        self.around.is_full = True
        flow, wire = connected(self.around)
        self.assertEqual((wire.was_aborted, flow.is_open), (True, False))
        self.assertEqual(self.around.open, [self.flow])
        flow.dataReceived(MESSAGE)
        self.assertEqual(self.around.messages, [])


@rfc(3261, "18.2.2", "a response goes back on its connection, or by a new one to received")
class ReplyTest(SynchronousTestCase):
    """§18.2.2: a response goes back on the connection, or by a new one to the port in Via."""

    def setUp(self) -> None:
        self.around = Surroundings()
        self.flow, self.wire = connected(self.around)

    def test_same_connection(self) -> None:
        path = self.flow.reply_path(VIA)
        self.assertTrue(path.reliable)
        path.send(b"response")
        self.assertEqual((self.wire.value(), self.around.anew), (b"response", []))

    def test_another(self) -> None:
        """To where the request came from, and the port that its sender listens at."""
        path = self.flow.reply_path(VIA)
        self.flow.connectionLost(None)
        path.send(b"response")
        self.assertEqual(self.around.anew, [("192.0.2.7", 5080, b"response")])

    def test_another_without_a_port(self) -> None:
        path = self.flow.reply_path(parse_via(b"SIP/2.0/TCP phone.test;branch=z9hG4bK1"))
        self.flow.connectionLost(None)
        path.send(b"response")
        self.assertEqual(self.around.anew, [("192.0.2.7", 5060, b"response")])

    def test_while_it_closes(self) -> None:
        """A connection that is ending takes nothing more: that is gone too."""
        path = self.flow.reply_path(VIA)
        self.flow.close()
        path.send(b"response")
        self.assertEqual(self.around.anew, [("192.0.2.7", 5080, b"response")])
