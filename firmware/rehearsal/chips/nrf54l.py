"""Nordic's nRF54L15 (datasheet 1.0)."""

from cortex_m import Fault
from units.watchdog import NordicWdt

from . import MHZ, Chip

SPU, RRAMC, VPR, TAMPC, CLOCK, OSCILLATORS, CACHE = (
    0x5004_0000,
    0x5004_B000,
    0x5004_C000,
    0x500D_C000,
    0x5010_E000,
    0x5012_0000,
    0xE008_2000,
)
XOSTART, XOSTARTED = CLOCK, CLOCK + 0x100
LFCLKSTART, LFCLKSTARTED = CLOCK + 0x010, CLOCK + 0x108
FREQ, CURRENTFREQ = OSCILLATORS + 0x800, OSCILLATORS + 0x804
ENABLE, CONFIG = CACHE + 0x404, RRAMC + 0x500
# Values of FREQ.
CLOCKS = {1: 128, 3: 64}


class Nrf54l(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M33", 0x411F_D210
    MEMORIES = [
        (0, 0x17_D000, b"\xff"),
        (0x00FF_C000, 0x2000, b"\xff"),
        (0x2000_0000, 0x4_0000, b"\xa5"),
    ]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    HAS_STACK_LIMIT = True
    # At 64 MHz, half of what it can.
    RESET = {FREQ: 3}
    BLOCKS = [
        (SPU + 0x400, "SPU00", {0x130: "PERIPH[12].PERM"}),
        (RRAMC + 0x400, "GLITCHDET", {0x1A0: "CONFIG"}),
        (VPR + 0x400, "VPR00", {0x040: "DEBUGIF.DMCONTROL"}),
        (VPR + 0x800, "VPR00", {0x000: "CPURUN"}),
        (
            CLOCK,
            "CLOCK",
            {
                0x000: "TASKS_XOSTART",
                0x010: "TASKS_LFCLKSTART",
                0x100: "EVENTS_XOSTARTED",
                0x108: "EVENTS_LFCLKSTARTED",
            },
        ),
        (CLOCK + 0x400, "CLOCK", {0x200: "RESETREAS", 0x040: "LFCLK.SRC"}),
        (OSCILLATORS + 0x400, "REGULATORS", {0x200: "VREGMAIN.DCDCEN"}),
        (OSCILLATORS + 0x800, "OSCILLATORS", {0x000: "PLL.FREQ"}),
        (
            TAMPC + 0x400,
            "TAMPC",
            {
                0x100: "DBGEN.CTRL",
                0x108: "NIDEN.CTRL",
                0x110: "SPIDEN.CTRL",
                0x118: "SPNIDEN.CTRL",
            },
        ),
        (CACHE + 0x400, "ICACHE", {0x004: "ENABLE"}),
        (0x500D_8200, "P1", {0x008: "OUTCLR", 0x0AC: "PIN_CNF[11]"}),
    ]

    def make_units(self):
        return [NordicWdt(0x5010_9000, (CLOCK + 0x600, 1 << 2))]

    def read(self, registers, word, held):
        # An event happens when its task was started and the event was cleared.
        if word == XOSTARTED:
            return registers.get(XOSTART, 0)
        if word == LFCLKSTARTED:
            return registers.get(LFCLKSTART, 0)
        if word == CURRENTFREQ:
            return registers[FREQ]
        return held

    def check(self, registers):
        if registers[FREQ] not in CLOCKS:
            raise Fault(f"the PLL has no frequency {registers[FREQ]}")
        if registers.get(CONFIG, 0) & 1 and registers.get(ENABLE, 0) & 1:
            raise Fault("RRAM is opened for writing while its cache is on")

    def state(self, registers):
        return {
            "core_hz": CLOCKS[registers[FREQ]] * MHZ,
            # The datasheet gives none, and no register says so.
            "flash_wait_states": None,
            "flash_cache": bool(registers.get(ENABLE, 0) & 1),
            "boost": None,
            "dual_bank": None,
            "crystal": bool(registers.get(XOSTART, 0)),
        }
