"""ST's STM32N657 (reference manual RM0486), as its boot ROM leaves it in the worst case: core
and buses on the PLL, which is set up as the firmware wants it."""

from cortex_m import Fault
from units.crc import ReversingCrc
from units.watchdog import Iwdg

from . import MHZ, Chip, bits

RCC, PWR = 0x4602_8000, 0x4602_4800
CR, SR, CFGR1, PLL1CFGR1, PLL1CFGR3, IC1CFGR, IC2CFGR = (
    RCC + at for at in (0x00, 0x04, 0x20, 0x80, 0x88, 0xC4, 0xC8)
)
DBGMCU = 0x4400_1000
# The internal oscillator of 32 kHz, with more tolerance than other chips' have.
LSI_RANGE = 29_000, 35_000
# Registers whose bits set, or clear, those of another.
SET, CLEAR = 0x800, 0x1000
HSI, PLL1 = 1 << 3, 1 << 8
ON_PLL = 3 << 24 | 3 << 16


class Stm32n6(Chip):
    # Unicorn has no Cortex-M55; this core lacks its vector extension.
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M33", 0x411F_D221
    INFERS = False
    HAS_STACK_LIMIT = True
    TIGHTLY_COUPLED = [(0x3000_0000, 0x2_0000)]
    MEMORIES = [(0x3400_0000, 4 << 20, b"\xa5"), (0x3000_0000, 0x4_0000, b"\xa5")]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    RESET = {
        CR: HSI | PLL1,
        CFGR1: ON_PLL,
        PLL1CFGR1: 0x0040_4B00,
        PLL1CFGR3: 0x4900_0004,
    }
    BLOCKS = [
        (
            RCC,
            "RCC",
            {
                0x20: "CFGR1",
                0x24: "CFGR2",
                0x34: "RSR",
                0x48: "HSICFGR",
                0x54: "HSECFGR",
                0x80: "PLL1CFGR1",
                0x84: "PLL1CFGR2",
                0x88: "PLL1CFGR3",
                0x90: "PLL2CFGR1",
                0xA0: "PLL3CFGR1",
                0xB0: "PLL4CFGR1",
                0xC4: "IC1CFGR",
                0xC8: "IC2CFGR",
                0xD8: "IC6CFGR",
                0xEC: "IC11CFGR",
            },
        ),
        (RCC + SET, "RCC", {0x00: "CSR", 0x240: "DIVENSR", 0x248: "BUSENSR"}),
        (RCC + CLEAR, "RCC", {0x00: "CCR"}),
        (PWR, "PWR", {0x00: "CR1", 0x34: "SVMCR1", 0x38: "SVMCR2", 0x3C: "SVMCR3"}),
        (
            0x4602_1800,
            "GPIOG",
            {0x00: "MODER", 0x04: "OTYPER", 0x08: "OSPEEDR", 0x18: "BSRR"},
        ),
        (DBGMCU, "DBGMCU", {0x04: "CR", 0x1C: "APB4FZ1"}),
    ]

    def make_units(self):
        flag = RCC + 0x34, 1 << 26, 1 << 16
        return [
            ReversingCrc(0x4602_4C00, (RCC + 0x25C, 1 << 19)),
            Iwdg(0x4600_4800, (DBGMCU + 0x1C, 1 << 18), flag, LSI_RANGE, 1024),
        ]

    def home(self, word):
        if RCC + SET <= word < RCC + CLEAR:
            return word - SET
        if RCC + CLEAR <= word < RCC + CLEAR + SET:
            return word - CLEAR
        return word

    def written(self, _registers, word, held, new):
        home = self.home(word)
        return {0: new, SET: held | new, CLEAR: held & ~new}[word - home]

    def read(self, registers, word, held):
        match word:
            case 0x4602_8004:
                return registers[CR]
            case 0x4602_8020:
                # Both switches are where they were told to go.
                return held & ~0x3030_0000 | (held & 0x0303_0000) << 4
            case 0x4602_4820:
                return held | 1 << 17 | 1 << 16 | 1 << 1
            case 0x4602_483C:
                return held | 3 << 16
        return held

    def write(self, registers, word, held, new):
        changed = self.home(word) in (PLL1CFGR1, PLL1CFGR3) and held != new
        if changed and (registers[CFGR1] & ON_PLL):
            raise Fault("the PLL is changed while it clocks the core or the buses")
        if (
            self.home(word) == CR
            and held & PLL1
            and not new & PLL1
            and registers[CFGR1] & ON_PLL
        ):
            raise Fault("the PLL is switched off while it clocks the core or the buses")
        return []

    def check(self, registers):
        core, bus = self._clocks(registers)
        # Data sheet DS14791, without the overdrive of the core's voltage.
        for name, clock, limit in (("the core", core, 600), ("the bus", bus, 400)):
            if clock > limit * MHZ:
                raise Fault(f"{name} runs at {clock / MHZ:g} MHz; at most {limit} MHz")

    def _clocks(self, registers):
        first, third = registers[PLL1CFGR1], registers[PLL1CFGR3]
        vco = 64 * MHZ * bits(first, 8, 12) // max(bits(first, 20, 6), 1)
        of_pll = vco // max(bits(third, 27, 3), 1) // max(bits(third, 24, 3), 1)
        # As the boot ROM has set the dividers.
        reset = {IC1CFGR: 2 << 16, IC2CFGR: 3 << 16}

        def divided(register):
            return of_pll // (bits(registers.get(register, reset[register]), 16, 8) + 1)

        cfgr = registers[CFGR1]
        core = divided(IC1CFGR) if bits(cfgr, 16, 2) == 3 else 64 * MHZ
        bus = divided(IC2CFGR) if bits(cfgr, 24, 2) == 3 else 64 * MHZ
        return core, bus

    def state(self, registers):
        core, bus = self._clocks(registers)
        return {
            "core_hz": core,
            "bus": bus,
            "flash_wait_states": None,
            "flash_cache": False,
            "boost": None,
            "dual_bank": None,
            "crystal": bits(registers[PLL1CFGR1], 28, 3) == 2,
        }
