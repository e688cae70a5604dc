"""GRUUs at the registrar (RFC 5627 §5)."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from sipproxy.registrar.binding import Binding
from sipproxy.registrar.gruu import KEY_LENGTH, Gruus
from sipproxy.sip.message import Response
from sipproxy.sip.uri import Uri, parse_uri
from tests.registrar.fakes import ALICE, STARTED, Bench
from tests.sip.tables import TableCase, rows

ONE, TWO = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "urn:x:two"
DOMAIN = b"example.test"
PHONE = "sip:alice@192.0.2.1"


def contact(urn: str = ONE, uri: str = PHONE, params: str = "") -> str:
    """Return a Contact of an instance."""
    return f'<{uri}>;+sip.instance="<{urn}>"{params}'


def given_gruus(response: Response, kind: str) -> list[str]:
    """Return the pub-gruu or temp-gruu of each Contact in a 200, "" where there is none."""
    values = [value.decode() for value in response.raw_values(b"contact")]
    found = [re.search(rf';{kind}-gruu="([^"]*)"', value) for value in values]
    return [match[1] if match else "" for match in found]


class GruuCase(TableCase):
    """A registrar, and what its GRUUs lead to."""

    def setUp(self) -> None:
        self.bench = Bench(max_expires=3600)
        self.gruus = self.bench.gruus

    def temporary(self, *contacts: str, **headers: str) -> str:
        """Register, and return the temporary GRUU of the first Contact in the 200."""
        headers = {"Supported": "gruu"} | headers
        response = self.bench.register(*contacts or (contact(),), **headers)
        return given_gruus(response, "temp")[0]

    def bound(self, gruu: str) -> list[str] | None:
        """Return the contacts that a GRUU of alice's leads to, or None where it is not valid."""
        uri = parse_uri(gruu.encode())
        found = self.gruus.bound(uri, DOMAIN, self.bench.host.location.bindings(ALICE))
        return found and [binding.contact.raw_uri.decode() for binding in found]

    def valid(self, *gruus: str) -> list[bool]:
        """Tell which GRUUs are valid."""
        return [self.bound(gruu) is not None for gruu in gruus]


class GivenTest(GruuCase):
    """§5.2: what the 200 has, and to whom."""

    def test_both_kinds(self) -> None:
        response = self.bench.register(contact(), Supported="path, GRUU")
        (public,), (temporary,) = given_gruus(response, "pub"), given_gruus(response, "temp")
        self.assertEqual(public, f"sip:alice@example.test;gr={ONE}")
        self.assertRegex(temporary, r"^sip:tgruu\.[\w-]+@example\.test;gr$")
        self.assertNotIn("alice", temporary)

    @rows(
        {
            "no Supported": (contact(), ""),
            "Supported without gruu": (contact(), "path, outbound"),
            "no instance": (f"<{PHONE}>", "gruu"),
        }
    )
    def test_not_given(self, value: str, supported: str) -> None:
        response = self.bench.register(value, Supported=supported)
        self.assertEqual(given_gruus(response, "pub") + given_gruus(response, "temp"), ["", ""])

    def test_an_instance_comes_back_as_it_was_written(self) -> None:
        response = self.bench.register(contact(ONE.upper(), params=";q=0.5;audio"))
        expected = contact(ONE.upper(), params=";q=0.5;audio;expires=3600").encode()
        self.assertEqual(response.raw_values(b"contact"), [expected])

    def test_what_a_client_suggests_is_ignored(self) -> None:
        """§5.1."""
        wish = ';pub-gruu="sip:bob@example.test;gr=1";Temp-Gruu="sip:x@example.test;gr"'
        response = self.bench.register(contact(params=wish), Supported="gruu")
        self.assertEqual(given_gruus(response, "pub"), [f"sip:alice@example.test;gr={ONE}"])
        (value,) = response.raw_values(b"contact")
        self.assertNotIn(b"sip:x@", value)
        self.assertEqual(value.lower().count(b"-gruu="), 2)

    def test_sips(self) -> None:
        """The GRUU of a sips address-of-record is one itself."""
        response = self.bench.register(contact(), To="<sips:alice@example.test>", Supported="gruu")
        for kind in ("pub", "temp"):
            self.assertTrue(given_gruus(response, kind)[0].startswith("sips:"))

    def test_all_contacts_of_an_instance_have_the_latest(self) -> None:
        """§9: a phone that was restarted has two contacts and one temporary GRUU."""
        old = self.temporary(contact(uri="sip:alice@192.0.2.7"), contact(TWO, "sip:a@192.0.2.8"))
        response = self.bench.register(contact(), Supported="gruu", Call_ID="after the restart")
        seventh, eighth, first = given_gruus(response, "temp")
        self.assertEqual(seventh, first)
        self.assertNotIn(old, (seventh, eighth))
        self.assertNotEqual(eighth, first)

    def test_a_query_has_the_latest(self) -> None:
        latest = self.temporary()
        response = self.bench.register(Supported="gruu")
        self.assertEqual(given_gruus(response, "temp"), [latest])

    @rows(
        {
            "its own address-of-record": "sip:alice@example.test",
            "by another name": "sip:%61lice@sip.example.test",
            "its own public GRUU": f"sip:alice@example.test;gr={ONE}",
            "no SIP URI": "tel:+358555",
        }
    )
    def test_refused(self, uri: str) -> None:
        """§5.1."""
        self.assertEqual(self.bench.refused(contact(uri=uri)).status, 403)
        self.assertEqual(self.bench.contacts(), {})

    def test_a_temporary_gruu_of_its_own_is_refused(self) -> None:
        """§5.1; nor is it one without an instance."""
        temporary = self.temporary()
        self.assertEqual(self.bench.refused(contact(TWO, temporary)).status, 403)
        self.assertEqual(self.bench.refused(f"<{temporary}>").status, 403)
        self.assertEqual(self.bench.refused(f"<sip:alice@example.test;gr={ONE}>").status, 403)

    def test_another_ones_gruu_is_not(self) -> None:
        uri = f"sip:bob@example.test;gr={ONE}"
        self.bench.register(contact(uri=uri))
        self.assertEqual(list(self.bench.contacts()), [uri])

    def test_removal_asks_nothing_of_a_contact(self) -> None:
        """§5.1: only what is registered is looked at."""
        self.bench.register(contact(uri="tel:+358555", params=";expires=0"))


