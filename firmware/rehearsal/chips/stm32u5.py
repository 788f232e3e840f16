"""ST's STM32U575 (reference manual RM0456), without TrustZone, as delivered."""

from cortex_m import Fault
from serial_port import SerialPort
from units.crc import ReversingCrc
from units.watchdog import Iwdg

from . import MHZ, Chip, bits, follow, prescaler

RCC, PWR, FLASH, ICACHE = 0x4602_0C00, 0x4602_0800, 0x4002_2000, 0x4003_0400
CR, CFGR1, CFGR2, PLL1CFGR, PLL1DIVR, AHB3ENR, BDCR = (
    RCC + at for at in (0x00, 0x1C, 0x20, 0x28, 0x34, 0x94, 0xF0)
)
VOSR, SVMSR = PWR + 0x0C, PWR + 0x3C
ACR = FLASH
DBGMCU = 0xE004_4000
# Data sheet DS13737, the internal oscillator of 32 kHz.
LSI_RANGE = 30_400, 33_600
POWER, BOOST, PLL1 = 1 << 2, 1 << 18, 1 << 24
# RM0456, table 54, in MHz: most for each number of wait states, by the voltage range.
FLASH_LIMITS = {
    1: [32, 64, 96, 128, 160],
    2: [30, 60, 90, 110],
    3: [24, 48, 55],
    4: [12, 25],
}
GPIO = {0x00: "MODER", 0x04: "OTYPER", 0x08: "OSPEEDR", 0x0C: "PUPDR", 0x18: "BSRR"}


