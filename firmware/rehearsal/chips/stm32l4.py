"""ST's STM32L4R5 (reference manual RM0432)."""

from cortex_m import Fault
from serial_port import LowPowerPort
from units.crc import ReversingCrc
from units.watchdog import Iwdg

from . import MHZ, Chip, bits, follow, prescaler

RCC, PWR, FLASH = 0x4002_1000, 0x4000_7000, 0x4002_2000
CR, CFGR, PLLCFGR, APB1RSTR1, APB1ENR1, CCIPR, BDCR, CSR, CRRCR = (
    RCC + at for at in (0x00, 0x08, 0x0C, 0x38, 0x58, 0x88, 0x90, 0x94, 0x98)
)
PWR_CR1, PWR_CR5 = PWR, PWR + 0x80
ACR, OPTR = FLASH, FLASH + 0x20
POWER = 1 << 28
NO_BOOST = 1 << 8
DBGMCU = 0xE004_2000
# Data sheet DS12023, the internal oscillator of 32 kHz.
LSI_RANGE = 29_500, 34_000
PWR_RESET = {PWR_CR1: 0x200, PWR_CR5: NO_BOOST}


class Stm32l4(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M4", 0x410F_C241
    MEMORIES = [(0x0800_0000, 2 << 20, b"\xff"), (0x2000_0000, 0xA_0000, b"\xa5")]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    UART = 0x4000_8000, LowPowerPort
    # Flash in two banks, as delivered.
    RESET = {CR: 0x63, ACR: 0x600, OPTR: 0xFFEF_F8AA, **PWR_RESET}
    BLOCKS = [
        (
            RCC,
            "RCC",
            {
                0x00: "CR",
                0x08: "CFGR",
                0x0C: "PLLCFGR",
                0x28: "AHB1RSTR",
                0x38: "APB1RSTR1",
                0x3C: "APB1RSTR2",
                0x40: "APB2RSTR",
                0x48: "AHB1ENR",
                0x4C: "AHB2ENR",
                0x58: "APB1ENR1",
                0x5C: "APB1ENR2",
                0x60: "APB2ENR",
                0x88: "CCIPR",
                0x90: "BDCR",
                0x94: "CSR",
                0x98: "CRRCR",
            },
        ),
        (PWR, "PWR", {0x00: "CR1", 0x04: "CR2", 0x80: "CR5"}),
        (FLASH, "FLASH", {0x00: "ACR"}),
        (0x4000_8000, "LPUART1", {0x00: "CR1", 0x04: "CR2", 0x08: "CR3", 0x0C: "BRR"}),
        (0x4800_1400, "GPIOF", {0x00: "MODER", 0x08: "OSPEEDR", 0x18: "BSRR"}),
        (0x4800_1800, "GPIOG", {0x00: "MODER", 0x08: "OSPEEDR", 0x24: "AFRH"}),
        (DBGMCU, "DBGMCU", {0x04: "CR", 0x08: "APB1FZR1"}),
    ]

    def make_units(self):
        return [
            ReversingCrc(0x4002_3000, (RCC + 0x48, 1 << 12)),
            Iwdg(
                0x4000_3000, (DBGMCU + 8, 1 << 12), (CSR, 1 << 29, 1 << 23), LSI_RANGE
            ),
        ]

    def read(self, registers, word, held):
        match word:
            case 0x4002_1000:
                return follow(
                    held, [(0, 1), (8, 10), (16, 17), (24, 25), (26, 27), (28, 29)]
                )
            case 0x4002_1008:
                return held & ~0xC | bits(held, 0, 2) << 2
            case 0x4002_1090 | 0x4002_1094 | 0x4002_1098:
                return follow(held, [(0, 1)])
        return held

    def write(self, registers, word, held, new):
        if PWR <= word < PWR + 0x400 and not registers.get(APB1ENR1, 0) & POWER:
            raise Fault("the power controller is written without its clock")
        if word == APB1RSTR1 and new & ~held & POWER:
            registers.update(PWR_RESET)
            return ["the power controller is reset"]
        # RM0432, 5.1.8: the bus clock is halved while the core's rises above 80 MHz.
        switches = word == CFGR and bits(held, 0, 2) != bits(new, 0, 2)
        in_one_step = prescaler(bits(new, 4, 4)) == 1
        if switches and in_one_step and self._sysclk(registers) > 80 * MHZ:
            raise Fault("the clock rises above 80 MHz in one step")
        return []

    def check(self, registers):
        core, wait_states = self._core(registers), bits(registers[ACR], 0, 4)
        # RM0432, table 12.
        if bits(registers[PWR_CR1], 9, 2) == 2:
            name, step, highest = "range 2", 8, 26
        elif registers[PWR_CR5] & NO_BOOST:
            name, step, highest = "range 1 without boost", 16, 80
        else:
            name, step, highest = "range 1 with boost", 20, 120
        limit = min(step * (wait_states + 1), highest) * MHZ
        if core > limit:
            raise Fault(
                f"the core runs at {core / MHZ:g} MHz; voltage {name} and {wait_states} wait "
                f"states allow {limit / MHZ:g} MHz"
            )

    def _sysclk(self, registers):
        pll = registers.get(PLLCFGR, 0)
        sources = {0: 0, 1: 4 * MHZ, 2: 16 * MHZ, 3: 8 * MHZ}
        vco = sources[bits(pll, 0, 2)] * bits(pll, 8, 7) // (bits(pll, 4, 4) + 1)
        of_pll = vco // (2 * bits(pll, 25, 2) + 2) if bits(pll, 24, 1) else 0
        switch = bits(registers.get(CFGR, 0), 0, 2)
        return [4 * MHZ, 16 * MHZ, 8 * MHZ, of_pll][switch]

    def uart_hz(self, registers):
        select = bits(registers.get(CCIPR, 0), 10, 2)
        return [self._core(registers), self._sysclk(registers), 16 * MHZ, 32_768][
            select
        ]

    def _core(self, registers):
        return self._sysclk(registers) // prescaler(bits(registers.get(CFGR, 0), 4, 4))

    def state(self, registers):
        acr = registers[ACR]
        switch = bits(registers.get(CFGR, 0), 0, 2)
        return {
            "core_hz": self._core(registers),
            "clocked by": ["MSI", "HSI", "HSE", "PLL"][switch],
            "flash_wait_states": bits(acr, 0, 4),
            "flash_cache": bits(acr, 9, 2) == 3,
            "prefetch": bool(bits(acr, 8, 1)),
            "boost": not registers[PWR_CR5] & NO_BOOST,
            "dual_bank": bool(bits(registers[OPTR], 22, 1)),
            "crystal": bits(registers.get(PLLCFGR, 0), 0, 2) == 3,
        }
