"""Raspberry Pi's RP2040 and RP2350 (their data sheets), as the boot ROM leaves them: the core
on the ring oscillator, the serial flash mapped, its cache on."""

from cortex_m import Fault
from units.crc import Rp2Dma
from units.watchdog import Rp2Watchdog

from . import MHZ, Chip, bits

CRYSTAL = 12 * MHZ
RING = 6_500_000
# Addresses that toggle, set or clear bits of the register 0x1000 to 0x3000 below.
ALIASES = 0x3000


class Rp2(Chip):
    KEEPS_CAUSE = True
    # Bases of the blocks, and the reset bit of the PLL, of each chip.
    RESETS = CLOCKS = XOSC = PLL = IO = PADS = XIP = 0
    PLL_RESET = HIGHEST_MHZ = 0
    # Of the watchdog: its own registers, those of what it resets, all parts of that and the
    # oscillators, what divides its clock if that is not its own, and what it counts at once.
    WATCHDOG = PSM = PSM_PARTS = PSM_OSCILLATORS = TICKS = COUNTS = 0

    def __init__(self, board):
        super().__init__(board)
        names = {0: "CS", 4: "PWR", 8: "FBDIV_INT", 12: "PRIM"}
        self.BLOCKS = [
            (self.RESETS, "RESETS", {0: "RESET"}),
            (self.CLOCKS, "CLOCKS", {0x30: "CLK_REF_CTRL", 0x3C: "CLK_SYS_CTRL"}),
            (self.XOSC, "XOSC", {0: "CTRL", 0x0C: "STARTUP"}),
            (self.PLL, "PLL_SYS", names),
            (self.IO, "IO_BANK0", {0xB4: "GPIO22_CTRL"}),
            (self.PADS, "PADS_BANK0", {0x5C: "GPIO22"}),
            (self.PSM, "PSM", {8: "WDSEL"}),
            (0xD000_0000, "SIO", {0x24: "GPIO_OE_SET", 0x38: "GPIO_OE_SET"}),
        ]
        # The boot ROM has powered the PLL down and held nearly everything in reset.
        self.RESET = {
            self.RESETS: 0x1FFF_FFFF,
            self.PLL: 1,
            self.PLL + 4: 0x2D,
            self.XIP: 3,
        }

    def make_units(self):
        return [
            Rp2Dma(self.RESETS, isinstance(self, Rp2350)),
            Rp2Watchdog(self.WATCHDOG, self),
        ]

    def home(self, word):
        return word & ~ALIASES if 0x4000_0000 <= word < 0x4020_0000 else word

    def name(self, word):
        return super().name(self.home(word))

    def written(self, _registers, word, held, new):
        operation = (word & ALIASES) >> 12 if self.home(word) != word else 0
        return [new, held ^ new, held | new, held & ~new][operation]

    def read(self, registers, word, held):
        home = self.home(word)
        held = registers.get(home, 0)
        if home == self.RESETS + 8:
            return ~registers[self.RESETS] & 0x1FFF_FFFF
        if home == self.CLOCKS + 0x38:
            return 1 << (registers.get(self.CLOCKS + 0x30, 0) & 3)
        if home == self.CLOCKS + 0x44:
            return 1 << (registers.get(self.CLOCKS + 0x3C, 0) & 1)
        if home == self.XOSC + 4:
            return 1 << 31 if bits(registers.get(self.XOSC, 0), 12, 12) == 0xFAB else 0
        if home == self.PLL:
            # Locked when neither the whole nor its oscillator is powered down.
            return held & ~(1 << 31) | (not registers[self.PLL + 4] & 0x21) << 31
        return held

    def write(self, registers, word, held, new):
        home = self.home(word)
        if (
            self.PLL <= home < self.PLL + 0x10
            and registers[self.RESETS] & self.PLL_RESET
        ):
            raise Fault("the PLL is written while it is held in reset")
        if home == self.RESETS and new & ~held & self.PLL_RESET:
            registers.update(
                {self.PLL: 1, self.PLL + 4: 0x2D, self.PLL + 8: 0, self.PLL + 12: 0}
            )
        return []

    def check(self, registers):
        core, vco = self._core(registers), self._vco(registers)
        if core > self.HIGHEST_MHZ * MHZ:
            raise Fault(
                f"the core runs at {core / MHZ:g} MHz; at most {self.HIGHEST_MHZ} MHz"
            )
        if self._is_on_pll(registers):
            if (
                registers[self.RESETS] & self.PLL_RESET
                or registers[self.PLL + 4] & 0x29
            ):
                raise Fault("the core is clocked by a PLL that is not on")
            if not 750 * MHZ <= vco <= 1600 * MHZ:
                raise Fault(
                    f"the PLL's oscillator runs at {vco / MHZ:g} MHz, not 750 to 1600 MHz"
                )

    def _is_on_pll(self, registers):
        control = registers.get(self.CLOCKS + 0x3C, 0)
        return control & 1 and bits(control, 5, 3) == 0

    def _vco(self, registers):
        divider = max(registers.get(self.PLL, 1) & 0x3F, 1)
        return CRYSTAL // divider * registers.get(self.PLL + 8, 0)

    def reference_hz(self, registers):
        return CRYSTAL if registers.get(self.CLOCKS + 0x30, 0) & 3 == 2 else RING

    def _core(self, registers):
        if self._is_on_pll(registers):
            prim = registers.get(self.PLL + 12, 0)
            return self._vco(registers) // max(bits(prim, 16, 3) * bits(prim, 12, 3), 1)
        return self.reference_hz(registers)

    def state(self, registers):
        return {
            "core_hz": self._core(registers),
            "clocked by": "PLL" if self._is_on_pll(registers) else "oscillator",
            "flash_wait_states": None,
            "flash_cache": bool(registers[self.XIP] & 1),
            "boost": None,
            "dual_bank": None,
            "crystal": registers.get(self.CLOCKS + 0x30, 0) & 3 == 2,
        }


