"""What host and firmware say to each other: rings in RAM, frames in them, messages in those.

The layouts are those of `firmware/src/link.rs` and `firmware/protocol`, written a second time
on purpose: what both sides share would hide an error of both."""

import defmt

# Offsets within the control block: two rings to the host, then one from it.
HEADER, RING = 24, 24
RESPONSES, LOG, REQUESTS = (HEADER + ring * RING for ring in range(3))
HELLO, PIXELS, INFER = 0, 1, 2
PIXELS_AT_ONCE = 512
FAULTS = ["panic", "kernel", "HardFault", "stack", "exception", "weights", "watchdog"]
RESPONSE_NAMES = ["Hello", "Step", "Logits", "Done", "Ticks", "Refused", "Fault", "Bye"]


def fnv1a(data):
    value = 0x811C_9DC5
    for byte in data:
        value = (value ^ byte) * 0x0100_0193 & 0xFFFF_FFFF
    return value


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def frame(message):
    """`message` with its checksum, stuffed so that it has no zero, and the zero at its end."""
    plain = message + fnv1a(message).to_bytes(4, "little")
    out, block = bytearray(), bytearray()
    for byte in plain:
        if byte:
            block.append(byte)
        if not byte or len(block) == 254:
            out += bytes([len(block) + 1]) + block
            block = bytearray()
    return bytes(out + bytes([len(block) + 1]) + block + b"\0")


def unframe(stuffed):
    plain, at = bytearray(), 0
    while at < len(stuffed):
        length = stuffed[at]
        plain += stuffed[at + 1 : at + length]
        at += length
        if length < 255 and at < len(stuffed):
            plain.append(0)
    message, checksum = bytes(plain[:-4]), int.from_bytes(plain[-4:], "little")
    if fnv1a(message) != checksum:
        raise ValueError(f"a frame of {len(plain)} bytes has a wrong checksum")
    return message


class Reader:
    """Reads postcard's encoding."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def unsigned(self):
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self):
        value = self.unsigned()
        return value >> 1 ^ -(value & 1)

    def boolean(self):
        return bool(self.unsigned())

    def option(self, read):
        return read() if self.unsigned() else None

    def text(self):
        length = self.unsigned()
        self.at += length
        return self.data[self.at - length : self.at].decode()


class Link:
    """The firmware's rings in the memory of a machine."""

    def __init__(self, machine):
        self.machine = machine
        self.block = machine.image.symbols["_SEGGER_RTT"]
        self.received = b""

    def exchange(self, data):
        """Hands `data` over while the firmware runs; returns the messages that it sends until
        it waits for more."""
        messages = []
        while True:
            data = data[self._put(data) :]
            before = self._place()
            self.machine.run_until_idle()
            self.received += self._take(RESPONSES)
            *frames, self.received = self.received.split(b"\0")
            messages += [unframe(one) for one in frames if one]
            if not data and self._place() == before and not frames:
                return messages

    def log(self):
        """The lines of the log since the last time."""
        return list(
            defmt.lines(self._take(LOG), defmt.texts(self.machine.image.symbols))
        )

    def places(self):
        """First address and bytes of everything that both sides read and write."""
        rings = [self._ring(offset)[:2] for offset in (RESPONSES, LOG, REQUESTS)]
        return [(self.block, HEADER + 3 * RING), *rings]

    def _ring(self, offset):
        _name, place, size, write, read, _mode = self.machine.words(
            self.block + offset, 6
        )
        return place, size, write, read

    def _place(self):
        return self._ring(RESPONSES)[2], self._ring(REQUESTS)[3]

    def _put(self, data):
        place, size, write, read = self._ring(REQUESTS)
        room = (read - write - 1) % size
        for byte in data[:room]:
            self.machine.uc.mem_write(place + write, bytes([byte]))
            write = (write + 1) % size
        self.machine.set_word(self.block + REQUESTS + 12, write)
        return min(room, len(data))

    def _take(self, ring):
        place, size, write, read = self._ring(ring)
        out = bytearray()
        while read != write:
            out += self.machine.uc.mem_read(place + read, 1)
            read = (read + 1) % size
        self.machine.set_word(self.block + ring + 16, read)
        return bytes(out)


def hello(link):
    """What the firmware says of itself."""
    [message] = link.exchange(b"\0" + frame(varint(HELLO)))
    reader = Reader(message)
    if reader.unsigned() != RESPONSE_NAMES.index("Hello"):
        raise ValueError(f"the answer to Hello is {message.hex()}")
    said = {
        "version": reader.unsigned(),
        "board": reader.text(),
        "model": reader.text(),
    }
    said["model_hash"] = reader.unsigned()
    said["input"] = [reader.unsigned() for _ in range(3)]
    for name in ("classes", "steps", "arena_bytes", "stack_bytes", "counter_hz"):
        said[name] = reader.unsigned()
    reader.unsigned()  # what a reading of the counter costs
    said["core_hz"] = reader.unsigned()
    for name in ("instruction_cache", "data_cache", "flash_cache"):
        said[name] = reader.boolean()
    said["flash_wait_states"] = reader.option(reader.unsigned)
    said["crystal"] = reader.boolean()
    for name in ("boost", "dual_bank"):
        said[name] = reader.option(reader.boolean)
    return said


def fault(link):
    """Kind and text of the fault that the firmware reports; none if it reports none."""
    for message in link.exchange(b""):
        reader = Reader(message)
        if reader.unsigned() == RESPONSE_NAMES.index("Fault"):
            kind = FAULTS[reader.unsigned()]
            reader.option(reader.unsigned)  # the step
            return kind, reader.text()
    return None


def request(pixels):
    """What asks for an inference of an image."""
    message = b""
    for at in range(0, len(pixels), PIXELS_AT_ONCE):
        piece = pixels[at : at + PIXELS_AT_ONCE]
        message += frame(varint(PIXELS) + varint(at) + varint(len(piece)) + piece)
    return message + frame(varint(INFER) + varint(fnv1a(pixels)))


def infer(link, pixels):
    """The logits of an image, Q16.16."""
    logits = []
    for answer in link.exchange(request(pixels)):
        reader = Reader(answer)
        name = RESPONSE_NAMES[reader.unsigned()]
        if name == "Logits":
            reader.unsigned()  # values sent before
            logits += [reader.signed() for _ in range(reader.unsigned())]
        elif name not in ("Step", "Done"):
            raise ValueError(f"the answer to Infer is {name}: {answer.hex()}")
    return logits
