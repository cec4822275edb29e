"""Subjects as text, and marks by configuration: whatever a name holds, it is never another's."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.ledger.support import DAY, NOW, Minted, unhurried
from tokensvc.errors import SettingsError
from tokensvc.identity import Identity, parse_identity
from tokensvc.ledger import marks
from tokensvc.ledger.marks import (
    EVERYTHING,
    KINDS,
    MAX_AHEAD,
    RETENTION,
    Dead,
    Mark,
    Marks,
    Subject,
    join_marks,
    parse_denylist,
    parse_subject,
    subject_name,
    subject_text,
)

# What a name may be taken apart at, and what has more bytes than characters.
characters = st.sampled_from("ab/:%@,.~-_ +?#&=;'\"\\0F2é中🦊\u202e") | st.characters(exclude_categories=["Cc", "Cs"])
names = st.text(characters, min_size=1, max_size=30).filter(lambda name: len(name.encode()) <= 128)
handles = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
jtis = st.from_regex(r"[A-Za-z0-9_-]{1,16}\.[0-9]{1,9}", fullmatch=True)
subjects: st.SearchStrategy[Subject] = st.one_of(
    st.just(EVERYTHING),
    st.builds(marks.account, names),
    st.builds(marks.user, names, names),
    st.builds(marks.user_client, names, names, handles),
    st.builds(marks.credential, handles),
    st.builds(marks.client, handles),
    st.builds(marks.family, handles),
    st.builds(marks.token, jtis),
)


def parsed(text: str) -> Subject:
    kind, _, name = text.partition(":")
    return parse_subject(kind, name)


class TestSubjects:
    @unhurried
    @given(subjects)
    def test_a_subject_comes_back_from_its_text_as_it_was(self, subject: Subject) -> None:
        assert parsed(subject_text(subject)) == subject
        assert parse_subject(subject[0], subject_name(subject)) == subject

    @unhurried
    @given(subjects)
    def test_the_text_is_plain_whatever_the_names_are(self, subject: Subject) -> None:
        """Nothing in it that a log, a setting, a URL or a table could take for something else."""
        assert re.fullmatch(r"[a-z-]+:[A-Za-z0-9._~%/-]*", subject_text(subject))
        assert subject_text(subject).count("/") == max(len(subject) - 2, 0)

    @unhurried
    @given(subjects, subjects)
    def test_two_subjects_never_have_one_text(self, one: Subject, other: Subject) -> None:
        assume(one != other)
        assert subject_text(one) != subject_text(other)

    @unhurried
    @given(names, names, names)
    def test_the_sub_of_a_person_is_the_subject_of_marks_on_them(self, account: str, user: str, role: str) -> None:
        identity = Identity(account, user, role)
        assert parse_subject("user", identity.sub) == marks.user(account, user)
        text = "/".join(subject_name(marks.account(part)) for part in identity)
        assert parse_identity(text) == identity

    @unhurried
    @given(names, names)
    def test_percent_encoding_in_small_letters_or_of_plain_ones_is_the_same_name(self, account: str, user: str) -> None:
        def spelt(name: str) -> str:
            return "".join(f"%{byte:02x}" for byte in name.encode())

        assert parse_subject("user", f"{spelt(account)}/{spelt(user)}") == marks.user(account, user)

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            ("", ""),
            ("everyone", ""),
            ("User", "acme/ada"),
            ("everything", "acme"),
            ("everything", "/"),
            ("account", ""),
            ("account", "acme/ada"),
            ("account", "acme/"),
            ("user", "acme"),
            ("user", "acme/"),
            ("user", "/ada"),
            ("user", "acme/ada/"),
            ("user", "acme/ada/admin"),
            ("user", "acme/%00"),
            ("user", "acme/%0a"),
            ("user", "acme/%C2%85"),
            ("user", "acme/%FF"),
            ("user", "acme/%ED%A0%80"),
            ("user", "acme/" + "a" * 129),
            ("user", "acme/" + "%C3%A9" * 65),
            ("user-client", "acme/ada"),
            ("user-client", "acme/ada/"),
            ("user-client", "acme/ada/no handle"),
            ("user-client", "ada/" + "h" * 22),
            ("credential", ""),
            ("credential", "a/b"),
            ("client", "a:b"),
            ("client", "h" * 65),
            ("family", "%66"),
            ("family", "fam.1"),
            ("family", "fam\n"),
            ("token", "fam"),
            ("token", "fam.x"),
            ("token", "fam.1.2"),
            ("token", "fam.1234567890"),
        ],
    )
    def test_what_is_no_subject_is_refused(self, kind: str, name: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011  # that it is refused is the point, the words are for people
            parse_subject(kind, name)

    @unhurried
    @given(st.sampled_from(KINDS), st.text(max_size=40))
    def test_any_text_is_a_subject_or_a_value_error(self, kind: str, name: str) -> None:
        try:
            subject = parse_subject(kind, name)
        except ValueError:
            return
        assert parsed(subject_text(subject)) == subject


class TestMarks:
    @unhurried
    @given(subjects, subjects, st.integers(0, 3), st.integers(0, 3))
    def test_a_mark_ends_its_own_subject_and_no_other(
        self, subject: Subject, other: Subject, not_before: int, authorized_at: int
    ) -> None:
        table = Marks({subject: Mark(not_before, RETENTION)})
        minted = Minted((other,), authorized_at)
        final = subject[0] in ("family", "token")
        if subject == other and (final or authorized_at <= not_before):
            with pytest.raises(Dead, match=re.escape(subject_text(subject))):
                table.check(minted)
        else:
            table.check(minted)

    def test_one_subject_of_many_is_enough(self) -> None:
        table = Marks({marks.client("app"): Mark(5, 9)})
        with pytest.raises(Dead):
            table.check(Minted((EVERYTHING, marks.account("acme"), marks.client("app")), 5))

    def test_nothing_is_dead_that_no_mark_is_on(self) -> None:
        Marks().check(Minted((EVERYTHING,), 0))
        Marks({marks.account("acme"): Mark(5, 9)}).check(Minted((), 0))

    def test_putting_and_joining_take_the_maximum_of_both_times(self) -> None:
        table = Marks()
        table.put(EVERYTHING, Mark(1, 9))
        table.put(EVERYTHING, Mark(2, 8))
        assert list(table) == [(EVERYTHING, Mark(2, 9))]
        assert join_marks(Mark(1, 9), Mark(2, 8)) == Mark(2, 9)
        assert len(table) == 1

    def test_forgetting_drops_what_has_expired_and_nothing_else(self) -> None:
        table = Marks({marks.account("a"): Mark(0, 5), marks.account("b"): Mark(0, 6)})
        table.forget(5)
        assert [subject for subject, _ in table] == [marks.account("b")]

    def test_a_part_of_the_table_is_a_table(self) -> None:
        table = Marks({marks.account("a"): Mark(3, 5), marks.account("b"): Mark(4, 6)})
        part = table.on([marks.account("b"), EVERYTHING])
        assert list(part) == [(marks.account("b"), Mark(4, 6))]
        assert table.latest([marks.account("a"), EVERYTHING]) == 3
        assert table.latest([EVERYTHING]) == -1


class TestDenylist:
    def test_it_is_empty_where_nothing_is_set(self) -> None:
        assert parse_denylist("", NOW) == {}
        assert parse_denylist(" \n,, \r\n", NOW) == {}

    def test_entries_stand_between_commas_or_on_lines(self) -> None:
        text = f"everything:@1,account:acme@2\nuser:acme/ada@3\r\n  user-client:acme/ada/app@4 ,client:app@{NOW}"
        assert parse_denylist(text, NOW) == {
            EVERYTHING: Mark(1, 1 + RETENTION),
            marks.account("acme"): Mark(2, 2 + RETENTION),
            marks.user("acme", "ada"): Mark(3, 3 + RETENTION),
            marks.user_client("acme", "ada", "app"): Mark(4, 4 + RETENTION),
            marks.client("app"): Mark(NOW, NOW + RETENTION),
        }

    @pytest.mark.parametrize("text", ["family:fam@0", "token:fam.1@0"])
    def test_a_final_mark_is_kept_for_what_is_alive_now_however_early_its_time(self, text: str) -> None:
        ((_, mark),) = parse_denylist(text, NOW).items()
        assert mark == Mark(0, NOW + RETENTION)

    def test_of_two_entries_on_one_subject_the_later_counts(self) -> None:
        assert parse_denylist("client:app@7,client:app@5", NOW) == {marks.client("app"): Mark(7, 7 + RETENTION)}

    @unhurried
    @given(st.lists(st.tuples(subjects, st.integers(0, NOW)), max_size=5, unique_by=lambda entry: entry[0]))
    def test_hostile_names_mark_themselves_and_nobody_else(self, entries: list[tuple[Subject, int]]) -> None:
        for separator in (",", "\n"):
            text = separator.join(f"{subject_text(subject)}@{at}" for subject, at in entries)
            found = parse_denylist(text, NOW)
            assert {subject: mark.not_before for subject, mark in found.items()} == dict(entries)

    def test_an_address_may_stand_as_it_is(self) -> None:
        assert list(parse_denylist("user:acme/ada@example.com@5", NOW)) == [marks.user("acme", "ada@example.com")]

    @pytest.mark.parametrize(
        "entry",
        [
            "user:acme/ada",
            "user:acme/ada@",
            "user:acme/ada@soon",
            "user:acme/ada@-1",
            "user:acme/ada@1.5",
            "user:acme/ada@²",
            "user:acme/ada@١",
            "user:acme/ada@0x1f",
            "user:acme/ada@1234567890123456",
            f"user:acme/ada@{NOW + MAX_AHEAD + 1}",
            "acme/ada@5",
            "@5",
            "nobody:acme@5",
            "user:acme@5",
            "user:acme/ada/admin@5",
            "user:acme/%00@5",
            "account:@5",
            "everything:all@5",
            "token:fam.x@5",
        ],
    )
    def test_an_entry_that_is_refused_names_the_variable_and_the_way_out_and_spoils_the_list(self, entry: str) -> None:
        with pytest.raises(SettingsError) as refused:
            parse_denylist(f"account:fine@1,{entry}", NOW)
        assert refused.value.variable == "TOKENSVC_DENYLIST"
        assert str(refused.value).startswith("TOKENSVC_DENYLIST ")
        assert "kind:subject@not_before_ms" in str(refused.value)

    def test_a_refusal_does_not_repeat_who_is_on_the_list(self) -> None:
        with pytest.raises(SettingsError) as refused:
            parse_denylist("user:acme/mallory@tomorrow", NOW)
        assert "mallory" not in str(refused.value)

    def test_a_mark_may_lie_5_seconds_ahead(self) -> None:
        ((_, mark),) = parse_denylist(f"account:acme@{NOW + MAX_AHEAD}", NOW).items()
        assert mark == Mark(NOW + MAX_AHEAD, NOW + MAX_AHEAD + 366 * DAY)
