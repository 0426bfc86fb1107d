"""What a peer is missing: one pure function over two sets of heads.

For each log of mine whose head the peer does not have, it says from which of the peer's heads to go on. A
head says where a log ends, not what lies below it, so the answer is a list of candidates, the highest first;
the log itself knows which of them it has passed through. None of them, and the history is sent from its
beginning: a second one was written under the same id.
"""

from __future__ import annotations

from replica.block import GENESIS, Head
from replica.outgoing import Want
from sync.message import Heads


def compare(mine: Heads, theirs: Heads) -> list[Want]:
    """What to send to a peer that has `theirs`, by replica."""
    wants = []
    for replica, own in mine.items():
        their = theirs.get(replica, ())
        if own == their:
            continue
        for head in own:
            if head in their:
                continue
            below = sorted((base for base in their if base.seq <= head.seq), reverse=True)
            if below or not their:
                wants.append(Want(replica, head, tuple(below) or (Head(0, GENESIS),)))
    return wants
