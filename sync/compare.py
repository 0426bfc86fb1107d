"""What a peer is missing: one pure function over two sets of heads.

For each log of mine whose head the peer does not have, it says from which of the peer's heads to go on. A
head says where a log ends, not what lies below it, so the answer is a list of candidates, the highest first;
the log itself knows which of them it has passed through. None of them, and the history is sent from its
beginning: a second one was written under the same id.

Where all heads of the peer are higher than mine, they may go on from mine, and there is nothing to send; unless
I hold one of them too, and so know that mine is another history.
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
            if below or not their or any(base in own for base in their):
                wants.append(Want(replica, head, tuple(below) if their else (Head(0, GENESIS),)))
    return wants