class Stm32u5(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M33", 0x410F_D214
    MEMORIES = [(0x0800_0000, 2 << 20, b"\xff"), (0x2000_0000, 0xC_0000, b"\xa5")]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    HAS_STACK_LIMIT = True
    UART = 0x4001_3800, SerialPort
    # At 4 MHz in voltage range 4.
    RESET = {CR: 0x35, VOSR: 0x8000, ACR: 0}
    BLOCKS = [
        (
            RCC,
            "RCC",
            {
                0x00: "CR",
                0x08: "ICSCR1",
                0x1C: "CFGR1",
                0x20: "CFGR2",
                0x24: "CFGR3",
                0x28: "PLL1CFGR",
                0x34: "PLL1DIVR",
                0x60: "AHB1RSTR",
                0x6C: "AHB3RSTR",
                0x7C: "APB2RSTR",
                0x80: "APB3RSTR",
                0x88: "AHB1ENR",
                0x8C: "AHB2ENR1",
                0x94: "AHB3ENR",
                0xA4: "APB2ENR",
                0xA8: "APB3ENR",
                0xE0: "CCIPR1",
                0xE4: "CCIPR2",
                0xE8: "CCIPR3",
                0xF0: "BDCR",
                0xF4: "CSR",
            },
        ),
        (
            PWR,
            "PWR",
            {
                0x0C: "VOSR",
                0x10: "SVMCR",
                0x20: "BDCR1",
                0x28: "DBPR",
                0x2C: "UCPDR",
            },
        ),
        (FLASH, "FLASH", {0x00: "ACR"}),
        (ICACHE, "ICACHE", {0x00: "CR"}),
        (0x4001_3800, "USART1", {0x00: "CR1", 0x04: "CR2", 0x08: "CR3", 0x0C: "BRR"}),
        (0x4202_0000, "GPIOA", GPIO | {0x24: "AFRH"}),
        (0x4202_1400, "GPIOF", GPIO),
        (DBGMCU, "DBGMCU", {0x04: "CR", 0x08: "APB1LFZR"}),
    ]

    def make_units(self):
        flag = RCC + 0xF4, 1 << 29, 1 << 23
        return [
            ReversingCrc(0x4002_3000, (RCC + 0x88, 1 << 12)),
            Iwdg(0x4000_3000, (DBGMCU + 8, 1 << 12), flag, LSI_RANGE, 1024),
        ]

    def read(self, registers, word, held):
        match word:
            case 0x4602_0C00:
                pairs = [(0, 2), (4, 5), (8, 10), (12, 13), (14, 15)]
                pairs += [(16, 17), (24, 25), (26, 27), (28, 29)]
                return follow(held, pairs)
            case 0x4602_0C1C:
                return held & ~0xC | bits(held, 0, 2) << 2
            case 0x4602_0CF0:
                return follow(held, [(0, 1), (26, 27)])
            case 0x4602_080C:
                # The booster is ready if it has a clock: the PLL's source.
                has_clock = bits(registers.get(PLL1CFGR, 0), 0, 2)
                is_ready = bits(held, 18, 1) and has_clock
                return held & ~(1 << 14) | 1 << 15 | (1 << 14 if is_ready else 0)
        return held

    def written(self, registers, word, held, new):
        # The analog supplies that are asked for are there.
        if word == PWR + 0x10:
            registers[SVMSR] = new
        return new

    def write(self, registers, word, held, new):
        if PWR <= word < PWR + 0x400 and not registers.get(AHB3ENR, 0) & POWER:
            raise Fault("the power controller is written without its clock")
        if word in (PLL1CFGR, PLL1DIVR) and held != new and registers[CR] & PLL1:
            raise Fault("the PLL is changed while it is on")
        # RM0456, 10.5.4: from 4 to 16 MHz.
        if word == VOSR and new & ~held & BOOST:
            pll = registers.get(PLL1CFGR, 0)
            divide = max(2 * bits(pll, 12, 4), 1)
            clock = self._source(pll) // divide
            if not 4 * MHZ <= clock <= 16 * MHZ:
                raise Fault(
                    f"the booster's clock is {clock / MHZ:g} MHz, not 4 to 16 MHz"
                )
        return []

    def check(self, registers):
        core, wait_states = self.core_hz(registers), bits(registers[ACR], 0, 4)
        voltage = self._range(registers)
        limits = FLASH_LIMITS[voltage]
        limit = limits[min(wait_states, len(limits) - 1)]
        has_boost = bool(registers[VOSR] & BOOST)
        if not has_boost:
            limit = min(limit, 55)
        if core > limit * MHZ:
            raise Fault(
                f"the core runs at {core / MHZ:g} MHz; voltage range {voltage} "
                f"{'with' if has_boost else 'without'} booster and {wait_states} wait states "
                f"allow {limit} MHz"
            )

    @staticmethod
    def _range(registers):
        return 4 - bits(registers[VOSR], 16, 2)

    @staticmethod
    def _source(pll):
        return [0, 4 * MHZ, 16 * MHZ, 8 * MHZ][bits(pll, 0, 2)]

    def core_hz(self, registers):
        pll, divide = registers.get(PLL1CFGR, 0), registers.get(PLL1DIVR, 0)
        vco = self._source(pll) // (bits(pll, 8, 4) + 1) * (bits(divide, 0, 9) + 1)
        of_pll = vco // (bits(divide, 24, 7) + 1) if bits(pll, 18, 1) else 0
        switch = bits(registers.get(CFGR1, 0), 0, 2)
        sysclk = [4 * MHZ, 16 * MHZ, 8 * MHZ, of_pll][switch]
        return sysclk // prescaler(bits(registers.get(CFGR2, 0), 0, 4))

    def uart_hz(self, registers):
        # The bus is not divided, and the port takes the bus's clock.
        return self.core_hz(registers)

    def state(self, registers):
        switch = bits(registers.get(CFGR1, 0), 0, 2)
        return {
            "core_hz": self.core_hz(registers),
            "clocked by": ["MSI", "HSI", "HSE", "PLL"][switch],
            "flash_wait_states": bits(registers[ACR], 0, 4),
            "flash_cache": bool(registers.get(ICACHE, 0) & 1),
            "prefetch": bool(bits(registers[ACR], 8, 1)),
            "voltage range": self._range(registers),
            "boost": bool(registers[VOSR] & BOOST),
            "dual_bank": None,
            "crystal": bits(registers.get(PLL1CFGR, 0), 0, 2) == 3,
        }
