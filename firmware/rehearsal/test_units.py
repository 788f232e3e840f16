"""Units that chips share: what they compute, and that each setting counts."""

import unittest
import zlib

from chips import rp2
from cortex_m import Fault
from units.crc import ONES, ReversingCrc, Rp2Dma, Stm32Crc, divide, reversed_bits
from units.watchdog import Iwdg, NordicWdt, Rp2Watchdog

CLOCKS, CLOCK = 0x4002_1000, 1 << 12
DATA = bytes(range(7, 255, 3)) + b"\x00\xff\x80"
WORDS = [
    int.from_bytes(DATA[at : at + 4], "little") for at in range(0, len(DATA) & ~3, 4)
]
CRC = zlib.crc32(DATA[: 4 * len(WORDS)])


class Division(unittest.TestCase):
    def test_published_checks(self):
        """CRC-32/BZIP2, CRC-16/XMODEM, CRC-8/SMBUS and CRC-7/MMC of "123456789"."""
        for polynomial, width, start, check in (
            (0x04C1_1DB7, 32, ONES, 0xFC89_1918 ^ ONES),
            (0x1021, 16, 0, 0x31C3),
            (0x07, 8, 0, 0xF4),
            (0x09, 7, 0, 0x75),
        ):
            self.assertEqual(divide(start, b"123456789", polynomial, width), check)


class Stm32(unittest.TestCase):
    """As the firmware uses it, and with one thing wrong at a time."""

    def crc(self, control=0xE1, start=0, polynomial=0x04C1_1DB7, **settings):
        """What the unit gives, reversed and inverted, after a start value and words."""
        registers = settings.get("registers", {CLOCKS: CLOCK})
        unit = ReversingCrc(0x4002_3000, (CLOCKS, CLOCK))
        # As another program may have left it.
        unit.values |= {unit.CR: 0x18, unit.INIT: 5, unit.POL: 7}
        unit.remainder = 9
        for offset, value in (
            (unit.POL, polynomial),
            (unit.INIT, reversed_bits(~start & ONES, 32)),
            (unit.CR, control),
        ):
            if offset != settings.get("forgotten"):
                unit.write(registers, unit.base + offset, 4, value)
        for word in settings.get("words", WORDS):
            unit.write(registers, unit.base, 4, word)
        return unit.read(registers, unit.base) ^ ONES

    def test_crc(self):
        self.assertEqual(self.crc(), CRC)
        half = len(WORDS) // 2
        first = self.crc(words=WORDS[:half])
        self.assertEqual(first, zlib.crc32(DATA[: 4 * half]))
        self.assertEqual(self.crc(start=first, words=WORDS[half:]), CRC)

    def test_settings(self):
        settings = {
            "no reversal of the input": {"control": 0x81},
            "of each byte": {"control": 0xA1},
            "of each half-word": {"control": 0xC1},
            "none of the output": {"control": 0x61},
            "no reset": {"control": 0xE0, "forgotten": ReversingCrc.INIT},
            "16 bits": {"control": 0xE9},
            "another start value": {"forgotten": ReversingCrc.INIT},
            "another polynomial": {"forgotten": ReversingCrc.POL},
            "no setting": {"forgotten": ReversingCrc.CR},
        }
        for name, wrong in settings.items():
            with self.subTest(name):
                self.assertNotEqual(self.crc(**wrong), CRC)

    def test_faults(self):
        with self.assertRaisesRegex(Fault, "without its clock"):
            self.crc(registers={CLOCKS: 0})
        unit = ReversingCrc(0x4002_3000, (CLOCKS, CLOCK))
        with self.assertRaisesRegex(Fault, "1 bytes are written"):
            unit.write({CLOCKS: CLOCK}, unit.base, 1, 0)


class FirstStm32(unittest.TestCase):
    def crc(self, words, start=None, is_reversed=True):
        registers = {CLOCKS: CLOCK}
        unit = Stm32Crc(0x4002_3000, (CLOCKS, CLOCK))
        unit.write(registers, unit.base, 4, 77)
        unit.write(registers, unit.base + unit.CR, 4, 1)
        missing = start or 0
        for word in words:
            word, missing = word ^ missing, 0
            if is_reversed:
                word = reversed_bits(word, 32)
            unit.write(registers, unit.base, 4, word)
        return reversed_bits(unit.read(registers, unit.base), 32) ^ ONES

    def test_crc(self):
        self.assertEqual(self.crc(WORDS), CRC)
        self.assertNotEqual(self.crc(WORDS, is_reversed=False), CRC)
        first = self.crc(WORDS[:5])
        self.assertEqual(self.crc(WORDS[5:], first), CRC)
        self.assertNotEqual(self.crc(WORDS[5:]), CRC)

    def test_reversal_that_is_missing(self):
        unit = Stm32Crc(0x4002_3000, (CLOCKS, CLOCK))
        with self.assertRaisesRegex(Fault, "no register at 0x10"):
            unit.write({CLOCKS: CLOCK}, unit.base + 0x10, 4, 0)


