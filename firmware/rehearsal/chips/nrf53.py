"""The application core of Nordic's nRF5340 (product specification 1.3)."""

from cortex_m import Fault
from units.watchdog import NordicWdt

from . import MHZ, Chip

CLOCK, CACHE, CTRLAP, NVMC = 0x5000_5000, 0x5000_1000, 0x5000_6000, 0x5003_9000
HFCLKSTART, HFCLKSTARTED = CLOCK, CLOCK + 0x100
LFCLKSTART, LFCLKSTARTED = CLOCK + 0x008, CLOCK + 0x104
HFCLKCTRL = CLOCK + 0x558
ENABLE, MODE = CACHE + 0x500, CACHE + 0x514
READY, READYNEXT, CONFIG = (NVMC + at for at in (0x400, 0x408, 0x504))


class Nrf53(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M33", 0x410F_D212
    MEMORIES = [
        (0, 1 << 20, b"\xff"),
        (0x00FF_0000, 0x1_0000, b"\xff"),
        (0x2000_0000, 0x8_0000, b"\xa5"),
    ]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    HAS_STACK_LIMIT = True
    # At 64 MHz, half of what it can.
    RESET = {READY: 1, READYNEXT: 1, HFCLKCTRL: 1}
    BLOCKS = [
        (CACHE + 0x400, "CACHE", {0x100: "ENABLE", 0x104: "INVALIDATE", 0x114: "MODE"}),
        (
            CLOCK,
            "CLOCK",
            {
                0x000: "TASKS_HFCLKSTART",
                0x008: "TASKS_LFCLKSTART",
                0x00C: "TASKS_LFCLKSTOP",
                0x100: "EVENTS_HFCLKSTARTED",
                0x104: "EVENTS_LFCLKSTARTED",
            },
        ),
        (
            CLOCK + 0x400,
            "CLOCK",
            {0x000: "RESETREAS", 0x118: "LFCLKSRC", 0x158: "HFCLKCTRL"},
        ),
        (
            CTRLAP + 0x400,
            "CTRLAP",
            {0x144: "APPROTECT.DISABLE", 0x14C: "SECUREAPPROTECT.DISABLE"},
        ),
        (NVMC + 0x400, "NVMC", {0x104: "CONFIG"}),
        (0x5084_2800, "P1", {0x00C: "OUTCLR", 0x224: "PIN_CNF[9]"}),
    ]

    def make_units(self):
        return [NordicWdt(0x5001_8000, (CLOCK + 0x400, 1 << 1))]

    def read(self, registers, word, held):
        # An event happens when its task was started and the event was cleared.
        if word == HFCLKSTARTED:
            return registers.get(HFCLKSTART, 0)
        if word == LFCLKSTARTED:
            return registers.get(LFCLKSTART, 0)
        return held

    def check(self, registers):
        is_cached = registers.get(ENABLE, 0) & 1
        if registers.get(CONFIG, 0) and is_cached:
            raise Fault("flash is opened for writing while its cache is on")
        if registers.get(MODE, 0) & 1 and is_cached:
            raise Fault("the cache is switched on as RAM")

    def state(self, registers):
        return {
            "core_hz": 128 * MHZ >> (registers[HFCLKCTRL] & 3),
            # The product specification gives none, and no register says so.
            "flash_wait_states": None,
            "flash_cache": bool(registers.get(ENABLE, 0) & 1),
            "boost": None,
            "dual_bank": None,
            "crystal": bool(registers.get(HFCLKSTART, 0)),
        }