class Rp2040(Rp2):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M0", 0x410C_C601
    MEMORIES = [(0x1000_0000, 2 << 20, b"\xff"), (0x2000_0000, 0x4_2000, b"\xa5")]
    WINDOWS = [
        (0x4000_0000, 0x1000_0000),
        (0x1400_0000, 0x1000),
        (0x5000_0000, 0x1000),
        (0xD000_0000, 0x1_0000),
    ]
    RESETS, CLOCKS, XOSC, PLL = 0x4000_C000, 0x4000_8000, 0x4002_4000, 0x4002_8000
    IO, PADS, XIP = 0x4001_4000, 0x4001_C000, 0x1400_0000
    PLL_RESET, HIGHEST_MHZ = 1 << 12, 133
    WATCHDOG, PSM, PSM_PARTS, PSM_OSCILLATORS = 0x4005_8000, 0x4001_0000, 0x1_FFFF, 0b11
    # Erratum RP2040-E1.
    COUNTS = 2


class Rp2350(Rp2):
    HAS_STACK_LIMIT = True
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M33", 0x411F_D210
    MEMORIES = [(0x1000_0000, 4 << 20, b"\xff"), (0x2000_0000, 0x8_2000, b"\xa5")]
    WINDOWS = [
        (0x4000_0000, 0x1000_0000),
        (0x5000_0000, 0x1000),
        (0xD000_0000, 0x1_0000),
    ]
    RESETS, CLOCKS, XOSC, PLL = 0x4002_0000, 0x4001_0000, 0x4004_8000, 0x4005_0000
    IO, PADS, XIP = 0x4002_8000, 0x4003_8000, 0x400C_8000
    PLL_RESET, HIGHEST_MHZ = 1 << 14, 150
    WATCHDOG, PSM, TICKS = 0x400D_8000, 0x4001_8000, 0x4010_8000
    PSM_PARTS, PSM_OSCILLATORS, COUNTS = 0x1FF_FFFF, 0b1100, 1
