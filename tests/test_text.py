"""Text: full Unicode by code points, edits at once, edits of one decision, and bytes that are no edit."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge import NOTHING, Dot, Past, Stamp, Text, merge
from merge.effect import Effect
from merge.kernel import Happening
from merge.text import TextError, TextState, _guard, coalesced
from merge.tree import EMPTY, Tree

ALICE, BOB, CAROL = 40, 7, 23

FAMILY = "👨‍👩‍👧‍👦"
UNICODE = (
    "a",
    "é",
    "e\u0301",
    "ß",
    "漢",
    "𝒳",
    "👍🏽",
    FAMILY,
    "🇪🇺",
    "שלום",
    "مرحبا",
    "\u200f",
    "\u0000",
    "\r\n",
    "\uffff",
    "\U0010ffff",
)
"""One, two, three and four bytes of UTF-8; combining marks, joined emoji, right to left, ends of the planes."""

words = st.one_of(st.sampled_from(UNICODE), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))


class Page:
    """A text as one replica has it: decide, record, hear."""

    def __init__(self, replica: int) -> None:
        self.replica = replica
        self.past: Past[Tree] = Past(EMPTY)

    def deciding(self) -> Text:
        """The text as a decision finds it."""
        return Text().bind(self.past.state.at("text"), ("text",))

    def record(self, *updates: bytes) -> None:
        for update in updates:
            seq = self.past.version[self.replica] + 1
            effect: Effect = Text().bind(None, ("text",)).apply(update)
            stamp = Stamp(1000, seq, self.replica)
            self.past = self.past.observe(Happening(Dot(self.replica, seq), stamp, self.past.version, effect))

    def replace(self, start: int, stop: int, text: str) -> None:
        self.record(self.deciding().replace(start, stop, text, self.replica))

    def hear(self, *others: Page) -> None:
        for other in others:
            self.past = merge(self.past, other.past)

    def __str__(self) -> str:
        return str(self.deciding())


def page(text: str, replica: int = ALICE) -> Page:
    made = Page(replica)
    made.replace(0, 0, text)
    return made


@st.composite
def edits(draw: Any, text: str) -> tuple[int, int, str]:
    """Places in `text`, counted in code points, and what to put between them; never nothing at all."""
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, len(text)))
    word = draw(words)
    return start, stop, word or ("" if stop > start else "x")


# --- one replica, and a plain str ---


@settings(max_examples=60)
@given(st.data())
def test_edits_by_code_points_do_what_slices_of_a_str_do(data: st.DataObject) -> None:
    """Whatever the bytes of a character are: `s[:start] + text + s[stop:]`, by index and by slice as well."""
    alice, plain = Page(ALICE), ""
    for _ in range(data.draw(st.integers(1, 8))):
        start, stop, word = data.draw(edits(plain))
        alice.replace(start, stop, word)
        plain = plain[:start] + word + plain[stop:]
        text = alice.deciding()
        assert str(text) == text.value == plain
        assert len(text) == len(plain)
        assert text[start:] == plain[start:]
        assert [text[i] for i in range(len(text))] == list(plain)


@settings(max_examples=30)
@given(st.data())
def test_edits_of_one_decision_build_on_each_other(data: st.DataObject) -> None:
    """Each counts from the text after the ones before; recorded in order they give what a str would."""
    alice, bob = page("".join(UNICODE)), Page(BOB)
    plain = str(alice)
    text, updates = alice.deciding(), []
    for _ in range(data.draw(st.integers(2, 5))):
        start, stop, word = data.draw(edits(plain))
        updates.append(text.replace(start, stop, word, ALICE))
        plain = plain[:start] + word + plain[stop:]
    assert str(alice) == "".join(UNICODE)
    alice.record(*updates)
    bob.hear(alice)
    assert str(alice) == str(bob) == plain


@settings(max_examples=40)
@given(st.data())
def test_changes_of_one_edit_are_one_update_and_do_what_each_would_do(data: st.DataObject) -> None:
    """Beside other edits of the decision, on texts with and without wide characters; others read the same."""
    alice, bob = page(data.draw(st.sampled_from(["", "abcdef", "".join(UNICODE)])) or "x"), Page(BOB)
    plain, text, updates = str(alice), alice.deciding(), []
    for _ in range(data.draw(st.integers(1, 3))):
        changes = []
        for _ in range(data.draw(st.integers(1, 5))):
            start, stop, word = data.draw(edits(plain))
            changes.append((start, stop, word))
            plain = plain[:start] + word + plain[stop:]
        update = text.edit(iter(changes), ALICE)
        assert (update is None) == (not coalesced(changes))
        updates += [update] if update else []
    alice.record(*updates)
    bob.hear(alice)
    assert str(alice) == str(bob) == plain
    assert len(alice.deciding()) == len(bob.deciding()) == len(plain)
    bob.replace(0, 0, "é")
    alice.hear(bob)
    assert str(alice) == "é" + plain


@given(st.data())
def test_coalesced_changes_take_out_and_put_in_what_all_of_them_do(data: st.DataObject) -> None:
    """The oracle marks each character of the text before: none is taken out, and put in again, on the way."""
    before = [("old", n) for n in range(data.draw(st.integers(0, 6)))]
    once, changes = list(before), []
    for _ in range(data.draw(st.integers(1, 6))):
        start, stop, word = data.draw(edits("x" * len(once)))
        changes.append((start, stop, word))
        once[start:stop] = word
    together = list(before)
    for start, stop, word in coalesced(changes):
        together[start:stop] = word
    assert together == once
    assert len(coalesced(changes)) <= len(changes)


def test_a_word_that_is_typed_is_one_insertion() -> None:
    """With what was mistyped on the way."""
    typed = [(4, 4, "h"), (5, 5, "r"), (5, 6, ""), (5, 5, "e"), (6, 6, "y"), (3, 4, "")]
    assert coalesced(typed) == [(3, 4, "hey")]
    assert coalesced([(4, 4, "h"), (0, 0, "x")]) == [(4, 4, "h"), (0, 0, "x")]


def test_an_edit_with_a_change_that_cannot_be_made_makes_none() -> None:
    """Nor does one whose changes come to nothing."""
    alice = page("abc")
    for changes in ([(0, 0, "x"), (0, 9, "")], [(0, 0, "x"), (1, 1, "")]):
        with pytest.raises((IndexError, ValueError)):
            alice.deciding().edit(changes, ALICE)
    for changes in ([(0, 0, "x"), (0, 1, "")], []):
        assert alice.deciding().edit(changes, ALICE) is None
    assert str(alice) == "abc"
    alice.replace(3, 3, "d")
    assert str(alice) == "abcd"


def test_a_state_that_was_written_as_one_update_goes_on_from_that() -> None:
    """What is behind it is let go, and what comes after it is added; also to what cannot be placed yet."""
    alice, late = page("one"), Page(BOB)
    late.replace(0, 0, "two")
    state = alice.past.state.at("text").absorbed
    first, second = (TextState.of(update) for update in _typed_by(late))
    behind = state | second
    whole = behind.to_bytes()
    assert behind.updates() == [whole]
    assert str(behind | first) == str(TextState.of(whole) | first) == str(state | first | second)


def _typed_by(author: Page) -> list[bytes]:
    author.replace(3, 3, "!")
    return author.past.state.at("text").absorbed.updates()


@pytest.mark.parametrize("word", UNICODE, ids=ascii)
def test_a_character_of_any_width_can_be_put_between_taken_out_and_cut_in_half(word: str) -> None:
    """Code points are the unit: a joined emoji is several, and its parts can be deleted one by one."""
    alice = page("<>")
    alice.replace(1, 1, word)
    assert str(alice) == f"<{word}>"
    plain = list(f"<{word}>")
    while len(plain) > 2:
        alice.replace(1, 2, "")
        del plain[1]
        assert str(alice) == "".join(plain)
    assert str(alice) == "<>"


# --- at once ---


@settings(max_examples=40)
@given(st.data())
def test_edits_at_once_converge_whoever_hears_whom_first(data: st.DataObject) -> None:
    """Three edit the same text apart and then meet in three orders: one text, however often they meet."""
    pages = [page("שלום 👍🏽 e\u0301"), Page(BOB), Page(CAROL)]
    alice, bob, carol = pages
    for _ in range(data.draw(st.integers(1, 3))):
        for each in pages:
            each.hear(*pages)
        for each in pages:
            for _ in range(data.draw(st.integers(0, 2))):
                each.replace(*data.draw(edits(str(each))))
    apart = [each.past for each in pages]
    alice.hear(bob, carol, bob)
    bob.hear(carol, alice)
    carol.past = merge(apart[2], merge(apart[1], apart[0]))
    assert str(alice) == str(bob) == str(carol)
    assert alice.past == bob.past == carol.past


def test_runs_typed_at_the_same_spot_at_once_both_stay_whole() -> None:
    """Letter by letter by two people: one run, then the other; never mixed, and alike everywhere."""
    alice, bob = page("[]"), Page(BOB)
    bob.hear(alice)
    for i in range(5):
        alice.replace(1 + i, 1 + i, "ALICE"[i])
        bob.replace(1 + i, 1 + i, "bobby"[i])
    alice.hear(bob)
    bob.hear(alice)
    assert str(alice) == str(bob)
    assert str(alice) in ("[ALICEbobby]", "[bobbyALICE]")


def test_what_is_typed_into_a_deleted_stretch_stays() -> None:
    """The deleted characters go, the new one does not."""
    alice, bob = page("one two three"), Page(BOB)
    bob.hear(alice)
    alice.replace(4, 8, "")
    bob.replace(5, 5, FAMILY)
    alice.hear(bob)
    bob.hear(alice)
    assert str(alice) == str(bob) == f"one {FAMILY}three"


def test_an_edit_that_was_not_recorded_leaves_no_trace() -> None:
    """A decision that came to nothing: the next one under the same id starts from the text, and all agree."""
    alice, bob = page("ab"), Page(BOB)
    alice.deciding().insert(1, "never", ALICE)
    assert str(alice) == "ab"
    alice.replace(1, 1, "X")
    bob.hear(alice)
    bob.replace(0, 0, ">")
    alice.deciding().delete(0, 1, ALICE)
    alice.hear(bob)
    alice.replace(0, 1, "-")
    bob.hear(alice)
    assert str(alice) == str(bob) == "-aXb"


def test_an_old_present_reads_as_it_was_and_can_be_continued_elsewhere() -> None:
    """States are values: editing a later one does not move an earlier one."""
    alice = page("one")
    old = alice.past
    for word in ("two", "three"):
        alice.replace(0, 0, word)
    then, bob = Page(ALICE), Page(BOB)
    then.past = bob.past = old
    assert str(then) == "one"
    bob.replace(3, 3, "!")
    assert str(bob) == "one!"
    assert str(alice) == "threetwoone"
    assert merge(alice.past, bob.past) == merge(bob.past, alice.past)


def test_a_whole_text_travels_as_one_update() -> None:
    """`to_bytes` of a state, read back, is that state; joining the two changes nothing."""
    alice = page("漢字")
    alice.replace(1, 2, FAMILY)
    state = alice.past.state.at("text").absorbed
    again = TextState.of(state.to_bytes())
    assert again == state
    assert str(again | state) == str(state | again) == f"漢{FAMILY}"
    assert TextState() | state == state == state | TextState()


# --- refused ---


@pytest.mark.parametrize(("start", "stop"), [(-1, 0), (0, 4), (4, 4), (2, 1), (-2, -1), (3, 99)])
def test_a_place_outside_the_text_is_refused_and_nothing_changes(start: int, stop: int) -> None:
    """Also a negative one, which would mean another place after a merge."""
    alice = page("a👍b")
    for attempt in (
        lambda text: text.replace(start, stop, "x", ALICE),
        lambda text: text.delete(start, stop, ALICE),
    ):
        with pytest.raises(IndexError, match="3 code points"):
            attempt(alice.deciding())
    alice.replace(3, 3, "!")
    assert str(alice) == "a👍b!"


def test_an_edit_that_changes_nothing_is_refused() -> None:
    """Nothing inserted and nothing deleted is no fact."""
    with pytest.raises(ValueError, match="says nothing"):
        page("ab").deciding().insert(1, "", ALICE)
    with pytest.raises(ValueError, match="says nothing"):
        Page(ALICE).deciding().delete(0, 0, ALICE)


@pytest.mark.parametrize("half", ["\ud83d", "a\udc4d"])
def test_half_a_surrogate_pair_is_refused(half: str) -> None:
    """It has no UTF-8 form, so no other replica could hold it; the decision goes on."""
    alice = page("ab")
    text = alice.deciding()
    with pytest.raises(ValueError, match="surrogate"):
        text.insert(1, half, ALICE)
    alice.record(text.insert(1, "👍", ALICE))
    assert str(alice) == "a👍b"


BROKEN = (b"", b"\xff", b"garbage", b"\x01", b"\x01\x01\x07\x00\x04\x01\x04text\xff\xffab")


@pytest.mark.parametrize("update", BROKEN)
@pytest.mark.parametrize("begun", ["", "ab"], ids=["a new text", "a text"])
def test_bytes_that_are_no_edit_raise_and_leave_the_text_as_it_was(begun: str, update: bytes) -> None:
    """TextError when they are folded, not later when somebody reads: also as the first edit of all."""
    alice = page(begun) if begun else Page(ALICE)
    before = alice.past
    with pytest.raises(TextError, match="not applied"):
        alice.record(update)
    assert alice.past is before
    assert str(alice) == begun
    alice.replace(0, 0, FAMILY)
    assert str(alice) == FAMILY + begun


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_edit_does_not_harm_the_text_that_refuses_it(data: st.DataObject) -> None:
    """Cut short or with one byte changed, an edit of Bob's is refused or folded; nothing but TextError comes
    out, and Alice's own text is as it was and can be edited on."""
    alice, bob = page("漢字 ab"), Page(BOB)
    bob.hear(alice)
    update = bytearray(bob.deciding().replace(1, 3, FAMILY, BOB))
    at = data.draw(st.integers(0, len(update) - 1))
    if data.draw(st.booleans()):
        del update[at:]
    else:
        update[at] ^= data.draw(st.integers(1, 255))
    before = alice.past
    effect = Text().bind(None, ("text",)).apply(bytes(update))
    try:
        damaged = before.observe(Happening(Dot(BOB, 1), Stamp(1000, 0, BOB), before.version, effect))
    except TextError:
        damaged = before
    assert isinstance(damaged.state, Tree)
    assert str(alice) == "漢字 ab"
    alice.replace(0, 1, "x")
    assert str(alice) == "x字 ab"


def test_a_first_edit_that_cannot_be_read_never_becomes_a_state() -> None:
    """The bottom takes the first edit in like any later one, so it is looked at before it is kept."""
    effect = Text().bind(None, ("text",)).apply(b"\xff")
    with pytest.raises(TextError):
        EMPTY.happen(Happening(Dot(1, 1), Stamp(1, 0, 1), NOTHING, effect))


def test_a_panic_of_yjs_becomes_a_text_error_and_an_interrupt_stays_one() -> None:
    """Panics are BaseExceptions, and would pass every `except Exception` on their way up."""
    text = pycrdt.Doc().get("text", type=pycrdt.Text)
    with pytest.raises(TextError, match="not applied"):
        _guard(lambda: text.__delitem__(slice(0, 9)))

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _guard(interrupted)
