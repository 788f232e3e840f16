"""Nordic's nRF52840 (product specification 1.11)."""

from cortex_m import Fault
from units.watchdog import NordicWdt

from . import MHZ, Chip

CLOCK, NVMC = 0x4000_0000, 0x4001_E000
HFCLKSTART, HFCLKSTARTED = CLOCK, CLOCK + 0x100
LFCLKSTART, LFCLKSTARTED = CLOCK + 0x008, CLOCK + 0x104
READY, READYNEXT, CONFIG, ICACHECNF = (NVMC + at for at in (0x400, 0x408, 0x504, 0x540))


class Nrf52(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M4", 0x410F_C241
    MEMORIES = [
        (0, 1 << 20, b"\xff"),
        (0x1000_0000, 0x2000, b"\xff"),
        (0x2000_0000, 0x4_0000, b"\xa5"),
    ]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    RESET = {READY: 1, READYNEXT: 1}
    BLOCKS = [
        (
            CLOCK,
            "CLOCK",
            {
                0x000: "TASKS_HFCLKSTART",
                0x008: "TASKS_LFCLKSTART",
                0x100: "EVENTS_HFCLKSTARTED",
                0x104: "EVENTS_LFCLKSTARTED",
            },
        ),
        (
            CLOCK + 0x400,
            "CLOCK",
            {0x000: "RESETREAS", 0x118: "LFCLKSRC", 0x158: "APPROTECT.DISABLE"},
        ),
        (NVMC + 0x400, "NVMC", {0x104: "CONFIG", 0x140: "ICACHECNF"}),
        (0x5000_0800, "P1", {0x00C: "OUTCLR", 0x220: "PIN_CNF[8]"}),
    ]

    def make_units(self):
        return [NordicWdt(0x4001_0000, (CLOCK + 0x400, 1 << 1))]

    def is_traced(self, word, unit=None):
        # The grounding of unused protection units at start is one register after another.
        return super().is_traced(word, unit) and not 0x4000_C500 <= word < 0x4000_C600

    def read(self, registers, word, held):
        # An event happens when its task was started and the event was cleared.
        if word == HFCLKSTARTED:
            return registers.get(HFCLKSTART, 0)
        if word == LFCLKSTARTED:
            return registers.get(LFCLKSTART, 0)
        return held

    def check(self, registers):
        if registers.get(CONFIG, 0) and registers.get(ICACHECNF, 0) & 1:
            raise Fault("flash is opened for writing while its cache is on")

    def state(self, registers):
        return {
            "core_hz": 64 * MHZ,
            # On a miss of the cache (product specification, 4.3); no register says so.
            "flash_wait_states": 2,
            "flash_cache": bool(registers.get(ICACHECNF, 0) & 1),
            "boost": None,
            "dual_bank": None,
            "crystal": bool(registers.get(HFCLKSTART, 0)),
        }