class Memory:
    """Bytes from 0x1000_0000 on, and one at 0x2000_0000."""

    def __init__(self, data):
        self.data, self.sink = data, None

    def mem_read(self, address, size):
        return self.data[address - 0x1000_0000 :][:size]

    def mem_write(self, address, data):
        assert address == 0x2000_0000
        self.sink = data


class Sniffer(unittest.TestCase):
    RESETS = 0x4000_C000

    def crc(self, is_rp2350=False, start=0, data=DATA, **settings):
        """What the sniffer gives for bytes, as the firmware sets it up but for the settings."""
        registers = {self.RESETS: settings.get("resets", 0)}
        unit = Rp2Dma(self.RESETS, is_rp2350)
        unit.memory = Memory(data)
        control = 0x01 | 0x10 | 0x3F << unit.pace | 1 << unit.sniffs
        control |= settings.get("control", 0)
        for offset, value in (
            (unit.sniff_control, settings.get("sniffer", 0xC21)),
            (unit.sniff_control + 4, reversed_bits(~start & ONES, 32)),
            (unit.READ, 0x1000_0000),
            (unit.WRITE, 0x2000_0000),
            (unit.COUNT, len(data)),
            (unit.CONTROL, control & ~settings.get("without", 0)),
        ):
            unit.write(registers, unit.base + offset, 4, value)
        for _ in range(settings.get("polls", unit.POLLS)):
            unit.read(registers, unit.base + unit.CONTROL)
        if not settings:
            self.assertEqual(unit.memory.sink, data[-1:])
            self.assertEqual(registers, {self.RESETS: 0})
        return unit.read(registers, unit.base + unit.sniff_control + 4)

    def test_crc(self):
        for is_rp2350 in (False, True):
            self.assertEqual(self.crc(is_rp2350), zlib.crc32(DATA))
            first = self.crc(is_rp2350, data=DATA[:9])
            self.assertEqual(
                self.crc(is_rp2350, first, data=DATA[9:]), zlib.crc32(DATA)
            )

    def test_settings(self):
        settings = {
            "data as it is": {"sniffer": 0xC01},
            "result as it is": {"sniffer": 0x821},
            "not inverted": {"sniffer": 0x421},
            "off": {"sniffer": 0xC20},
            "another channel": {"sniffer": 0xC23},
            "a channel that it does not hear": {"without": 1 << 23},
            "the same byte each time": {"without": 0x10},
            "read before it is done": {"polls": 1},
        }
        for name, wrong in settings.items():
            with self.subTest(name):
                self.assertNotEqual(self.crc(**wrong), zlib.crc32(DATA))

    def test_faults(self):
        for problem, wrong in (
            ("held in reset", {"resets": 4}),
            ("starts another one", {"control": 1 << 11}),
            ("waits for a peripheral", {"without": 1 << 15}),
            ("has no model", {"control": 2 << 2}),
        ):
            with self.assertRaisesRegex(Fault, problem):
                self.crc(**wrong)


class IndependentWatchdog(unittest.TestCase):
    """ST's; what the firmware writes, and each thing that the manual forbids."""

    FREEZE = 0xE004_2008, 1 << 12

    def setUp(self):
        flag = 0x4002_3874, 1 << 29, 1 << 24
        self.unit = Iwdg(0x4000_3000, self.FREEZE, flag, (17_000, 47_000))
        self.registers = {self.FREEZE[0]: self.FREEZE[1]}

    def write(self, *writes):
        for offset, value in writes:
            self.unit.write(self.registers, self.unit.base + offset, 4, value)

    def wait(self):
        """Turns of waiting for the set-up."""
        for turns in range(20):
            if not self.unit.read(self.registers, self.unit.base + self.unit.SR):
                return turns
        return None

    def test_start(self):
        unit = self.unit
        self.write((unit.KR, unit.RELOAD), (unit.KR, unit.START), (unit.KR, unit.OPEN))
        self.write((unit.PR, 6), (unit.RLR, 367))
        self.assertEqual(self.wait(), unit.POLLS - 1)
        self.assertEqual(unit.feeds, 0)
        self.write((unit.KR, unit.RELOAD))
        self.assertEqual(unit.feeds, 1)
        least, most = unit.times_ms()
        self.assertAlmostEqual(least, 368 * 256 / 47)
        self.assertAlmostEqual(most, 368 * 256 / 17)

    def test_faults(self):
        unit = self.unit
        opened = [(unit.KR, unit.START), (unit.KR, unit.OPEN)]
        for problem, writes in (
            ("registers are locked", [(unit.PR, 6)]),
            ("are locked", [*opened, (unit.KR, unit.START), (unit.RLR, 6)]),
            ("yet to arrive", [*opened, (unit.PR, 6), (unit.PR, 5)]),
            ("has arrived", [*opened, (unit.RLR, 6), (unit.KR, unit.RELOAD)]),
            ("no key 0x1234", [(unit.KR, 0x1234)]),
            ("not to be written", [(0x10, 5)]),
        ):
            self.setUp()
            with self.assertRaisesRegex(Fault, problem):
                self.write(*writes)
        self.setUp()
        self.registers.clear()
        with self.assertRaisesRegex(Fault, "halts the core"):
            self.write((unit.KR, unit.START))

    def test_set_up_before_the_start(self):
        """Its clock is there from the start on: nothing arrives before."""
        unit = self.unit
        self.write((unit.KR, unit.OPEN), (unit.PR, 6))
        self.assertIsNone(self.wait())


