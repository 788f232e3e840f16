"""ST's STM32F746 (reference manual RM0385)."""

from cortex_m import Fault
from serial_port import SerialPort
from units.crc import ReversingCrc
from units.watchdog import Iwdg

from . import MHZ, Chip, bits, follow, prescaler

RCC, PWR, FLASH = 0x4002_3800, 0x4000_7000, 0x4002_3C00
CR, PLLCFGR, CFGR, APB1ENR, BDCR, CSR = (
    RCC + at for at in (0x00, 0x04, 0x08, 0x40, 0x70, 0x74)
)
PWR_CR1, PWR_CSR1 = PWR, PWR + 4
ACR = FLASH
DBGMCU = 0xE004_2000
# Data sheet DS10916, the internal oscillator of 32 kHz; that of an STM32F4 is the same.
LSI_RANGE = 17_000, 47_000
POWER = 1 << 28
OVERDRIVE = 3 << 16
GPIO = {
    0x00: "MODER",
    0x04: "OTYPER",
    0x08: "OSPEEDR",
    0x0C: "PUPDR",
    0x20: "AFRL",
    0x24: "AFRH",
}


def iwdg():
    """The watchdog, as an STM32F4 has it too."""
    flag = CSR, 1 << 29, 1 << 24
    return Iwdg(0x4000_3000, (DBGMCU + 8, 1 << 12), flag, LSI_RANGE)


class Stm32f7(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M7", 0x410F_C271
    MEMORIES = [
        (0x0800_0000, 1 << 20, b"\xff"),
        (0x2000_0000, 0x5_0000, b"\xa5"),
        (0x9000_0000, 16 << 20, b"\xff"),
    ]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0xA000_0000, 0x1_0000)]
    RESET = {CR: 0x83, PLLCFGR: 0x2400_3010, PWR_CR1: 0xC000, ACR: 0}
    BLOCKS = [
        (
            RCC,
            "RCC",
            {
                0x00: "CR",
                0x04: "PLLCFGR",
                0x08: "CFGR",
                0x18: "AHB3RSTR",
                0x20: "APB1RSTR",
                0x24: "APB2RSTR",
                0x30: "AHB1ENR",
                0x38: "AHB3ENR",
                0x40: "APB1ENR",
                0x44: "APB2ENR",
                0x70: "BDCR",
                0x74: "CSR",
                0x8C: "DCKCFGR1",
                0x90: "DCKCFGR2",
            },
        ),
        (PWR, "PWR", {0x00: "CR1", 0x04: "CSR1"}),
        (FLASH, "FLASH", {0x00: "ACR"}),
        (0x4001_1000, "USART1", {0x00: "CR1", 0x04: "CR2", 0x08: "CR3", 0x0C: "BRR"}),
        (0x4002_0400, "GPIOB", GPIO),
        (0x4002_0C00, "GPIOD", GPIO),
        (0x4002_1000, "GPIOE", GPIO),
        (0x4002_2000, "GPIOI", GPIO | {0x18: "BSRR"}),
        (0xA000_1000, "QUADSPI", {0x00: "CR", 0x04: "DCR", 0x0C: "FCR", 0x14: "CCR"}),
        (DBGMCU, "DBGMCU", {0x04: "CR", 0x08: "APB1_FZ"}),
    ]

    TIGHTLY_COUPLED = [(0x2000_0000, 0x1_0000)]
    UART = 0x4001_1000, SerialPort
    # The board's crystal, or what its debug probe clocks it with.
    HSE_HZ = 25 * MHZ

    def make_units(self):
        return [ReversingCrc(0x4002_3000, (RCC + 0x30, 1 << 12)), iwdg()]

    def read(self, registers, word, held):
        match word:
            case 0x4002_3800:
                return follow(held, [(0, 1), (16, 17), (24, 25), (26, 27), (28, 29)])
            case 0x4002_3808:
                return held & ~0xC | bits(held, 0, 2) << 2
            case 0x4002_3870 | 0x4002_3874:
                return follow(held, [(0, 1)])
            case 0x4000_7004:
                # The voltage, and over-drive, are there at once.
                return 1 << 14 | registers[PWR_CR1] & OVERDRIVE
        return held

    def write(self, registers, word, held, new):
        if PWR <= word < PWR + 0x400 and not registers.get(APB1ENR, 0) & POWER:
            raise Fault("the power controller is written without its clock")
        return []

    def check(self, registers):
        core, wait_states = self._core(registers), bits(registers[ACR], 0, 4)
        # RM0385, tables 5 and 7, from 2.7 to 3.6 V.
        with_overdrive = registers[PWR_CR1] & OVERDRIVE == OVERDRIVE
        scale = bits(registers[PWR_CR1], 14, 2)
        highest = {3: 216 if with_overdrive else 180, 2: 180 if with_overdrive else 168}
        limit = min(30 * (wait_states + 1), highest.get(scale, 144)) * MHZ
        if core > limit:
            raise Fault(
                f"the core runs at {core / MHZ:g} MHz; voltage scale {4 - scale} "
                f"{'with' if with_overdrive else 'without'} over-drive and {wait_states} wait "
                f"states allow {limit / MHZ:g} MHz"
            )
        cfgr = registers.get(CFGR, 0)
        for low, limit in ((10, 54), (13, 108)):
            bus = core // bus_divider(bits(cfgr, low, 3))
            if bus > limit * MHZ:
                raise Fault(
                    f"a peripheral bus runs at {bus / MHZ:g} MHz; at most {limit} MHz"
                )

    def uart_hz(self, registers):
        # Of the second bus.
        cfgr = registers.get(CFGR, 0)
        return self._core(registers) // bus_divider(bits(cfgr, 13, 3))

    def _core(self, registers):
        pll, cfgr = registers[PLLCFGR], registers.get(CFGR, 0)
        source = self.HSE_HZ if bits(pll, 22, 1) else 16 * MHZ
        of_pll = (
            source
            * bits(pll, 6, 9)
            // max(bits(pll, 0, 6), 1)
            // (2 * bits(pll, 16, 2) + 2)
        )
        sysclk = [16 * MHZ, self.HSE_HZ, of_pll, 0][bits(cfgr, 0, 2)]
        return sysclk // prescaler(bits(cfgr, 4, 4))

    def state(self, registers):
        acr = registers[ACR]
        switch = bits(registers.get(CFGR, 0), 0, 2)
        from_crystal = switch == 1 or switch == 2 and bits(registers[PLLCFGR], 22, 1)
        return {
            "core_hz": self._core(registers),
            "clocked by": ["HSI", "HSE", "PLL", "-"][switch],
            "flash_wait_states": bits(acr, 0, 4),
            # Code at 0x0800_0000 does not come through the accelerator.
            "flash_cache": False,
            "over-drive": registers[PWR_CR1] & OVERDRIVE == OVERDRIVE,
            "boost": None,
            "dual_bank": None,
            "crystal": bool(from_crystal),
        }


def bus_divider(field):
    """STM32's division of a peripheral bus, by its 3 bits."""
    return 2 << bits(field, 0, 2) if field >= 4 else 1
