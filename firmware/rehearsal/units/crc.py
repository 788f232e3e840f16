"""Units that compute CRCs: ST's, of both versions, and the sniffer of Raspberry Pi's DMA.
`divided` counts the bytes that each was given."""

from functools import cache

from cortex_m import Fault

from . import Unit, words_only

ONES = 0xFFFF_FFFF
POLYNOMIAL = 0x04C1_1DB7


def reversed_bits(value, bits):
    return int(f"{value:0{bits}b}"[::-1], 2)


# Bytes with their bits reversed.
REVERSED = bytes(reversed_bits(byte, 8) for byte in range(256))


def divide(remainder, data, polynomial=POLYNOMIAL, width=32):
    """The remainder, `width` bits, after `data` too, the most significant bit of a byte first."""
    table = remainders(polynomial, width)
    up, down, ones = max(8 - width, 0), max(width - 8, 0), (1 << width) - 1
    for byte in data:
        remainder = remainder << 8 & ones ^ table[byte ^ remainder << up >> down & 0xFF]
    return remainder


@cache
def remainders(polynomial, width):
    """Those of a byte at the upper end of the remainder, each bit by itself."""
    table = []
    for byte in range(256):
        remainder = byte << width
        for at in range(7, -1, -1):
            if remainder >> at + width & 1:
                remainder ^= (1 << width | polynomial) << at
        table.append(remainder & (1 << width) - 1)
    return table


class Stm32Crc(Unit):
    """ST's unit without reversal (RM0090 and RM0383, "CRC calculation unit"); `clock` is the
    register and the bit of its clock."""

    NAME = "CRC"
    DR, CR = 0x00, 0x08
    REGISTERS = {DR: "DR", 0x04: "IDR", CR: "CR"}
    UNTRACED = (DR,)
    RESET = 1

    def __init__(self, base, clock):
        super().__init__(base)
        self.clock, self.divided = clock, 0
        self.reset()

    def reset(self):
        # What was written since the remainder was computed, as words with the upper byte first.
        self.remainder, self.data = ONES, bytearray()

    def read(self, registers, word):
        self._check_clock(registers)
        if word == self.base + self.DR:
            if self.data:
                self.notes.append("the CRC unit has divided words")
                self.divided += len(self.data)
            self.divide()
            return self.result()
        return self.held(word - self.base)

    def write(self, registers, word, size, value):
        self._check_clock(registers)
        words_only(word, size)
        if word - self.base not in self.REGISTERS:
            raise Fault(f"the CRC unit has no register at {word - self.base:#x}")
        if word == self.base + self.DR:
            self.data += value.to_bytes(4)
        else:
            self.divide()
            self.set(word - self.base, value)

    def _check_clock(self, registers):
        register, bit = self.clock
        if not registers.get(register, 0) & bit:
            raise Fault("the CRC unit is used without its clock")

    def divide(self):
        self.remainder = divide(self.remainder, self.data)
        self.data.clear()

    def result(self):
        return self.remainder

    def set(self, offset, value):
        if offset == self.CR and value & self.RESET:
            self.reset()

    def held(self, _offset):
        return 0


class ReversingCrc(Stm32Crc):
    """ST's unit with reversal, polynomial and start value (the chapters "Cyclic redundancy check
    calculation unit" of RM0385, RM0432, RM0433, RM0444, RM0455, RM0456 and RM0486)."""

    DR, IDR, CR, INIT, POL = 0x00, 0x04, 0x08, 0x10, 0x14
    REGISTERS = {DR: "DR", IDR: "IDR", CR: "CR", INIT: "INIT", POL: "POL"}
    WIDTHS = [32, 16, 8, 7]
    # Bytes the order of whose bits is reversed together, by REV_IN.
    GROUPS = [None, 1, 2, 4]

    def reset(self):
        super().reset()
        self.values = {self.IDR: 0, self.CR: 0, self.INIT: ONES, self.POL: POLYNOMIAL}

    @property
    def width(self):
        return self.WIDTHS[self.values[self.CR] >> 3 & 3]

    def divide(self):
        group, data = self.GROUPS[self.values[self.CR] >> 5 & 3], bytes(self.data)
        if group:
            places = range(0, len(data), group)
            data = b"".join(data[at : at + group][::-1] for at in places)
            data = data.translate(REVERSED)
        polynomial = self.values[self.POL]
        self.remainder = divide(self.remainder, data, polynomial, self.width)
        self.data.clear()

    def result(self):
        is_reversed = self.values[self.CR] >> 7 & 1
        return (
            reversed_bits(self.remainder, self.width) if is_reversed else self.remainder
        )

    def set(self, offset, value):
        is_reset = offset == self.CR and value & self.RESET
        self.values[offset] = value & ~self.RESET if offset == self.CR else value
        if offset == self.INIT or is_reset:
            self.remainder = self.values[self.INIT] & (1 << self.width) - 1

    def held(self, offset):
        return self.values.get(offset, 0)