class TemporaryTest(GruuCase):
    """§5.1, §5.3: how long temporary GRUUs are valid."""

    def test_a_new_one_each_time_and_all_are_valid(self) -> None:
        made = [self.temporary() for _ in range(100)]
        self.assertEqual(len(set(made)), 100)
        self.assertEqual(self.valid(*made), [True] * 100)
        self.assertEqual(self.bound(made[0]), [PHONE])

    def test_nothing_is_kept_of_them(self) -> None:
        """§A.2: memory does not grow with what was given."""
        sizes = set()
        for _ in range(50):
            self.temporary()
            (binding,) = self.bench.host.location.bindings(ALICE)
            kept = vars(self.gruus)
            sizes.add((len(kept), len(self.bench.host.location), type(binding)))
        self.assertEqual(len(sizes), 1)
        self.assertFalse([value for value in kept.values() if isinstance(value, dict | list | set)])

    def test_another_call_id_ends_them(self) -> None:
        first, second = self.temporary(), self.temporary()
        third = self.temporary(Call_ID="2")
        self.assertEqual(self.valid(first, second, third), [False, False, True])

    def test_the_old_call_id_does_not_bring_them_back(self) -> None:
        first = self.temporary(Call_ID="1")
        second = self.temporary(Call_ID="2")
        third = self.temporary(Call_ID="1")
        self.assertEqual(self.valid(first, second, third), [False, False, True])

    def test_another_contact_counts_too(self) -> None:
        """§5.1: the contact that was registered last decides, whatever its URI."""
        first = self.temporary(contact(uri="sip:alice@192.0.2.7"), Call_ID="1")
        self.temporary(contact(), Call_ID="2")
        self.assertEqual(self.valid(first), [False])
        self.bench.register(contact(params=";expires=0"), Call_ID="2")
        self.assertEqual(list(self.bench.contacts()), ["sip:alice@192.0.2.7"])
        self.assertEqual(self.valid(first), [False])  # not by what is left, either

    def test_another_instance_does_not(self) -> None:
        first = self.temporary(contact(ONE), Call_ID="1")
        self.bench.register(contact(TWO, "sip:alice@192.0.2.2"), Call_ID="2")
        self.assertEqual(self.valid(first), [True])
        self.assertEqual(self.bound(first), [PHONE])

    def test_the_last_contact_ends_them(self) -> None:
        temporary = self.temporary()
        self.bench.register(contact(params=";expires=0"))
        self.assertEqual(self.valid(temporary), [False])
        again = self.temporary()
        self.assertEqual(self.valid(temporary, again), [False, True])

    def test_expiry_ends_them(self) -> None:
        temporary = self.temporary(contact(params=";expires=60"))
        self.bench.host.advance(59)
        self.assertEqual(self.valid(temporary), [True])
        self.bench.host.advance(2)
        again = self.temporary()
        self.assertEqual(self.valid(temporary, again), [False, True])

    def test_a_refusal_ends_nothing(self) -> None:
        """§4.2."""
        temporary = self.temporary()
        self.assertEqual(self.bench.refused(contact(), Expires="1", Call_ID="2").status, 423)
        self.assertEqual(self.valid(temporary), [True])

    def test_public_ones_outlive_all(self) -> None:
        """§5.3: without a contact it leads nowhere, but it is valid."""
        public = f"sip:alice@example.test;gr={ONE}"
        self.assertEqual(self.bound(public), [])
        self.bench.register(contact())
        self.assertEqual(self.bound(public), [PHONE])
        self.assertEqual(self.bound(public.upper().replace("SIP:ALICE", "sip:alice")), [PHONE])
        self.assertEqual(self.bound(public + "1"), [])


