"""Conversation: how replicas meet.

Read in this order: `message`, `protocol` (the conversation, without a network), `channel` (what carries it), then
`conversation`, `websocket`, `memory`, `node` (what pumps it), and `gate` (how to make it fail).
"""

from sync.channel import Channel, ChannelClosed
from sync.conversation import converse
from sync.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from sync.gate import Gate, Gates
from sync.link import Link, LinkStatus
from sync.memory import linked
from sync.node import Node, NodeStatus
from sync.websocket import Server, connect, serve

__all__ = [
    "Channel",
    "ChannelClosed",
    "Gate",
    "Gates",
    "Link",
    "LinkStatus",
    "LocalProtocolError",
    "Node",
    "NodeStatus",
    "ProtocolError",
    "RemoteProtocolError",
    "Server",
    "connect",
    "converse",
    "linked",
    "serve",
]