class Rp2Dma(Unit):
    """The DMA controller of the RP2040 (data sheet, 2.5) or RP2350 (12.6), for transfers of bytes
    that nothing paces, and its sniffer. `resets` is the register that holds it in reset."""

    SIZE = 0x1000
    NAME = "DMA"
    HELD = 1 << 2
    READ, WRITE, COUNT, CONTROL = 0x00, 0x04, 0x08, 0x0C
    EN, INCR_READ = 1, 1 << 4
    UNPACED = 0x3F
    # Polls that a transfer takes.
    POLLS = 3

    def __init__(self, resets, is_rp2350):
        super().__init__(0x5000_0000)
        self.resets, self.is_rp2350, self.divided = resets, is_rp2350, 0
        self.channels = 16 if is_rp2350 else 12
        # Lowest bits of the fields of the control register that the two chips have elsewhere.
        fields = (6, 13, 17, 25, 26) if is_rp2350 else (5, 11, 15, 23, 24)
        self.incr_write, self.chain, self.pace, self.sniffs, self.busy = fields
        self.sniff_control = 0x454 if is_rp2350 else 0x434
        # Where the image's bytes are, and how many.
        self.UNTRACED = (self.READ, self.WRITE, self.COUNT)
        names = {self.READ: "READ_ADDR", self.WRITE: "WRITE_ADDR"}
        names |= {self.COUNT: "TRANS_COUNT", self.CONTROL: "CTRL_TRIG"}
        self.REGISTERS = {
            0x40 * channel + at: f"CH{channel}_{name}"
            for channel in range(self.channels)
            for at, name in names.items()
        }
        self.REGISTERS[self.sniff_control] = "SNIFF_CTRL"
        self.REGISTERS[self.sniff_control + 4] = "SNIFF_DATA"
        self.reset()

    def reset(self):
        self.values, self.polls, self.remainder = {}, 0, 0

    def read(self, registers, word):
        self._check_reset(registers)
        offset = word - self.base
        if offset == self.sniff_control + 4:
            return self._result()
        held = self.values.get(offset, 0)
        is_control = offset < 0x40 * self.channels and offset & 0x3F == self.CONTROL
        if is_control and self.polls:
            self.polls -= 1
            if not self.polls:
                self._transfer(offset & ~0x3F)
            return held | (1 << self.busy if self.polls else 0)
        return held

    def write(self, registers, word, size, value):
        self._check_reset(registers)
        words_only(word, size)
        offset = word - self.base
        self.values[offset] = value
        if offset == self.sniff_control + 4:
            self.remainder = value
        elif offset < 0x40 * self.channels:
            if offset & 0x3F > self.CONTROL:
                raise Fault(f"the DMA's register {offset:#x} has no model")
            if offset & 0x3F == self.CONTROL and value & self.EN:
                self._start(offset >> 6, value)

    def _check_reset(self, registers):
        if registers[self.resets] & self.HELD:
            raise Fault("the DMA controller is used while it is held in reset")

    def _start(self, channel, control):
        if control >> self.chain & 0xF != channel:
            raise Fault(f"the DMA's channel {channel} starts another one when it ends")
        if control >> self.pace & 0x3F != self.UNPACED:
            raise Fault(f"the DMA's channel {channel} waits for a peripheral")
        if control >> 2 & 3:
            raise Fault("the sniffer's order of the bytes of a word has no model")
        if self.is_rp2350 and self.values.get(0x40 * channel + self.COUNT, 0) >> 28:
            raise Fault(f"the DMA's channel {channel} starts again when it ends")
        self.polls = self.POLLS

    def _transfer(self, channel):
        read, write, count, control = (
            self.values.get(channel + at, 0)
            for at in (self.READ, self.WRITE, self.COUNT, self.CONTROL)
        )
        data = bytes(self.memory.mem_read(read, count))
        if not control & self.INCR_READ:
            data = data[:1] * count
        if control >> self.incr_write & 1:
            self.memory.mem_write(write, data)
        else:
            self.memory.mem_write(write, data[-1:])
        sniffer = self.values.get(self.sniff_control, 0)
        is_its = sniffer & 1 and sniffer >> 1 & 0xF == channel >> 6
        if is_its and control >> self.sniffs & 1:
            self._sniff(sniffer >> 5 & 0xF, data)
        self.values[channel + self.COUNT] = 0

    def _sniff(self, calculation, data):
        if calculation > 1:
            raise Fault(f"the sniffer's calculation {calculation} has no model")
        if calculation:
            data = data.translate(REVERSED)
        self.remainder = divide(self.remainder, data)
        self.notes.append("the sniffer has divided bytes")
        self.divided += len(data)

    def _result(self):
        sniffer, result = self.values.get(self.sniff_control, 0), self.remainder
        if sniffer >> 10 & 1:
            result = reversed_bits(result, 32)
        return result ^ ONES if sniffer >> 11 & 1 else result
