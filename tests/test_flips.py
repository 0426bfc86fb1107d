"""Damaged frames, blocks and files: slices of the long runs, what they have found, and proof that they can."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random

import msgspec
import pytest
import zstandard

from merge import update
from merge.text import Measure, TextError, TextState
from replica import DamagedLog, Replica, StoreError, snapshot
from replica.backend import connected
from replica.block import Slice, Tail
from replica.direct import DirectReplica
from replica.layout import join
from replica.packed import MAX_UNPACKED
from replica.reading import Reader
from replica.readonly import ReadOnly
from replica.snapshot import span
from replica.sqlite import SqliteLog, SqliteReader, SqliteThread
from sync.testing.network import NOW
from tests.damage import damaged
from tests.doors import DOORS, Forgery, receive_forged
from tests.flips import Flips
from tests.judges import Blocks, Found
from tests.loop import in_loop
from tests.material import world
from tests.owing import Ask, Quiz, Said
from tests.shop import HOME, AddItem, ItemAdded, Journal, ShoppingList, direct
from tests.tables import Tables

AGGREGATES = (ShoppingList, Journal)


# --- slices of the long runs ---


@pytest.fixture(scope="module")
def flips() -> Flips:
    return Flips(1)


@pytest.mark.parametrize("thousand", range(6))
def test_damaged_frames_and_blocks_are_rejected_or_harmless(flips, thousand):
    """`python -m tests.flips` says what that means, and plays ten million of them."""
    for number in range(thousand * 1000, thousand * 1000 + 1000):
        flips.play(number)


def test_damage_in_the_tables_of_a_file_is_said_or_changes_nothing(tmp_path):
    """`python -m tests.tables` says what that means, and plays thousands."""
    tables = Tables(1, tmp_path)
    for number in range(60):
        tables.play(number)


@pytest.mark.parametrize("name", DOORS)
def test_what_the_fuzzer_begins_with_goes_through(name):
    """Honest inputs of each door, and a few changes of each: nothing but what is documented comes out."""
    door, random = DOORS[name](), Random(1)
    for data in door.seeds():
        door.enter(data)
        for _ in range(3):
            door.enter(door.change(random, data) or data[:-1])


def test_a_forged_log_that_breaks_no_rule_is_taken_and_read_alike():
    """Else the fuzzer would look at refusals alone."""
    door = DOORS["block"]()
    forged = [msgspec.msgpack.decode(data[1:], type=Forgery) for data in door.seeds() if data[0] == 255]
    taken = [receive_forged(one.slice()) for one in forged]
    assert taken.count(True) > 8 < len(taken)


# --- they can find something ---


def accepted_unseen(self, piece, decoded, at=frozenset()):
    """`Tail.accept` without its last line: the head that is claimed is believed."""
    self.seq, self.hash = piece.last, piece.head
    self.streams = {name: number for number, name in enumerate(decoded.streams)}
    self.types = {name: number for number, name in enumerate(decoded.types)}
    return {piece.last: piece.head}


@pytest.mark.parametrize("broken", ["a head of a frame", "a head of a block"])
def test_where_a_head_is_believed_something_is_found(flips, monkeypatch, broken):
    """Within the slice that the suite plays."""
    if broken == "a head of a frame":
        monkeypatch.setattr(Tail, "accept", accepted_unseen)
    else:
        monkeypatch.setattr("replica.reading.head_of_block", lambda store, piece: piece.head)
    with pytest.raises(Found, match=r"--one 1/\d+: a "):
        for number in range(6000):
            flips.play(number)


def test_where_the_index_is_not_verified_something_is_found(tmp_path, monkeypatch):
    """A stream of which a block is not found lacks events, and looks well."""
    monkeypatch.setattr("replica.chain._beside", lambda *_: ())
    tables = Tables(1, tmp_path)
    with pytest.raises(Found):
        for number in range(400):
            tables.play(number)


# --- what they have found: blocks of a file ---


@pytest.fixture(scope="module")
def blocks() -> Blocks:
    return Blocks(world(2, full=True))


def sealed(size: int) -> bytes:
    """A frame of zstd that claims so many bytes, and holds one."""
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + b"\x09\x00\x00\x00"


@pytest.mark.parametrize("size", [MAX_UNPACKED * 2, 1 << 40, 1 << 62, (1 << 64) - 3])
def test_a_sealed_block_that_claims_any_size_is_refused_before_there_is_room_for_it(blocks, size):
    """One flipped bit in the header of a frame asked for an exbibyte: MemoryError, and no word of damage."""
    assert blocks.judge(blocks.rows[0], sealed(size)) == "rejected"


def test_a_sealed_block_that_is_a_bomb_is_refused_before_it_is_unpacked(blocks):
    """Two kilobytes that are 65 MiB."""
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(MAX_UNPACKED + 2048))
    assert len(bomb) < 4096
    assert blocks.judge(blocks.rows[0], bomb) == "rejected"


def test_a_payload_that_was_changed_in_a_file_is_never_folded(blocks):
    """Its columns still decode, and zstd has no checksum: only the head of the block tells."""
    rows = [row for row in blocks.rows if row.name == "sealed block, unpacked"]
    row = next(row for row in rows if b"1.299" in row.plain)
    changed = row.plain.replace(b"1.299", b"1.298")
    assert blocks.judge(row, changed) == "rejected"


@pytest.mark.parametrize("field", ["last", "commits", "first", "after", "replica"])
@pytest.mark.parametrize("value", [0, 1, 2, 1 << 16, 1 << 32, (1 << 64) - 1])
def test_a_slice_in_a_file_that_claims_what_its_bytes_are_not_is_refused(blocks, field, value):
    """What no hash protects is compared with what it protects. (A count of 2^32 had no error of ours.)"""
    decode_slice = msgspec.msgpack.Decoder(Slice).decode
    for row in [row for row in blocks.rows if row.name != "sealed block"]:
        changed = msgspec.structs.replace(decode_slice(row.plain), **{field: value})
        assert blocks.judge(row, msgspec.msgpack.encode(changed)) in ("rejected", "same")


def small_file() -> tuple[sqlite3.Connection, SqliteLog, DirectReplica]:
    file = sqlite3.connect(":memory:", isolation_level=None)
    log = SqliteLog(file)
    alice = direct("alice", log=log)
    for n in range(3):
        alice.execute(HOME, AddItem(f"{n}"), NOW + n)
        alice.flush()
    return file, log, alice


def test_a_block_that_has_lost_its_last_slice_is_not_read_without_it():
    """It was: and who went through the log to its head asked for the same block again, for ever."""
    file, _, alice = small_file()
    file.execute("DELETE FROM fresh WHERE last = (SELECT max(last) FROM fresh)")
    with pytest.raises(DamagedLog):
        alice.reader().stream(HOME)


def test_a_block_that_was_sealed_since_is_read_up_to_the_head_of_its_reader():
    """A reader of a moment ago, in this process or in another one, said that its last block was not in the file."""
    _, log, alice = small_file()
    before = alice.reader()
    wanted = before.stream(HOME)
    alice.append(HOME, [ItemAdded(f"{n}") for n in range(1100)], NOW + 9)
    alice.flush()
    assert log.unsealed() == []
    alice.execute(HOME, AddItem("next"), NOW + 10)
    alice.flush()
    for number, first in log.unsealed():
        log.seal(number, first)
    late = Reader(log, "shop", dict(before.lineages))
    assert late.stream(HOME) == wanted
    assert [piece.last for piece in late.whole(late.lineages[alice.core.me].rows[0])] == [4]


def test_a_block_that_is_too_large_to_be_sealed_stays_in_its_parts(monkeypatch):
    """Sealed it could not be read again."""
    _, log, alice = small_file()
    monkeypatch.setattr("replica.sqlite.MAX_UNPACKED", 2000)
    for wall in range(2):
        alice.append(HOME, [ItemAdded(f"{n}") for n in range(1100)], NOW + 9 + wall)
        alice.flush()
    (found,) = log.unsealed()
    with pytest.raises(StoreError, match="stays in its parts"):
        log.seal(*found)
    again = direct("alice", log=log)
    assert again.digest(HOME) == alice.digest(HOME)
    assert join(log.block(*found).slices).is_full


# --- what they have found: tables ---


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE stream SET stream = 'list/other' WHERE stream = 'list/home'",
        "UPDATE stream SET first = 5 WHERE stream = 'list/home'",
        "UPDATE log SET name = 'mallory'",
        "UPDATE log SET wall = wall + 1",
        "DELETE FROM command",
        "UPDATE command SET first = first + 1, last = last + 1",
        "UPDATE command SET first = first - 1, last = last - 1",
        "UPDATE command SET wall = wall + 1",
        "UPDATE command SET replica = '00000000000000aa'",
        "UPDATE fresh SET types = NULL",
        "INSERT INTO type VALUES ('ItemAdded', 1, 5)",
    ],
)
@in_loop
async def test_verify_says_what_differs_beside_the_blocks(tmp_path, damage):
    """A stream without its blocks, a stamp, a name, a command that would be carried out twice, or answered with
    what another led to, a count."""
    path = tmp_path / "alice.db"
    async with Replica.open(path, store="shop", name="alice", aggregates=AGGREGATES) as alice:
        await alice.execute(HOME, AddItem("milk"), command_id="once")
        assert await alice.verify()
    file = sqlite3.connect(path)
    file.execute(damage)
    file.commit()
    file.close()
    async with ReadOnly.open(path, aggregates=AGGREGATES) as alice:
        assert not await alice.verify()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE log SET replica = replica || replica",
        "UPDATE log SET replica = CAST(x'ff' AS TEXT)",
        "UPDATE log SET parent = 99",
        "UPDATE log SET after = 1",
        "UPDATE log SET parent = number, after = 1",
        "UPDATE identity SET openings = x'ff'",
        "UPDATE identity SET succeeds = ''",
        "UPDATE fresh SET types = x'ff'",
    ],
)
@in_loop
async def test_a_file_with_values_that_are_none_is_damaged_in_one_typed_error(tmp_path, damage):
    """For who reads it, and for who would write to it; and nothing of it is changed."""
    path = tmp_path / "alice.db"
    async with Replica.open(path, store="shop", name="alice", aggregates=AGGREGATES) as alice:
        await alice.execute(HOME, AddItem("milk"))
    file = sqlite3.connect(path)
    file.execute(damage)
    file.commit()
    file.close()
    with pytest.raises(StoreError):
        async with ReadOnly.open(path, aggregates=AGGREGATES):
            pass
    with pytest.raises(StoreError):
        async with Replica.open(path, store="shop", name="alice", aggregates=AGGREGATES):
            pass


@pytest.mark.parametrize("backend", [SqliteThread, SqliteReader])
@pytest.mark.parametrize(
    ("damage", "ask"),
    [
        ("DROP TABLE stream", lambda log: log.blocks_of(HOME)),
        ("DROP TABLE stream", lambda log: log.streams("list", "", 9)),
        (
            "UPDATE stream SET stream = CAST(x'6c6973742fff' AS TEXT) WHERE stream = 'list/home'",
            lambda log: log.streams("list", "", 9),
        ),
        ("DROP TABLE block", lambda log: log.unsealed()),
        ("UPDATE said SET what = CAST(x'ff' AS TEXT)", lambda log: log.rows("said")),
    ],
)
@in_loop
async def test_what_is_asked_of_a_damaged_file_is_one_typed_error(tmp_path, backend, damage, ask):
    """Whatever is asked, and who asks: not an error of SQLite, nor that it could be read later."""
    path = str(tmp_path / "alice.db")
    async with Replica.open(
        path, store="shop", name="alice", aggregates=(*AGGREGATES, Quiz), projections=(Said,)
    ) as alice:
        await alice.execute("quiz/1", Ask("q"))
        await alice.execute(HOME, AddItem("milk"))
    file = sqlite3.connect(path)
    file.execute(damage)
    file.commit()
    file.close()
    async with connected(backend(path)) as opened:
        with pytest.raises(DamagedLog):
            await opened.run(ask)


@in_loop
async def test_a_file_with_a_page_of_zeros_is_damaged_for_its_writer_too(tmp_path):
    """SQLite finds that; its error has a type of ours."""
    path = tmp_path / "alice.db"
    async with Replica.open(path, store="shop", name="alice", aggregates=AGGREGATES) as alice:
        await alice.execute(HOME, AddItem("milk"))
    file = sqlite3.connect(path)
    file.execute("PRAGMA journal_mode=DELETE")
    (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'fresh'").fetchone()
    (size,) = file.execute("PRAGMA page_size").fetchone()
    file.close()
    data = bytearray(Path(path).read_bytes())
    data[(page - 1) * size : page * size] = bytes(size)
    Path(path).write_bytes(data)
    with pytest.raises(DamagedLog, match="is damaged"):
        async with Replica.open(path, store="shop", name="alice", aggregates=AGGREGATES):
            pass


def test_a_snapshot_in_which_a_bit_was_flipped_is_passed_over():
    """It was read for what it then said: a present that no facts lead to. So is one without a digest."""
    _, log, alice = small_file()
    alice.present(HOME)
    alice.core.ripe[HOME] = None
    assert alice.snapshot() == 1
    (kept,) = log.kept(span(HOME))
    random = Random(1)
    assert snapshot.read(kept).events
    for _ in range(300):
        at = random.randrange(len(kept.value))
        flipped = kept.value[:at] + bytes([kept.value[at] ^ 1 << random.randrange(8)]) + kept.value[at + 1 :]
        with pytest.raises(snapshot.Damaged):
            snapshot.read(kept._replace(value=flipped))
    with pytest.raises(snapshot.Damaged):
        snapshot.read(kept._replace(key=kept.key.replace("home", "else")))
    with pytest.raises(snapshot.Damaged):
        snapshot.read(kept._replace(value=kept.value[snapshot.DIGEST :]))


# --- what they have found: edits of a text ---


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


HEAD = b"\x01\x01\x05\x00"
PARENT = b"\x01\x04text"


@pytest.mark.parametrize(
    "edit",
    [
        varint(1 << 29) + b"\x00",
        HEAD + b"\x08" + PARENT + b"\x01" + b"\x75\x01" * 100_000 + b"\x7e\x00",
        HEAD + b"\x08" + PARENT + b"\x01\x76" + varint(1 << 29) + b"\x00",
        b"\x80" * 100_000,
    ],
    ids=["a gigabyte for its clients", "arrays in arrays", "a gigabyte for a map", "a number without end"],
)
def test_an_edit_that_would_end_the_process_never_comes_to_yjs(edit):
    """A hundred kilobytes ended every process that folded them, without a word; a few bytes took a gigabyte."""
    with pytest.raises(TextError, match="not applied"):
        TextState() | TextState.of(edit)


def test_an_edit_that_is_checked_in_one_step_is_one_that_is_checked_byte_by_byte(monkeypatch):
    """The short ways, for what is typed or deleted in one place, accept nothing else; most edits go one of them."""
    state, ahead, measure, random = TextState(), list[bytes](), Measure(0, ascii=True), Random(1)
    for number in range(60):
        typed = "xé漢"[number % 3] * 2 if number % 4 != 3 else ""
        change = number // 2, number // 2 + number % 2, typed
        state.edit([change], 7, ahead, measure)
        measure = measure.after(*change)
    for short in (update._typed, update._took_out):
        assert sum(short(edit) is not None for edit in ahead) >= 15
    trials = [damaged(random, random.choice(ahead), ahead)[1] for _ in range(4000)]
    quick = [accepts(trial) for trial in trials]
    assert 200 < quick.count(True) < 3800
    monkeypatch.setattr(update, "_typed", lambda _: None)
    monkeypatch.setattr(update, "_took_out", lambda _: None)
    assert [accepts(trial) for trial in trials] == quick


def accepts(edit: bytes) -> bool:
    try:
        update.check(edit)
    except ValueError:
        return False
    return True
