"""What the messages of a channel look like.

    0x80 …    a pickle, which tells where it ends, whatever padding follows
    M …       the pickle of a list of items
    A number  the item is in memory: a descriptor comes along, the number tells which memory it is

Zeros fill it up to the length that ``bound`` asks for.
"""

from __future__ import annotations

import pickle
import struct

from service.engine.lending import NUMBER

#: Longest message, in bytes; what is longer goes by memory.
MAX_MESSAGE = 96 * 1024
#: Kinds of messages: their first byte.
PICKLE, SEVERAL, BY_MEMORY = pickle.PROTO[0], ord("M"), ord("A")
SEVERAL_HEADER = struct.Struct("B")
MEMORY_HEADER = struct.Struct(f"B{NUMBER}s")
#: A descriptor.
FD = struct.Struct("i")
