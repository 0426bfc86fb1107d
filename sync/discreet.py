"""What the websockets library logs of our connections, without what opens a door.

Rule. At DEBUG the library logs each header, and so the token that peers must know. Here nothing is logged that
stands behind a word which announces a secret. (The logger is ours: others who use the library are left alone.)
"""

from __future__ import annotations

import logging
import re
import traceback

HIDDEN = "(not logged)"
_SECRET = re.compile(r"(authorization|bearer|cookie|token)\b.*", re.IGNORECASE)


class _Discreet(logging.Filter):
    """Cuts secrets out of what is logged, and drops tracebacks that quote one."""

    def filter(self, record: logging.LogRecord) -> bool:
        words = record.getMessage()
        hidden = without_secrets(words)
        if hidden != words:
            record.msg, record.args = hidden, ()
        if record.exc_info and _SECRET.search("".join(traceback.format_exception(*record.exc_info))):
            record.exc_info = None
        return True


def without_secrets(words: str) -> str:
    """Words in which nothing stands behind what announces a secret."""
    return _SECRET.sub(rf"\1: {HIDDEN}", words)


logger = logging.getLogger("anabranch.sync.websocket")
if not logger.filters:
    logger.addFilter(_Discreet())