class RestartTest(GruuCase):
    """The key is kept, and with it what was given."""

    def restart(self, later: float = 100.0) -> None:
        """Begin anew, some seconds later, without bindings."""
        number, self.bench = self.bench.cseq, Bench(max_expires=3600)
        self.bench.cseq = number
        key = bytes(range(KEY_LENGTH))
        self.gruus = Gruus(key, STARTED + later, self.bench.host.now)
        self.bench.registrar._gruus = self.gruus

    def test_what_was_valid_is_so_again(self) -> None:
        temporary = self.temporary()
        self.restart()
        self.assertEqual(self.valid(temporary), [False])  # nobody has come back yet
        again = self.temporary()
        self.assertEqual(self.valid(temporary, again), [True, True])

    def test_not_with_another_call_id(self) -> None:
        temporary = self.temporary(Call_ID="1")
        self.restart()
        self.temporary(Call_ID="2")
        self.assertEqual(self.valid(temporary), [False])
        self.temporary(Call_ID="1")
        self.assertEqual(self.valid(temporary), [False])

    def test_not_where_it_must_have_expired(self) -> None:
        temporary = self.temporary()
        self.restart()
        self.bench.host.clock.advance(3601)
        self.temporary()
        self.assertEqual(self.valid(temporary), [False])

    def test_what_ended_after_the_start_stays_ended(self) -> None:
        self.restart()
        temporary = self.temporary()
        self.bench.register(contact(params=";expires=0"))
        self.temporary()
        self.assertEqual(self.valid(temporary), [False])

    def test_another_key(self) -> None:
        temporary = self.temporary()
        self.gruus = Gruus(bytes(KEY_LENGTH), STARTED, self.bench.host.now)
        self.assertEqual(self.valid(temporary), [False])


class ForgeryTest(GruuCase):
    """A temporary GRUU that we have not made is none."""

    def user(self, gruu: str) -> str:
        """Return the sealed part."""
        return gruu.partition("tgruu.")[2].partition("@")[0]

    def test_every_character_counts(self) -> None:
        sealed = self.user(self.temporary())
        for index, letter in enumerate(sealed):
            forged = sealed[:index] + ("B" if letter == "A" else "A") + sealed[index + 1 :]
            self.assertEqual(self.valid(f"sip:tgruu.{forged}@example.test;gr"), [False], index)

    @rows(
        {
            "nothing": "sip:tgruu.@example.test;gr",
            "no base64": "sip:tgruu.!!!!@example.test;gr",
            "short": "sip:tgruu.AAAA@example.test;gr",
            "long": f"sip:tgruu.{'A' * 5000}@example.test;gr",
            "another user": "sip:alice@example.test;gr",
            "no user": "sip:example.test;gr",
            "an empty value": "sip:alice@example.test;gr=",
            "escapes": "sip:tgruu.%00%ff@example.test;gr",
        }
    )
    def test_refused(self, forged: str) -> None:
        self.temporary()
        self.assertEqual(self.valid(forged), [False])

    def test_padded_or_cut(self) -> None:
        sealed = self.user(self.temporary())
        for changed in (sealed + "=", sealed + "A", sealed[:-1], sealed + "\t", sealed.lower()):
            uri = Uri(b"", b"sip", b"tgruu." + changed.encode(), None, DOMAIN, None, {b"gr": None})
            self.assertIsNone(
                self.gruus.bound(uri, DOMAIN, self.bench.host.location.bindings(ALICE))
            )

    def test_of_another_domain(self) -> None:
        uri = parse_uri(self.temporary().encode())
        bindings = self.bench.host.location.bindings(ALICE)
        self.assertTrue(self.gruus.bound(uri, DOMAIN, bindings))
        self.assertIsNone(self.gruus.bound(uri, b"other.test", bindings))

    def test_for_another_user(self) -> None:
        """It means alice's bindings, whoever's are looked at."""
        uri = parse_uri(self.temporary().encode())
        self.assertEqual(self.bench.host.identity.canonical(uri), ALICE)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.binary(min_size=1, max_size=29))
    def test_what_goes_in_comes_out_and_all_have_one_length(self, user: bytes) -> None:
        aor = user.replace(b"@", b"") + b"@example.test"
        bench = Bench()
        instance = self.gruus.begin(b"urn:x:1", 0, b"1", [], 1.0)
        bench.register(contact())
        (binding,) = bench.host.location.bindings(ALICE)
        uri = parse_uri(self.gruus.temporary(b"sip", aor, Binding.of(binding, instance)))
        self.assertEqual(bench.gruus.user(uri.user, DOMAIN), aor.rpartition(b"@")[0])
        self.assertEqual(len(uri.raw), 4 + 6 + 86 + 1 + 12 + 3)
