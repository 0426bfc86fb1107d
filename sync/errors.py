"""Two kinds of fault in a conversation: ours and theirs.

    AnabranchError
    └── ProtocolError
        ├── LocalProtocolError     this side did what it must not: a bug here, or a call out of place
        └── RemoteProtocolError    the peer did: the session ends, what was durable stays

`kind` is one word for programs; the text is for people. Both sides get the same two.
"""

from __future__ import annotations

from replica.errors import AnabranchError


class ProtocolError(AnabranchError):
    """A session ended because one side broke a rule of the conversation."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{text} (the session ended with `{kind}`; nothing that is recorded was lost)")
        self.kind = kind
        self.text = text


class LocalProtocolError(ProtocolError):
    """This side was at fault, or was told so by its peer."""


class RemoteProtocolError(ProtocolError):
    """The peer was at fault."""
