"""Nordic's non-volatile memory controllers (product specifications of the nRF52840 and nRF5340,
NVMC; datasheet of the nRF54L15, RRAMC)."""

from cortex_m import Fault

from . import Controller

READY, READYNEXT, CONFIG, ERASEPAGE, ERASEALL = 0x400, 0x408, 0x504, 0x508, 0x50C
RRAM_CONFIG = 0x500
WRITE, ERASE = 1, 2
PAGE = 4096


class Nrf52(Controller):
    BASE, SIZE = 0x4001_E000, 0x1000
    RESET = {READY: 1}
    # The watchdog, which does not run.
    OTHERS = {0x4001_0404: 0}

    def write(self, offset, value):
        super().write(offset, value)
        if offset not in (ERASEPAGE, ERASEALL):
            return
        if self.registers.get(CONFIG) != ERASE:
            raise Fault("flash is erased while erasing is not enabled")
        if offset == ERASEALL:
            self.memory.erase_all()
        elif value % PAGE:
            raise Fault(f"{value:#010x} is no page")
        else:
            self.memory.erase(value, PAGE)

    def is_programming(self):
        return self.registers.get(CONFIG) == WRITE


class Nrf53(Controller):
    """Pages are erased by a store to the first word of one."""

    BASE, SIZE = 0x5003_9000, 0x1000
    RESET = {READY: 1, READYNEXT: 1}
    # Bytes of a page, and pages.
    OTHERS = {0x00FF_0220: PAGE, 0x00FF_0224: 256}

    def check_store(self, address, size, value):
        if self.registers.get(CONFIG) != ERASE:
            super().check_store(address, size, value)
        elif address % PAGE or value != 0xFFFF_FFFF:
            raise Fault(f"a store of {value:#x} to {address:#010x} erases no page")
        else:
            self.memory.erase(address, PAGE)

    def is_programming(self):
        return self.registers.get(CONFIG) == WRITE


class Nrf54l(Controller):
    """RRAM, which is written over without being erased."""

    BASE, SIZE = 0x5004_B000, 0x1000
    WIDTHS = (1, 2, 4)
    RESET = {READY: 1, READYNEXT: 1, RRAM_CONFIG: 0}

    def check_store(self, address, size, value):
        if not self.is_programming():
            raise Fault(f"a store to {address:#010x} while nothing is programmed")

    def is_programming(self):
        return bool(self.registers[RRAM_CONFIG] & WRITE)