class Nordic(unittest.TestCase):
    def setUp(self):
        self.unit = NordicWdt(0x4001_0000, (0x4000_0400, 2))

    def write(self, *writes):
        for offset, value in writes:
            self.unit.write({}, self.unit.base + offset, 4, value)

    def test_start(self):
        unit = self.unit
        self.write((unit.CONFIG, 1), (unit.CRV, 34_816), (unit.RREN, 1))
        self.write((unit.START, 1), (unit.RR, unit.RELOAD))
        self.assertEqual(unit.feeds, 1)
        self.assertEqual(unit.read({}, unit.base + unit.RUNSTATUS), 1)
        least, most = unit.times_ms()
        self.assertTrue(1011 < least < 1012 and 1118 < most < 1119, (least, most))

    def test_faults(self):
        unit = self.unit
        for problem, writes in (
            ("halts the core", [(unit.CONFIG, 9), (unit.START, 1)]),
            ("while it runs", [(unit.START, 1), (unit.CRV, 100)]),
            ("more than one", [(unit.RREN, 3), (unit.START, 1)]),
            ("less than it can count", [(unit.CRV, 14), (unit.START, 1)]),
            ("fed with 0x1", [(unit.RR, 1)]),
        ):
            self.setUp()
            with self.assertRaisesRegex(Fault, problem):
                self.write(*writes)


class RaspberryPi(unittest.TestCase):
    """The RP2040's, and the RP2350's."""

    def setUp(self):
        self.use(rp2.Rp2040)

    def use(self, chip):
        self.chip = chip({"name": "a board"})
        self.unit = self.chip.units[-1]
        self.registers = dict(self.chip.RESET)
        selected = self.chip.PSM_PARTS & ~self.chip.PSM_OSCILLATORS
        self.registers[self.chip.PSM + 8] = selected
        self.registers[self.chip.CLOCKS + 0x30] = 2

    def write(self, *writes):
        for offset, value in writes:
            self.unit.write(self.registers, self.unit.base + offset, 4, value)

    def test_start(self):
        unit, start = self.unit, Rp2Watchdog.ENABLE | Rp2Watchdog.PAUSES
        self.write((unit.TICK, 0x20C), (unit.LOAD, 4_000_000), (unit.CTRL, start))
        self.assertEqual(unit.times_ms(), (2000, 2000))
        self.use(rp2.Rp2350)
        unit = self.unit
        self.registers |= {self.chip.TICKS + 0x30: 1, self.chip.TICKS + 0x34: 12}
        self.write((unit.LOAD, 2_000_000), (unit.CTRL, start), (unit.LOAD, 2_000_000))
        self.assertEqual(unit.times_ms(), (2000, 2000))
        self.assertEqual(unit.feeds, 1)

    def test_faults(self):
        unit = self.unit
        tick, load = (unit.TICK, 0x20C), (unit.LOAD, 4_000_000)
        start = (unit.CTRL, unit.ENABLE | unit.PAUSES)
        for problem, writes in (
            ("nothing to count", [tick, start]),
            ("nothing counts", [load, start]),
            ("halts the core", [tick, load, (unit.CTRL, unit.ENABLE)]),
            ("cannot count to", [(unit.LOAD, 1 << 24)]),
        ):
            self.setUp()
            with self.assertRaisesRegex(Fault, problem):
                self.write(*writes)
        self.setUp()
        self.registers[self.chip.PSM + 8] = 0x1_FFFF
        with self.assertRaisesRegex(Fault, "or the oscillators"):
            self.write(tick, load, start)


if __name__ == "__main__":
    unittest.main()
