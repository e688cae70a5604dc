"""Processing PUBLISH requests, by the steps of RFC 3903 §6."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from sipproxy.events.packages import Packages
from sipproxy.events.publish import EventStateCompositor
from sipproxy.interfaces import IRequestHandler, Sender
from sipproxy.sip.errors import SipError
from sipproxy.sip.grammar import is_token
from tests.events.publishing import COLOUR, SHAPE, Bench, Flow
from tests.registrar.fakes import ALICE
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

BOB = b"bob@example.test"
VOICEMAIL = b"voicemail@example.test"


class PublishCase(TableCase):
    """A compositor with its table."""

    def setUp(self) -> None:
        self.bench = Bench(min_publication=60, default_publication=1800, max_publication=7200)

    def nothing_happened(self, error: SipError, status: int) -> None:
        """Check a refusal, and that it left no trace."""
        self.assertEqual(error.status, status, error.reason)
        self.assertEqual(self.bench.state(), [])
        self.assertEqual((self.bench.changes, len(self.bench.table)), ([], 0))


class WhoTest(PublishCase):
    """Steps 1 and 2: Require, whose state it is, who may publish it, and of which package."""

    def test_handler(self) -> None:
        verifyObject(IRequestHandler, self.bench.handler)
        self.assertEqual(self.bench.handler.methods, {b"PUBLISH"})

    @rows(
        {
            "ours": ("colour", True),
            "nobody's": ("weather", True),
            "none": ("", True),
            "no token": ("@;", True),
            "a phone's": ("dialog", False),
            "a phone's, with parameters": ("dialog ;id=1", False),
        }
    )
    def test_claims(self, event: str, is_claimed: bool) -> None:
        """Packages of ``[events] forward`` are the business of the phones."""
        self.assertIs(self.bench.handler.claims(self.bench.request(Event=event)), is_claimed)

    def test_no_package_is_nobodys_business(self) -> None:
        nobody = EventStateCompositor(self.bench.host, self.bench.table, Packages({}))
        self.assertFalse(nobody.claims(self.bench.request()))

    def test_other_methods_are_not_claimed(self) -> None:
        request = self.bench.request()
        request.method = b"SUBSCRIBE"
        self.assertFalse(self.bench.handler.claims(request))

    @rows({"one": "sec-agree", "two": "sec-agree, 100rel"})
    def test_require(self, tags: str) -> None:
        """RFC 3261 §8.2.2.3."""
        error = self.bench.refused("red", Require=tags)
        self.nothing_happened(error, 420)
        self.assertEqual(error.headers, ((b"Unsupported", tags.encode()),))

    @rfc(3903, "6 step 1", "a PUBLISH to a resource that is none is answered 404")
    @rows({"nobody": "sip:nobody@example.test", "no user": "sip:example.test"})
    def test_unknown(self, uri: str) -> None:
        """A resource without a user is none."""
        self.nothing_happened(self.bench.refused("red", uri=uri), 404)

    @rows(
        {
            "as registered": "sip:alice@example.test",
            "escaped, with port and parameters": "sip:%61lice@EXAMPLE.test:5060;x=1",
            "sips": "sips:alice@example.test",
            "alias": "sip:alice@sip.example.test",
            "our address": "sip:alice@127.0.0.1",
        }
    )
    def test_resource(self, uri: str) -> None:
        """One address-of-record, however it is written."""
        self.bench.publish("red", uri=uri)
        self.assertEqual(self.bench.state(), [("RED", 1800)])

    @rfc(3903, "14.1", "who may not publish for a resource is answered 403")
    @rows(
        {
            "another user of ours": Sender(BOB, is_user=True),
            "a stranger": Sender(b"carol@b.test", is_user=False),
            "nobody": Sender(b"", is_user=False),
            "a stranger who calls itself so": Sender(ALICE, is_user=False, is_trusted=True),
            "a publisher of another package": Sender(b"artist@example.test", is_user=True),
            "an unproven publisher": Sender(VOICEMAIL, is_user=False),
        }
    )
    def test_who(self, sender: Sender) -> None:
        """The authenticated user is the one whose state it is."""
        self.bench = Bench(
            publishers={"colour": ("voicemail@example.test",), "shape": ("artist@example.test",)}
        )
        self.nothing_happened(self.bench.refused("red", sender=sender), 403)

    def test_publisher(self) -> None:
        """``[events] publishers`` publish for everybody, by whatever name they stand there."""
        self.bench = Bench(publishers={"colour": ("voicemail@SIP.example.test",)})
        sender = Sender(VOICEMAIL, is_user=True)
        tag = self.bench.tag("red", sender=sender)
        self.bench.publish("blue", tag, sender=sender)
        self.assertEqual(self.bench.state(), [("BLUE", 3600)])
        self.assertEqual(self.bench.refused("red", sender=sender, Event="shape").status, 403)

    @rfc(3903, "6 step 2", "a missing Event, or one of a package that is not there, is a 489")
    @rows(
        {
            "missing": "",
            "not there": "weather",
            "another case": "Colour",
            "takes no publications": "blind",
            "its watchers": "colour.winfo",
        }
    )
    def test_bad_event(self, event: str) -> None:
        """489 says which packages there are."""
        error = self.bench.refused("red", Event=event)
        self.nothing_happened(error, 489)
        self.assertEqual(error.headers, ((b"Allow-Events", b"colour, shape, blind"),))

    @rows({"no token": "@", "empty": ";id=1", "twice a parameter": "colour;a=1;a=2"})
    def test_malformed_event(self, event: str) -> None:
        """RFC 6665 §8.4."""
        self.nothing_happened(self.bench.refused("red", Event=event), 400)

    @rfc(3903, "4.1", "a PUBLISH has a single Event")
    def test_two_events(self) -> None:
        self.nothing_happened(
            self.assertRaises(SipError, self.bench.request, "red", o="shape"), 400
        )

    def test_parameters_of_event(self) -> None:
        self.bench.publish("red", Event="colour;id=7")
        self.assertEqual(self.bench.state(), [("RED", 1800)])


class PreconditionTest(PublishCase):
    """Step 3: entity-tags."""

    @rfc(3903, "6 step 3", "SIP-If-Match without a single entity-tag is answered 400")
    @rows(
        {"two": "{0}, {0}", "quoted": '"{0}"', "with a parameter": "{0};a", "a word more": "{0} b"}
    )
    def test_not_one(self, value: str) -> None:
        """The tag itself would be good."""
        tag = self.bench.tag("red")
        self.assertEqual(self.bench.refused("blue", value.format(tag)).status, 400)
        self.assertEqual(self.bench.state(), [("RED", 1800)])

    @rfc(3903, "6 step 3", "SIP-If-Match without a single entity-tag is answered 400")
    def test_two_lines(self) -> None:
        tag = self.bench.tag("red")
        error = self.assertRaises(
            SipError, self.bench.request, "blue", f"{tag}\r\nSIP-If-Match: {tag}"
        )
        self.assertEqual(error.status, 400)

    def test_empty(self) -> None:
        self.nothing_happened(self.bench.refused("red", " "), 400)

    @rfc(3903, "6 step 3", "an entity-tag that matches nothing of resource and package: 412")
    @rows({"unknown": "x{0}", "in another case": "{1}", "any (§8.1)": "*", "replaced": "{2}"})
    def test_unknown(self, value: str) -> None:
        """The state stays as it is."""
        before = self.bench.tag("pink")
        tag = self.bench.tag("red", before)
        self.bench.host.drawn = 0xABCDE
        tag = self.bench.tag("", tag)
        error = self.bench.refused("blue", value.format(tag, tag.upper(), before))
        self.assertEqual((error.status, self.bench.state()), (412, [("RED", 1800)]))

    @rfc(3903, "6 step 3", "an entity-tag that matches nothing of resource and package: 412")
    def test_of_another(self) -> None:
        tag = self.bench.tag("red")
        for body in ("blue", ""):
            error = self.bench.refused(body, tag, Event="shape")
            self.assertEqual(error.status, 412)
            error = self.bench.refused(
                body, tag, uri="sip:bob@example.test", sender=Sender(BOB, is_user=True)
            )
            self.assertEqual(error.status, 412)
        self.assertEqual(self.bench.state(), [("RED", 1800)])
        self.assertEqual(self.bench.state(SHAPE) + self.bench.state(COLOUR, BOB), [])

    @rfc(3903, "6 step 6", "each success has a new entity-tag, different from all before")
    def test_tags(self) -> None:
        tags = [self.bench.tag("red"), self.bench.tag("red", Expires="0")]
        for body, expires in (("", "60"), ("blue", "60"), ("blue", ""), ("", "0")):
            tags.append(
                self.bench.tag(body, tags[0] if len(tags) == 2 else tags[-1], Expires=expires)
            )
        self.assertEqual(len(set(tags)), 6)
        for tag in tags:
            self.assertTrue(is_token(tag.encode()))
            self.assertGreaterEqual(len(tag), 32)  # 128 bits: nobody guesses one

    def test_expired(self) -> None:
        tag = self.bench.tag("red", Expires="60")
        self.bench.host.clock.rightNow += 60  # no tick has come since
        self.assertEqual(self.bench.refused("", tag).status, 412)
        self.assertEqual(self.bench.state(), [])


class IntervalTest(PublishCase):
    """Step 4: Expires."""

    @rfc(3903, "6 step 4", "Expires is what is asked for, without it the default; we may cut it")
    @rows(
        {
            "none": ("", 1800),
            "the least": ("60", 60),
            "between": ("61", 61),
            "the most": ("7200", 7200),
            "more": ("7201", 7200),
            "2^32-1": ("4294967295", 7200),
            "2^32": ("4294967296", 7200),
            "huge": ("9" * 1000, 7200),
            "with zeros": ("00061", 61),
            "negative": ("-1", 3600),
            "garbage": ("soon", 3600),
            "empty": (" ", 3600),
            "fraction": ("61.5", 3600),
            "another alphabet's": ("٦١", 3600),
        }
    )
    def test_granted(self, asked: str, granted: int) -> None:
        """What is malformed counts as 3600 (RFC 3261 §20.19)."""
        response = self.bench.publish("red", Expires=asked)
        self.assertEqual(response.raw_values(b"expires"), [b"%d" % granted])
        self.assertEqual(self.bench.state(), [("RED", granted)])

    @rfc(3903, "6 step 4", "423 with Min-Expires where it is more than zero and below the minimum")
    @rows({"1": "1", "59": "59"})
    def test_too_brief(self, asked: str) -> None:
        """Whatever it asks for, nothing of it is done."""
        error = self.bench.refused("red", Expires=asked)
        self.nothing_happened(error, 423)
        self.assertEqual(error.headers, ((b"Min-Expires", b"60"),))
        tag = self.bench.tag("red")
        for body in ("", "blue"):
            self.assertEqual(self.bench.refused(body, tag, Expires=asked).status, 423)
        self.assertEqual(self.bench.state(), [("RED", 1800)])

    @rfc(3903, "6 step 4", "423 with Min-Expires where it is more than zero and below the minimum")
    def test_more_than_an_hour_may_be_too_brief(self) -> None:
        self.bench = Bench(min_publication=7200, default_publication=7200, max_publication=7200)
        self.nothing_happened(self.bench.refused("red", Expires="7199"), 423)
        self.bench.publish("red")

    def test_two_expires(self) -> None:
        self.nothing_happened(
            self.assertRaises(SipError, self.bench.request, Expires="60\r\nExpires: 60"), 400
        )


class BodyTest(PublishCase):
    """Step 5: what is published."""

    @rfc(3903, "6 step 5", "a media type that is not of the package is answered 415")
    @rows(
        {
            "another": "text/plain",
            "none": "",
            "of an empty kind": "/",
            "half": "text",
            "multipart": "multipart/mixed;boundary=x",
            "alike": "text/colours",
            "more": "text/colour/red",
        }
    )
    def test_media_type(self, media_type: str) -> None:
        """415 says what there may be."""
        error = self.bench.refused("red", Content_Type=media_type)
        self.nothing_happened(error, 415)
        self.assertEqual(error.headers, ((b"Accept", b"text/colour, application/colour+xml"),))

    @rows(
        {
            "as it is": "text/colour",
            "another": "application/colour+xml",
            "case": "Text/COLOUR",
            "space": "text / colour",
            "charset": "text/colour;charset=UTF-8",
            "parameters": 'text/colour ; charset="UTF-8";a=b',
        }
    )
    def test_written_otherwise(self, media_type: str) -> None:
        """RFC 3261 §20.15: types are case-insensitive, and have parameters."""
        self.bench.publish("red", Content_Type=media_type)
        (publication,) = self.bench.table.of(COLOUR, ALICE)
        self.assertIn(publication.media_type, self.bench.colour.publication_types)

    def test_compact(self) -> None:
        self.bench.publish("red", Content_Type="", c="text/colour", Event="", o="colour")
        self.assertEqual(self.bench.state(), [("RED", 1800)])

    @rows({"gzip": "gzip", "both": "gzip, identity"})
    def test_encoding(self, encoding: str) -> None:
        """RFC 3261 §8.2.3."""
        error = self.bench.refused("red", Content_Encoding=encoding)
        self.nothing_happened(error, 415)
        self.assertEqual(error.headers, ((b"Accept-Encoding", b"identity"),))

    @rows({"identity": "identity", "case": "Identity"})
    def test_no_encoding(self, encoding: str) -> None:
        """RFC 3261 §20.12 and RFC 2616 §3.5."""
        self.bench.publish("red", Content_Encoding=encoding)
        self.assertEqual(self.bench.state(), [("RED", 1800)])

    @rfc(3903, "6 step 5", "without a body and without an entity-tag: 400")
    @rows({"": "", "for ever": "3600", "never": "0"})
    def test_nothing(self, expires: str) -> None:
        """There is nothing to publish."""
        self.nothing_happened(self.bench.refused(Expires=expires), 400)

    @rfc(3903, "6", "a PUBLISH is processed completely or not at all")
    @rows(
        {
            "initial": ("none", False, ""),
            "modify": ("none", True, ""),
            "remove": ("none", True, "0"),
        }
    )
    def test_not_understood(self, body: str, is_known: bool, expires: str) -> None:
        """What the package refuses leaves everything as it is."""
        tag = self.bench.tag("red") if is_known else ""
        before = self.bench.state(), list(self.bench.changes)
        error = self.bench.refused(body, tag, Expires=expires)
        self.assertEqual((error.status, error.reason), (400, "No Colour"))
        self.assertEqual((self.bench.state(), self.bench.changes), before)
        if tag:
            self.bench.publish("", tag)

    def test_what_is_kept(self) -> None:
        flow = Flow(reliable=True)
        tag = self.bench.tag("Red", Content_Type="text/colour;x=1", flow=flow)
        (one,) = self.bench.table.of(COLOUR, ALICE)
        self.assertEqual((one.data, one.content), (b"Red", "RED"))
        self.assertEqual((one.tag, one.flow), (tag.encode(), flow))

    def test_replaced_is_told(self) -> None:
        """A difference needs to know of what (RFC 5264)."""
        tag = self.bench.tag("red")
        (red,) = self.bench.table.of(COLOUR, ALICE)
        self.bench.publish("blue", tag)
        self.assertEqual(self.bench.colour.replaced, [None, red])


class OperationTest(PublishCase):
    """§4: what comes of a PUBLISH, and who is told."""

    CHANGE = (COLOUR, ALICE)

    @rfc(3903, "6 step 6", "a 200 has one Expires and one SIP-ETag")
    def test_answer(self) -> None:
        """Neither Contact nor Record-Route nor a body is returned."""
        response = self.bench.publish(
            "red", Contact="<sip:a@b.test>;x", Record_Route="<sip:p.test;lr>", Expires="600"
        )
        added = set(response.names) - {b"via", b"from", b"to", b"call-id", b"cseq"}
        self.assertEqual(added - {b"content-length"}, {b"expires", b"sip-etag"})
        self.assertEqual((response.raw_values(b"expires"), response.body), ([b"600"], b""))
        self.assertEqual(len(response.raw_values(b"sip-etag")), 1)

    @rfc(3903, "6", "Contact and Record-Route of a PUBLISH are ignored, however bad")
    def test_ignored(self) -> None:
        self.bench.publish("red", Contact="*, <<", Record_Route="nonsense")
        self.assertEqual(self.bench.state(), [("RED", 1800)])

    @rfc(3903, "4.2", "an initial publication leaves those of others as they are")
    def test_initial(self) -> None:
        self.bench.publish("red", Expires="600")
        self.bench.publish("blue", Expires="60")
        self.assertEqual(self.bench.state(), [("RED", 600), ("BLUE", 60)])
        self.assertEqual(self.bench.changes, [self.CHANGE] * 2)

    @rfc(3903, "4.4", "a modification replaces the state that its entity-tag means, and no other")
    def test_modify(self) -> None:
        tag = self.bench.tag("red")
        self.bench.publish("blue")
        self.bench.host.advance(10)
        self.bench.publish("green", tag, Expires="60")
        self.assertEqual(self.bench.state(), [("BLUE", 1790), ("GREEN", 60)])
        self.assertEqual(self.bench.changes, [self.CHANGE] * 3)

    @rfc(3903, "4.3", "a refresh extends the time, and changes nothing else")
    def test_refresh(self) -> None:
        tag = self.bench.tag("red", Expires="60")
        self.bench.publish("blue")
        self.bench.host.advance(30)
        (before, _) = self.bench.table.of(COLOUR, ALICE)
        tag = self.bench.tag("", tag, Expires="120")
        self.assertEqual(self.bench.state(), [("RED", 120), ("BLUE", 1770)])
        (after, _) = self.bench.table.of(COLOUR, ALICE)
        self.assertEqual((after.order, after.data, after.tag), (before.order, b"red", tag.encode()))
        self.assertEqual(self.bench.changes, [self.CHANGE] * 2, "nobody has to be told")
        self.bench.host.advance(119)
        self.assertEqual(self.bench.state(), [("RED", 1), ("BLUE", 1651)])
        self.bench.host.advance(1.1)
        self.assertEqual(self.bench.state(), [("BLUE", 1650)])

    @rfc(3903, "4.3", "a refresh extends the time, and changes nothing else")
    def test_refresh_to_less(self) -> None:
        tag = self.bench.tag("red")
        self.bench.publish("", tag, Expires="60")
        self.bench.host.advance(60.1)
        self.assertEqual((self.bench.state(), len(self.bench.table)), ([], 0))

    @rfc(3903, "6 step 5", "Expires 0 removes what its entity-tag means at once")
    @rows({"as it should be": "", "with a body all the same": "blue"})
    def test_remove(self, body: str) -> None:
        """The answer has Expires 0 and an entity-tag, which means nothing."""
        tag = self.bench.tag("red")
        self.bench.publish("green")
        response = self.bench.publish(body, tag, Expires="0")
        self.assertEqual(response.value(b"expires"), b"0")
        self.assertEqual(self.bench.state(), [("GREEN", 1800)])
        self.assertEqual(self.bench.changes, [self.CHANGE] * 3)
        gone = (response.value(b"sip-etag") or b"").decode()
        for known in (tag, gone):
            self.assertEqual(self.bench.refused("", known).status, 412)

    @rfc(3903, "6 step 5", "with Expires 0 no state is stored")
    def test_initial_for_no_time(self) -> None:
        response = self.bench.publish("red", Expires="0")
        self.assertEqual(response.value(b"expires"), b"0")
        tag = (response.value(b"sip-etag") or b"").decode()
        self.assertEqual((self.bench.state(), len(self.bench.table)), ([], 0))
        self.assertEqual(self.bench.changes, [])
        self.assertEqual(self.bench.refused("", tag).status, 412)

    def test_packages_and_resources_are_apart(self) -> None:
        tag = self.bench.tag("red")
        self.bench.publish("round", Event="shape")
        self.bench.publish("blue", uri="sip:bob@example.test", sender=Sender(BOB, is_user=True))
        self.bench.publish("", tag, Expires="0")
        self.assertEqual(self.bench.state(), [])
        self.assertEqual(self.bench.state(SHAPE), [("ROUND", 1800)])
        self.assertEqual(self.bench.state(COLOUR, BOB), [("BLUE", 1800)])


class LimitTest(PublishCase):
    """What one resource may have."""

    def test_count(self) -> None:
        self.bench = Bench(publications=2)
        tags = [self.bench.tag("red"), self.bench.tag("blue")]
        self.assertEqual(self.bench.refused("green").status, 403)
        self.bench.publish("green", tags[0])
        self.assertEqual(self.bench.refused("black").status, 403)
        self.bench.publish("", tags[1], Expires="0")
        self.bench.publish("black")
        self.assertEqual([colour for colour, _ in self.bench.state()], ["GREEN", "BLACK"])

    def test_octets(self) -> None:
        self.bench = Bench(publication_bytes=10)
        self.assertEqual(self.bench.refused("x" * 11).status, 413)
        tag = self.bench.tag("x" * 6)
        self.assertEqual(self.bench.refused("y" * 5).status, 413)
        self.bench.publish("y" * 4)
        self.assertEqual(self.bench.refused("x" * 7, tag).status, 413)
        self.bench.publish("z" * 6, tag)
        self.assertEqual([len(colour) for colour, _ in self.bench.state()], [4, 6])

    def test_what_has_expired_takes_no_room(self) -> None:
        self.bench = Bench(publications=1)
        self.bench.publish("red", Expires="60")
        self.bench.host.clock.rightNow += 60  # without a tick
        self.bench.publish("blue")
        self.assertEqual(self.bench.state(), [("BLUE", 3600)])

    def test_settings(self) -> None:
        for wrong in ({"min_publication": 0}, {"default_publication": 59}, {"max_publication": 1}):
            self.assertRaises(ValueError, Bench, **wrong)
