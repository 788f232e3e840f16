"""ST's flash controllers, by the chapters "Embedded flash memory" of the reference manuals:
RM0090 and RM0383 (STM32F4), RM0385 (STM32F746), RM0432 (STM32L4R5), RM0444 (STM32G0B1), RM0456
(STM32U575)."""

from cortex_m import Fault

from . import InOrder, Keys, Locked

FLASH = 0x0800_0000
K = 1024
PG, SER, MER, START = 1 << 0, 1 << 1, 1 << 2, 1 << 16


class Sectors(Locked):
    """Sectors of several sizes, of which a number is erased; any width is programmed that the
    supply allows and the register names."""

    BASE, SIZE = 0x4002_3C00, 0x400
    KEY, STATUS, CONTROL = 0x04, 0x0C, 0x10
    RESET = {0x10: 1 << 31, 0x14: 0x0FFF_AAED}
    WIDTHS = (1, 2, 4)
    SIZES = [16 * K] * 4 + [64 * K] + [128 * K] * 7

    def control(self, value):
        if value & START:
            if value & PG:
                raise Fault("flash is erased while it is programmed")
            if value & SER:
                number = value >> 3 & 0xF
                if number >= len(self.SIZES):
                    raise Fault(f"sector {number} is erased, and there are less")
                place = FLASH + sum(self.SIZES[:number])
                self.memory.erase(place, self.SIZES[number])
            elif value & MER:
                self.memory.erase_all()
            else:
                raise Fault("flash is erased, and nothing is chosen")
        self.registers[self.CONTROL] = value & ~START

    def is_programming(self):
        return bool(self.registers[self.CONTROL] & PG)

    def check_store(self, address, size, value):
        super().check_store(address, size, value)
        width = 1 << (self.registers[self.CONTROL] >> 8 & 3)
        if size != width:
            raise Fault(f"a store of {size} bytes, and the width is set to {width}")


class LargeSectors(Sectors):
    SIZES = [32 * K] * 4 + [128 * K] + [256 * K] * 3


class Pages(InOrder, Locked):
    """Pages of one size in two banks; words that follow each other are programmed at once."""

    BASE, SIZE = 0x4002_2000, 0x400
    KEY, STATUS, CONTROL, OPTIONS = 0x08, 0x10, 0x14, 0x20
    PAGE, BANK, BANK_BIT = 4 * K, 1024 * K, 1 << 11
    NUMBER, AT_ONCE = (3, 8), 8
    MASS = 1 << 2 | 1 << 15
    # KB of flash.
    OTHERS = {0x1FFF_75E0: 2048}
    # Two banks, as delivered.
    RESET = {0x14: 0xC000_0000, 0x20: 0xFFEF_F8AA}

    def control(self, value):
        self.check_whole()
        if value & START:
            shift, bits = self.NUMBER
            if value & SER:
                number = value >> shift & ((1 << bits) - 1)
                bank = self.BANK if value & self.BANK_BIT else 0
                self.memory.erase(FLASH + bank + number * self.PAGE, self.PAGE)
            elif value & self.MASS:
                self.memory.erase_all()
            else:
                raise Fault("flash is erased, and nothing is chosen")
        self.registers[self.CONTROL] = value & ~START

    def is_programming(self):
        return bool(self.registers[self.CONTROL] & PG)


class SmallPages(Pages):
    """The same with pages of 2 KB."""

    PAGE, BANK, BANK_BIT = 2 * K, 256 * K, 1 << 13
    NUMBER = 3, 10
    # Which chip it is, and KB of flash.
    OTHERS = {0x4001_5800: 0x467, 0x1FFF_75E0: 512}


class SecurePages(Pages):
    """Pages of 8 KB, and four words at once; the registers of whom TrustZone, which is off, would
    call non-secure."""

    KEY, STATUS, CONTROL, OPTIONS = 0x08, 0x20, 0x28, 0x40
    RESET = {0x28: 0xC000_0000, 0x40: 0x1FEF_F8AA}
    PAGE, NUMBER, AT_ONCE = 8 * K, (3, 7), 16
    # KB of flash.
    OTHERS = {0x0BFA_07A0: 2048}


class Banks(InOrder):
    """Two banks with registers and keys of their own (RM0433, STM32H743); eight words at once."""

    BASE, SIZE = 0x5200_2000, 0x400
    KEY, CONTROL, NEXT_BANK, LOCK = 0x04, 0x0C, 0x100, 1
    RESET = {0x0C: 0x31, 0x10C: 0x31, 0x18: 0x01C6_AAD0, 0x1C: 0x01C6_AAD0}
    PG, SER, BER = 1 << 1, 1 << 2, 1 << 3
    START, NUMBER = 1 << 7, (8, 3)
    BANK, PAGE, AT_ONCE = 1024 * K, 128 * K, 32
    # Of the clocks' registers.
    OTHERS = {0x5802_4594: 0}

    def __init__(self, memory):
        super().__init__(memory)
        self.keys = {bank: Keys("bank") for bank in (0, self.NEXT_BANK)}

    def write(self, offset, value):
        bank = offset & self.NEXT_BANK
        held = self.registers.get(self.CONTROL + bank, 0)
        if offset == self.KEY + bank:
            if self.keys[bank].take(value):
                self.registers[self.CONTROL + bank] = held & ~self.LOCK
        elif offset == self.CONTROL + bank:
            if held & self.LOCK:
                raise Fault("a bank's control register is written while it is locked")
            if value & self.LOCK:
                self.keys[bank].forget()
            self.control(bank, value)
        else:
            super().write(offset, value)

    def control(self, bank, value):
        self.check_whole()
        if value & self.START:
            origin = FLASH + (self.BANK if bank else 0)
            shift, bits = self.NUMBER
            if value & self.SER:
                number = value >> shift & ((1 << bits) - 1)
                self.memory.erase(origin + number * self.PAGE, self.PAGE)
            elif value & self.BER:
                self.memory.erase(origin, self.BANK)
        self.registers[self.CONTROL + bank] = value & ~self.START

    def is_programming(self):
        banks = (self.registers[self.CONTROL + bank] for bank in self.keys)
        return any(control & self.PG and not control & self.LOCK for control in banks)

    def check_store(self, address, size, value):
        super().check_store(address, size, value)
        bank = self.NEXT_BANK if address >= FLASH + self.BANK else 0
        if not self.registers[self.CONTROL + bank] & self.PG:
            raise Fault(f"{address:#010x} is programmed, and the other bank is open")


class SmallBanks(Banks):
    """The same with sectors of 8 KB and four words at once (RM0455, STM32H7A3). A start with
    nothing chosen, as ST's algorithm has it, does nothing."""

    START, NUMBER = 1 << 5, (6, 7)
    PAGE, AT_ONCE = 8 * K, 16
