"""Processing REGISTER requests, by the steps of RFC 3261 §10.3."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sipproxy.interfaces import IRequestHandler, Sender
from sipproxy.registrar.options import RegistrarOptions
from sipproxy.sip.errors import SipError
from tests.registrar.fakes import ALICE, Bench, Flow, Transaction
from tests.rfc import rfc
from tests.sip.tables import TableCase, rows

PHONE = "sip:alice@192.0.2.1"
DESK = "sip:alice@192.0.2.2"


class RegistrarCase(TableCase):
    """A registrar with its table."""

    def setUp(self) -> None:
        self.bench = Bench(min_expires=60, default_expires=1800, max_expires=7200)

    def contacts_of(self, *contacts: str, **headers: str) -> list[str]:
        """Register and return the Contact values of the 200."""
        response = self.bench.register(*contacts, **headers)
        self.assertEqual(response.status, 200)
        return [value.decode() for value in response.raw_values(b"contact")]


class WhoTest(RegistrarCase):
    """Steps 2 to 5: Require, who may register whom, and who exists."""

    def test_claims(self) -> None:
        IRequestHandler.providedBy(self.bench.registrar)
        self.assertTrue(self.bench.registrar.claims(self.bench.request()))
        self.assertEqual(self.bench.registrar.methods, {b"REGISTER"})

    @rfc(3261, "10.3 step 2", "a Require with an unknown option-tag is answered 420")
    @rows(
        {
            "path": ("path", b""),
            "PATH, which is the same": ("PATH", b""),
            "gruu (RFC 5627 §5.1)": ("gruu", b""),
            "unknown": ("sec-agree", b"sec-agree"),
            "several": ("a, path, b", b"a, b"),
        }
    )
    def test_require(self, tags: str, unsupported: bytes) -> None:
        """Step 2, §8.2.2.3."""
        if not unsupported:
            self.assertEqual(self.contacts_of(Require=tags), [])
            return
        error = self.bench.refused(f"<{PHONE}>", Require=tags)
        self.assertEqual((error.status, error.headers), (420, ((b"Unsupported", unsupported),)))
        self.assertEqual(self.bench.contacts(), {})

    @rfc(3261, "10.3 step 5", "the address-of-record is canonical: without parameters, unescaped")
    @rows(
        {
            "user": "<sip:alice@example.test>",
            "escaped, with parameters": '"A" <sip:%61lice@EXAMPLE.TEST:5060;user=ip>;x=1',
            "sips": "<sips:alice@example.test>",
            "im": "<im:alice@example.test>",
            "alias": "<sip:alice@sip.example.test>",
            "our address": "<sip:alice@127.0.0.1>",
        }
    )
    def test_address_of_record(self, to: str) -> None:
        """Step 5: the URI in To, in its canonical form."""
        self.contacts_of(f"<{PHONE}>", To=to)
        self.assertEqual(list(self.bench.host.location.aors()), [ALICE])

    @rfc(3261, "10.3 step 4", "who may not register for an address-of-record is answered 403")
    @rfc(3261, "10.3 step 5", "an address-of-record that is not valid here is answered 404")
    @rows(
        {
            "somebody else": ("<sip:bob@example.test>", 403),
            "case of the user": ("<sip:Alice@example.test>", 403),
            "somebody unknown": ("<sip:nobody@example.test>", 403),
            "no user": ("<sip:example.test>", 404),
            "foreign": ("<sip:alice@b.test>", 404),
            "other port": ("<sip:alice@example.test:5099>", 404),
            "no SIP URI": ("<tel:+358555>", 400),
            "malformed": ("<sip:>", 400),
        }
    )
    def test_refused(self, to: str, status: int) -> None:
        """Steps 4 and 5."""
        self.assertEqual(self.bench.refused(f"<{PHONE}>", To=to).status, status)
        self.assertEqual(self.bench.contacts(), {})

    @rfc(3261, "10.3 step 5", "an address-of-record that is not valid here is answered 404")
    def test_unknown_user(self) -> None:
        """Step 5: authenticated, but not (any more) valid here."""
        self.bench.host.users = {b"bob@example.test"}
        self.assertEqual(self.bench.refused(f"<{PHONE}>").status, 404)

    @rows({"known": (True, True), "unknown": (False, False)})
    def test_users_known_later(self, known: bool, registered: bool) -> None:
        waiting = self.bench.host.users = Deferred()
        transaction = Transaction(Flow())
        found = self.bench.registrar.handle(
            self.bench.request(f"<{PHONE}>"), transaction, Sender(ALICE, is_user=True)
        )
        self.assertEqual((self.bench.contacts(), transaction.responses), ({}, []))
        waiting.callback(known)
        self.assertEqual(bool(self.bench.contacts()), registered)
        if not known:
            self.assertEqual(self.failureResultOf(found, SipError).value.status, 404)


class StarTest(RegistrarCase):
    """Step 6: ``Contact: *`` ends every binding."""

    def setUp(self) -> None:
        RegistrarCase.setUp(self)
        self.contacts_of(f"<{PHONE}>", Call_ID="phone", CSeq="5 REGISTER")
        self.contacts_of(f"<{DESK}>", Call_ID="desk", CSeq="9 REGISTER")

    @rfc(3261, "10.3 step 6", "a Contact of * removes every binding, or none where one is newer")
    @rows(
        {
            "another Call-ID": ("third", 1),
            "higher than the one of its Call-ID": ("phone", 6),
            "higher than the one of the other": ("desk", 10),
        }
    )
    def test_all_go(self, call_id: str, cseq: int) -> None:
        found = self.contacts_of("*", Expires="0", Call_ID=call_id, CSeq=f"{cseq} REGISTER")
        self.assertEqual((found, self.bench.contacts()), ([], {}))

    @rfc(3261, "10.3 step 6", "a Contact of * removes every binding, or none where one is newer")
    @rfc(3261, "10.3 step 7", "of a request that is refused no binding is changed")
    @rows({"lower": ("desk", 8), "equal": ("desk", 9), "equal, first": ("phone", 5)})
    def test_out_of_order(self, call_id: str, cseq: int) -> None:
        """One binding that must stay keeps all."""
        error = self.bench.refused("*", Expires="0", Call_ID=call_id, CSeq=f"{cseq} REGISTER")
        self.assertEqual(error.status, 500)
        self.assertEqual(list(self.bench.contacts()), [PHONE, DESK])

    @rfc(3261, "10.3 step 6", "a Contact of * stands alone, with Expires 0, else 400")
    @rows(
        {
            "no Expires": (["*"], ""),
            "Expires": (["*"], "3600"),
            "malformed Expires, which is 3600": (["*"], "none"),
            "with another": (["*", f"<{PHONE}>"], "0"),
            "with another on its line": ([f"<{PHONE}>, *"], "0"),
            "twice": (["*", "*"], "0"),
            "with a parameter": (["*;expires=0"], "0"),
        }
    )
    def test_invalid(self, contacts: list[str], expires: str) -> None:
        error = self.bench.refused(*contacts, Expires=expires, Call_ID="third")
        self.assertEqual(error.status, 400)
        self.assertEqual(list(self.bench.contacts()), [PHONE, DESK])


class ExpiryTest(RegistrarCase):
    """Step 7: how long a binding is to last."""

    @rfc(3261, "10.3 step 7", "the expires parameter counts, else Expires, else our default")
    @rows(
        {
            "default": (f"<{PHONE}>", "", 1800),
            "header": (f"<{PHONE}>", "600", 600),
            "parameter": (f"<{PHONE}>;expires=700", "", 700),
            "parameter before header": (f"<{PHONE}>;expires=700", "600", 700),
            "parameter without brackets": (f"{PHONE};expires=700", "600", 700),
            "parameter of the URI is none": (f"<{PHONE};expires=700>", "600", 600),
            "malformed parameter is 3600 (§10.2.1.1)": (f"<{PHONE}>;expires=soon", "600", 3600),
            "quoted parameter": (f'<{PHONE}>;expires="700"', "600", 3600),
            "negative parameter": (f"<{PHONE}>;expires=-1", "600", 3600),
            "parameter without value": (f"<{PHONE}>;expires", "600", 3600),
            "malformed header is 3600 (§20.19)": (f"<{PHONE}>", "soon", 3600),
            "the longest that we grant": (f"<{PHONE}>", "7201", 7200),
            "beyond 2**32": (f"<{PHONE}>;expires=99999999999999999999999", "", 7200),
            "the shortest": (f"<{PHONE}>;expires=60", "", 60),
            "case of the name": (f"<{PHONE}>;Expires=700", "", 700),
        }
    )
    def test_granted(self, contact: str, expires: str, seconds: int) -> None:
        (value,) = self.contacts_of(contact, Expires=expires)
        self.assertTrue(value.endswith(f">;expires={seconds}"), value)
        self.assertEqual(list(self.bench.contacts().values()), [seconds])

    @rfc(3261, "10.3 step 7", "less than our minimum and an hour is answered 423 with Min-Expires")
    @rows({"parameter": (f"<{PHONE}>;expires=59", ""), "header": (f"<{PHONE}>", "1")})
    def test_too_brief(self, contact: str, expires: str) -> None:
        error = self.bench.refused(contact, Expires=expires)
        self.assertEqual((error.status, error.headers), (423, ((b"Min-Expires", b"60"),)))

    @rfc(3261, "10.3 step 7", "less than our minimum and an hour is answered 423 with Min-Expires")
    @rows({"below the hour": (3599, 423), "an hour": (3600, 200), "more": (7199, 200)})
    def test_nothing_of_an_hour_is_too_brief(self, asked: int, status: int) -> None:
        """423 is for less than one hour alone, whatever our minimum is."""
        bench = Bench(min_expires=7200, default_expires=7200, max_expires=7200)
        if status == 200:
            self.assertEqual(bench.register(f"<{PHONE}>;expires={asked}").status, 200)
        else:
            self.assertEqual(bench.refused(f"<{PHONE}>;expires={asked}").status, 423)

    def test_zero_removes(self) -> None:
        self.contacts_of(f"<{PHONE}>", f"<{DESK}>")
        (value,) = self.contacts_of(f"<{PHONE}>;expires=0")
        self.assertIn(DESK, value)
        self.assertEqual(self.contacts_of(f"<{DESK}>", Expires="0"), [])
        self.assertEqual(self.contacts_of(f"<{DESK}>", Expires="0"), [])

    def test_time_passes(self) -> None:
        self.contacts_of(f"<{PHONE}>;expires=60", f"<{DESK}>;expires=100")
        self.bench.host.advance(59)
        self.assertEqual(self.bench.contacts(), {PHONE: 1, DESK: 41})
        self.bench.host.advance(1.2)
        self.assertEqual(list(self.bench.contacts()), [DESK])
        self.bench.host.advance(40)
        self.assertEqual((self.bench.contacts(), len(self.bench.host.location)), ({}, 0))

    @rows(
        {
            "min above default": {"min_expires": 100, "default_expires": 60},
            "default above max": {"default_expires": 8000},
            "min of nothing": {"min_expires": 0},
            "no bindings": {"max_bindings": 0},
        }
    )
    def test_options(self, options: dict[str, int]) -> None:
        self.assertRaises(ValueError, lambda: RegistrarOptions(**options))


class OrderTest(RegistrarCase):
    """Step 7: Call-ID and CSeq say which of two requests is the newer."""

    @rfc(3261, "10.3 step 7", "a Call-ID with a CSeq that is not higher is refused")
    @rows(
        {
            "same Call-ID, higher": ("1", 11, True),
            "same Call-ID, equal": ("1", 10, False),
            "same Call-ID, lower": ("1", 9, False),
            "other Call-ID, lower": ("2", 1, True),
            "other case of Call-ID, which is another": ("1A", 1, True),
        }
    )
    def test_update(self, call_id: str, cseq: int, taken: bool) -> None:
        self.contacts_of(f"<{PHONE}>;expires=600", CSeq="10 REGISTER")
        headers = {"Call_ID": call_id, "CSeq": f"{cseq} REGISTER"}
        for expires, left in ((700, {PHONE: 700}), (0, {})):
            contact = f"<{PHONE}>;expires={expires}"
            if taken:
                self.contacts_of(contact, **headers)
                self.assertEqual(self.bench.contacts(), left)
                headers["CSeq"] = f"{cseq + 1} REGISTER"
            else:
                self.assertEqual(self.bench.refused(contact, **headers).status, 500)
                self.assertEqual(self.bench.contacts(), {PHONE: 600})

    def test_a_new_contact_with_an_old_cseq(self) -> None:
        """There is nothing to compare with where there is no binding."""
        self.contacts_of(f"<{PHONE}>", CSeq="10 REGISTER")
        self.contacts_of(f"<{DESK}>", CSeq="3 REGISTER")
        self.assertEqual(list(self.bench.contacts()), [PHONE, DESK])

    @rfc(3261, "10.3 step 7", "of a request that is refused no binding is changed")
    @rows(
        {
            "order": (f"<{PHONE}>;expires=0", "10"),
            "too brief": (f"<{PHONE}>;expires=1", "11"),
            "malformed URI": ("<sip:>", "11"),
            "malformed q": (f"<{PHONE}>;q=2", "11"),
            "repeated parameter": (f"<{PHONE}>;a=1;a=2", "11"),
        }
    )
    def test_all_or_nothing(self, second: str, cseq: str) -> None:
        """A request of which a part fails changes nothing."""
        self.contacts_of(f"<{PHONE}>;expires=600", CSeq="10 REGISTER")
        error = self.bench.refused(f"<{DESK}>", second, CSeq=f"{cseq} REGISTER")
        self.assertIn(error.status, (400, 423, 500))
        self.assertEqual(self.bench.contacts(), {PHONE: 600})

    @rows(
        {
            "twice the same": ([f"<{PHONE}>;expires=60", f"<{PHONE}>;expires=70"], {PHONE: 70}),
            "added and removed": ([f"<{PHONE}>", f"<{PHONE}>;expires=0"], {}),
            "removed and added": ([f"<{PHONE}>;expires=0", f"<{PHONE}>;expires=70"], {PHONE: 70}),
        }
    )
    def test_in_order_of_the_contacts(self, contacts: list[str], left: dict[str, int]) -> None:
        self.contacts_of(f"<{PHONE}>")
        self.contacts_of(*contacts)
        self.assertEqual(self.bench.contacts(), left)


@rfc(3261, "10.3 step 7", "bindings are compared as URIs")
class SameContactTest(RegistrarCase):
    """Step 7: bindings are compared as URIs, by §19.1.4."""

    @rows(
        {
            "as written": ("sip:a@h.test", "sip:a@h.test", 1),
            "case of the host": ("sip:a@h.test", "sip:a@H.TEST", 1),
            "case of the user": ("sip:a@h.test", "sip:A@h.test", 2),
            "escape": ("sip:a@h.test", "sip:%61@h.test", 1),
            "port": ("sip:a@h.test", "sip:a@h.test:5060", 2),
            "transport": ("sip:a@h.test", "sip:a@h.test;transport=udp", 2),
            "unknown parameter in one": ("sip:a@h.test", "sip:a@h.test;line=1", 1),
            "unknown parameter in both": ("sip:a@h.test;line=2", "sip:a@h.test;line=1", 2),
            "order of parameters": ("sip:a@h.test;x=1;lr", "sip:a@h.test;lr;X=1", 1),
            "no SIP URI": ("tel:+358555", "tel:+358556", 2),
            "no SIP URI, the same": ("mailto:a@h.test", "mailto:a@h.test", 1),
        }
    )
    def test_count(self, first: str, second: str, count: int) -> None:
        self.contacts_of(f"<{first}>")
        self.contacts_of(f"<{second}>")
        self.assertEqual(len(self.bench.contacts()), count)
        self.assertIn(second, self.bench.contacts())

    def test_display_and_parameters_are_no_part_of_it(self) -> None:
        self.contacts_of(f'"Phone" <{PHONE}>;q=0.3;x=1')
        self.assertEqual(self.contacts_of(f"<{PHONE}>;q=0.4"), [f"<{PHONE}>;q=0.4;expires=1800"])


class AnswerTest(RegistrarCase):
    """Step 8: the 200 lists every binding."""

    @rfc(3261, "10.3 step 8", "the 200 has every binding with its expires, and a Date")
    def test_every_binding(self) -> None:
        self.contacts_of(f'"Tom, \\"T\\"; x" <{PHONE}>;q=0.3;+sip.instance="<urn:uuid:1;2>"')
        found = self.contacts_of(f"<{DESK}?x=1>; q=0.9;expires=90;flag")
        self.assertEqual(
            sorted(found, reverse=True),
            [
                f"<{DESK}?x=1>;q=0.9;flag;expires=90",
                f'"Tom, \\"T\\"; x" <{PHONE}>;q=0.3;+sip.instance="<urn:uuid:1;2>";expires=1800',
            ],
        )

    @rfc(3261, "10.3 step 8", "the 200 has every binding with its expires, and a Date")
    def test_date(self) -> None:
        """§20.17: RFC 1123, in GMT."""
        (value,) = self.bench.register().raw_values(b"date")
        self.assertTrue(value.endswith(b" GMT"))
        parsedate_to_datetime(value.decode())

    def test_fetch_changes_nothing(self) -> None:
        self.contacts_of(f"<{PHONE}>;expires=600")
        self.bench.host.advance(100)
        self.assertEqual(
            self.contacts_of(Expires="0", CSeq="1 REGISTER"), [f"<{PHONE}>;expires=500"]
        )

    @rfc(3261, "10.3", "a Record-Route is ignored, and none is returned")
    def test_record_route_is_ignored(self) -> None:
        response = self.bench.register(f"<{PHONE}>", Record_Route="<sip:x.test;lr>")
        self.assertEqual(response.raw_values(b"record-route"), [])
        self.assertEqual(self.bench.host.location.bindings(ALICE)[0].path, ())


class LimitsTest(SynchronousTestCase):
    """Beyond a limit nothing is stored."""

    def test_bindings(self) -> None:
        bench = Bench(max_bindings=2)
        bench.register(f"<{PHONE}>", f"<{DESK}>")
        self.assertEqual(bench.refused("<sip:alice@192.0.2.3>").status, 403)
        self.assertEqual(list(bench.contacts()), [PHONE, DESK])
        bench.register(f"<{PHONE}>;expires=0", "<sip:alice@192.0.2.3>")
        self.assertEqual(len(bench.contacts()), 2)

    def test_one_request(self) -> None:
        bench = Bench(max_bindings=2)
        contacts = [f"<sip:alice@192.0.2.{n}>" for n in range(3)]
        self.assertEqual(bench.refused(*contacts).status, 403)
        self.assertEqual(bench.contacts(), {})


class ServiceRouteTest(RegistrarCase):
    """RFC 3608 §6.3: one URI of ours, in every 200."""

    def test_off(self) -> None:
        self.assertIsNone(self.bench.register(f"<{PHONE}>").value(b"service-route"))

    @rows(
        {
            "domain": "sip:example.test;lr",
            "alias": "sip:sip.example.test:5060;transport=tcp;lr",
            "address": "sips:127.0.0.1:5060;lr",
        }
    )
    def test_given(self, uri: str) -> None:
        bench = Bench(service_route=uri)
        for contacts in ([f"<{PHONE}>"], [], [f"<{PHONE}>;expires=0"]):
            response = bench.register(*contacts)
            self.assertEqual(response.raw_values(b"service-route"), [f"<{uri}>".encode()])

    @rows(
        {
            "no lr": "sip:example.test",
            "somebody else": "sip:b.test;lr",
            "a user, which a token would be": "sip:x@example.test;lr",
            "headers": "sip:example.test;lr?Subject=x",
            "another scheme": "im:example.test;lr",
            "no URI": "example.test",
        }
    )
    def test_mistakes(self, uri: str) -> None:
        error = self.assertRaises(ValueError, Bench, service_route=uri)
        self.assertIn("service_route", str(error))
