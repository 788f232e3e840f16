"""The firmware's log, as it stands in the rings: defmt's frames, with the texts of the image.

Written a second time, as `rtt.py` is: what defmt's encoder and decoder share would hide an error
of both."""

import json
import re

ARGUMENT = re.compile(r"\{=(\w+)(?::\w+)?\}")
# Bytes of an argument.
SIZES = {"u8": 1, "bool": 1, "u16": 2, "u32": 4, "usize": 4, "u64": 8}
# The text's number, and the time.
INDEX, TIME = 2, 8


def texts(symbols):
    """The texts of an image by their number, from its symbols: level, text."""
    found = {}
    for name, value in symbols.items():
        if name.startswith("{"):
            entry = json.loads(name)
            if entry.get("tag", "").startswith("defmt_"):
                found[value] = entry["tag"].removeprefix("defmt_"), entry["data"]
    return found


def uncompressed(stuffed):
    """A frame without zeros, with those that it had: reversed, zeros as bits of one byte."""
    out, rest = [], list(stuffed)
    while rest:
        byte = rest.pop()
        if byte < 0x80:
            for at in range(6, -1, -1):
                out.append(0 if byte >> at & 1 else rest.pop() if rest else 0)
        elif byte < 0xFF:
            out.append(0)
            out += (rest.pop() for _ in range((byte & 0x7F) + 7))
        else:
            out += (rest.pop() for _ in range(134))
    return bytes(reversed(out))


def lines(data, texts):
    """The lines of a log."""
    for stuffed in data.split(b"\0"):
        if stuffed:
            frame = uncompressed(stuffed)
            level, text = texts[int.from_bytes(frame[:INDEX], "little")]
            yield f"{level}: {filled(text, frame[INDEX + TIME :])}"


def filled(text, arguments):
    """A text with its arguments."""
    at = 0

    def take(match):
        nonlocal at
        kind = match[1]
        size = SIZES.get(kind, 4)
        value = int.from_bytes(arguments[at : at + size], "little")
        at += size
        if kind == "str":
            at += value
            return arguments[at - value : at].decode()
        return f"{value:x}" if match[0].endswith("x}") else str(value)

    return ARGUMENT.sub(take, text)
