"""ST's STM32G0B1 (reference manual RM0444)."""

from cortex_m import Fault
from serial_port import SerialPort
from units.crc import ReversingCrc
from units.watchdog import Iwdg

from . import MHZ, Chip, bits, follow, prescaler

RCC, PWR, FLASH = 0x4002_1000, 0x4000_7000, 0x4002_2000
CR, CFGR, PLLCFGR, APBENR1, BDCR, CSR = (
    RCC + at for at in (0x00, 0x08, 0x0C, 0x3C, 0x5C, 0x60)
)
PWR_CR1, ACR = PWR, FLASH
DBG, DBG_CLOCK = 0x4001_5800, 1 << 27
# Data sheet DS13560, the internal oscillator of 32 kHz.
LSI_RANGE = 29_500, 34_000
POWER = 1 << 28
PLL_ON = 1 << 24
# RM0444, table 14, in MHz: most for each number of wait states, by the voltage range.
FLASH_LIMITS = {1: [24, 48, 64], 2: [8, 16]}
GPIO = {0x00: "MODER", 0x04: "OTYPER", 0x08: "OSPEEDR", 0x0C: "PUPDR", 0x18: "BSRR"}


class Stm32g0(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M0", 0x410C_C601
    MEMORIES = [(0x0800_0000, 512 << 10, b"\xff"), (0x2000_0000, 0x2_4000, b"\xa5")]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    UART = 0x4000_4400, SerialPort
    # Voltage range 1; the flash's cache is on.
    RESET = {CR: 0x500, PLLCFGR: 0x1000, PWR_CR1: 0x208, ACR: 0x4_0600}
    BLOCKS = [
        (
            RCC,
            "RCC",
            {
                0x00: "CR",
                0x08: "CFGR",
                0x0C: "PLLCFGR",
                0x28: "AHBRSTR",
                0x2C: "APBRSTR1",
                0x30: "APBRSTR2",
                0x34: "IOPENR",
                0x38: "AHBENR",
                0x3C: "APBENR1",
                0x40: "APBENR2",
                0x54: "CCIPR",
                0x58: "CCIPR2",
                0x5C: "BDCR",
                0x60: "CSR",
            },
        ),
        (PWR, "PWR", {0x00: "CR1", 0x04: "CR2"}),
        (FLASH, "FLASH", {0x00: "ACR"}),
        (0x4000_4400, "USART2", {0x00: "CR1", 0x04: "CR2", 0x08: "CR3", 0x0C: "BRR"}),
        (0x4001_0000, "SYSCFG", {0x00: "CFGR1"}),
        (DBG, "DBG", {0x04: "CR", 0x08: "APB_FZ1"}),
        (0x5000_0000, "GPIOA", GPIO | {0x20: "AFRL", 0x24: "AFRH"}),
    ]

    def make_units(self):
        return [
            ReversingCrc(0x4002_3000, (RCC + 0x38, 1 << 12)),
            Iwdg(0x4000_3000, (DBG + 8, 1 << 12), (CSR, 1 << 29, 1 << 23), LSI_RANGE),
        ]

    def read(self, registers, word, held):
        match word:
            case 0x4002_1000:
                return follow(held, [(8, 10), (16, 17), (22, 23), (24, 25)])
            case 0x4002_1008:
                return held & ~0x38 | bits(held, 0, 3) << 3
            case 0x4002_105C | 0x4002_1060:
                return follow(held, [(0, 1)])
        return held

    def write(self, registers, word, held, new):
        if PWR <= word < PWR + 0x400 and not registers.get(APBENR1, 0) & POWER:
            raise Fault("the power controller is written without its clock")
        if word == DBG + 8 and not registers.get(APBENR1, 0) & DBG_CLOCK:
            raise Fault("what halts with the core is chosen without the block's clock")
        if word == PLLCFGR and (held ^ new) & 0x7F73 and registers[CR] & PLL_ON:
            raise Fault("the PLL is changed while it is on")
        return []

    def check(self, registers):
        core, wait_states = self.core_hz(registers), bits(registers[ACR], 0, 3)
        limits = FLASH_LIMITS[bits(registers[PWR_CR1], 9, 2)]
        limit = limits[min(wait_states, len(limits) - 1)]
        if core > limit * MHZ:
            voltage = bits(registers[PWR_CR1], 9, 2)
            raise Fault(
                f"the core runs at {core / MHZ:g} MHz; voltage range {voltage} and "
                f"{wait_states} wait states allow {limit} MHz"
            )
        # Errata sheet ES0548, 2.2.10.
        if bits(registers[ACR], 8, 1):
            raise Fault("prefetch is on, which fails between the banks of the flash")

    def core_hz(self, registers):
        pll, cfgr = registers[PLLCFGR], registers.get(CFGR, 0)
        source = [0, 0, 16 * MHZ, 8 * MHZ][bits(pll, 0, 2)]
        vco = source // (bits(pll, 4, 3) + 1) * bits(pll, 8, 7)
        of_pll = vco // (bits(pll, 29, 3) + 1) if bits(pll, 28, 1) else 0
        oscillator = 16 * MHZ >> bits(registers[CR], 11, 3)
        sysclk = [oscillator, 8 * MHZ, of_pll][bits(cfgr, 0, 3)]
        return sysclk // prescaler(bits(cfgr, 8, 4))

    def uart_hz(self, registers):
        # The bus is not divided, and the port takes the bus's clock.
        return self.core_hz(registers)

    def state(self, registers):
        acr = registers[ACR]
        return {
            "core_hz": self.core_hz(registers),
            "clocked by": ["HSI", "HSE", "PLL"][bits(registers.get(CFGR, 0), 0, 3)],
            "flash_wait_states": bits(acr, 0, 3),
            "flash_cache": bool(bits(acr, 9, 1)),
            "prefetch": bool(bits(acr, 8, 1)),
            "voltage range": bits(registers[PWR_CR1], 9, 2),
            "boost": None,
            "dual_bank": None,
            "crystal": bits(registers[PLLCFGR], 0, 2) == 3,
        }
