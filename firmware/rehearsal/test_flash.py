"""Unit tests of the models of flash controllers: what a manual forbids is refused."""

import unittest

from cortex_m import Fault
from flash import Keys, nrf, stm32
from flash_image import pages_of

WORDS = 0x5A5A_5A5A


class Memory:
    """Bytes from `origin` on."""

    def __init__(self, origin=stm32.FLASH):
        self.origin, self.bytes = origin, bytearray(b"\x5a" * 0x20_0000)

    def read(self, address, size):
        at = address - self.origin
        return bytes(self.bytes[at : at + size])

    def erase(self, address, size):
        at = address - self.origin
        self.bytes[at : at + size] = b"\xff" * size

    def erase_all(self):
        self.erase(self.origin, len(self.bytes))


def opened(model):
    controller = model(Memory())
    for key in Keys.KEYS:
        controller.write(controller.KEY, key)
    return controller


class Stm32(unittest.TestCase):
    def test_locks(self):
        controller = stm32.Sectors(Memory())
        with self.assertRaisesRegex(Fault, "while it is locked"):
            controller.write(controller.CONTROL, stm32.PG)
        with self.assertRaisesRegex(Fault, "until it is reset"):
            controller.write(controller.KEY, Keys.KEYS[1])

    def test_sectors(self):
        controller = opened(stm32.Sectors)
        place = stm32.FLASH + 4 * 16 * 1024
        with self.assertRaisesRegex(Fault, "nothing is programmed"):
            controller.check_store(place, 4, 0)
        controller.write(controller.CONTROL, 2 << 8 | stm32.PG)
        with self.assertRaisesRegex(Fault, "was not erased"):
            controller.check_store(place, 4, 0xFF)
        erasing = 2 << 8 | stm32.START | stm32.SER | 4 << 3
        controller.write(controller.CONTROL, erasing)
        self.assertEqual(controller.memory.read(place - 1, 2), b"\x5a\xff")
        controller.write(controller.CONTROL, 2 << 8 | stm32.PG)
        controller.check_store(place, 4, WORDS)
        with self.assertRaisesRegex(Fault, "the width is set to 4"):
            controller.check_store(place, 1, 0)

    def test_double_words(self):
        controller = opened(stm32.Pages)
        start = stm32.FLASH + 1024 * 1024
        erasing = stm32.START | stm32.SER | controller.BANK_BIT
        controller.write(controller.CONTROL, erasing)
        self.assertEqual(controller.memory.read(start, 1), b"\xff")
        controller.write(controller.CONTROL, stm32.PG)
        with self.assertRaisesRegex(Fault, "not the first of 8 bytes"):
            controller.check_store(start + 4, 4, WORDS)
        controller.check_store(start, 4, WORDS)
        with self.assertRaisesRegex(Fault, "has yet to be programmed"):
            controller.write(controller.CONTROL, 0)
        controller.check_store(start + 4, 4, WORDS)
        controller.write(controller.CONTROL, 0)

    def test_banks(self):
        controller = stm32.Banks(Memory())
        for key in Keys.KEYS:
            controller.write(controller.KEY, key)
        second = controller.CONTROL + controller.NEXT_BANK
        with self.assertRaisesRegex(Fault, "while it is locked"):
            controller.write(second, controller.PG)
        controller.write(controller.CONTROL, controller.PG)
        controller.memory.erase_all()
        with self.assertRaisesRegex(Fault, "the other bank is open"):
            controller.check_store(stm32.FLASH + controller.BANK, 4, WORDS)


class Nordic(unittest.TestCase):
    def test_pages(self):
        controller = nrf.Nrf52(Memory(0))
        with self.assertRaisesRegex(Fault, "not enabled"):
            controller.write(nrf.ERASEPAGE, 0)
        controller.write(nrf.CONFIG, nrf.ERASE)
        with self.assertRaisesRegex(Fault, "is no page"):
            controller.write(nrf.ERASEPAGE, 4)
        controller.write(nrf.ERASEPAGE, 4096)
        controller.write(nrf.CONFIG, nrf.WRITE)
        controller.check_store(4096, 4, WORDS)
        with self.assertRaisesRegex(Fault, "was not erased"):
            controller.check_store(0, 4, 0xFF)

    def test_pages_that_a_store_erases(self):
        controller = nrf.Nrf53(Memory(0))
        controller.write(nrf.CONFIG, nrf.ERASE)
        with self.assertRaisesRegex(Fault, "erases no page"):
            controller.check_store(4, 4, 0xFFFF_FFFF)
        controller.check_store(4096, 4, 0xFFFF_FFFF)
        self.assertEqual(controller.memory.read(4096, 2), b"\xff\xff")


class Pages(unittest.TestCase):
    def test_what_holds_nothing_is_erased(self):
        pages = pages_of([(6, b"abcd")], 8)
        self.assertEqual(pages, {0: b"\xff" * 6 + b"ab", 8: b"cd" + b"\xff" * 6})


if __name__ == "__main__":
    unittest.main()
