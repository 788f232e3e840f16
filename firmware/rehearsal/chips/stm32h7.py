"""ST's STM32H743, revisions Y and V (reference manual RM0433), and STM32H7A3 (RM0455)."""

from cortex_m import Fault
from serial_port import SerialPort
from units.crc import ReversingCrc
from units.watchdog import Iwdg

from . import MHZ, Chip, bits, follow, prescaler
from .stm32f7 import bus_divider

RCC, PWR, FLASH, SYSCFG = 0x5802_4400, 0x5802_4800, 0x5200_2000, 0x5800_0400
CR, CFGR, D1CFGR, D2CFGR, PLLCKSELR, PLL1DIVR = (
    RCC + at for at in (0x00, 0x10, 0x18, 0x1C, 0x28, 0x30)
)
PWR_CSR1, PWR_D3CR, PWRCR = PWR + 0x04, PWR + 0x18, SYSCFG + 0x2C
ACR = FLASH
DBGMCU = 0x5C00_1000
# Data sheets DS12110 and DS13195, the internal oscillator of 32 kHz.
LSI_RANGE = 29_760, 33_600
VOLTAGE_READY = 1 << 13
PLL1 = 1 << 24
OVERDRIVE = 1
# Bits of the STM32H7A3's power control 3: both regulators, and the step-down converter.
PWR_CR3 = PWR + 0x0C
SUPPLIES, CONVERTER = 6, 4
GPIO = {0x00: "MODER", 0x04: "OTYPER", 0x08: "OSPEEDR", 0x0C: "PUPDR", 0x18: "BSRR"}


def iwdg(causes):
    """The watchdog; `causes` is the register of the causes of a reset."""
    flag = causes, 1 << 26, 1 << 16
    return Iwdg(0x5800_4800, (DBGMCU + 0x54, 1 << 18), flag, LSI_RANGE)


class Stm32h7(Chip):
    CPU, CPUID = "UC_CPU_ARM_CORTEX_M7", 0x411F_C271
    MEMORIES = [
        (0x0800_0000, 2 << 20, b"\xff"),
        (0x2000_0000, 0x2_0000, b"\xa5"),
        (0x2400_0000, 0x8_0000, b"\xa5"),
    ]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    RESET = {CR: 0x83, PWR_D3CR: 0x4000, ACR: 0x37}
    BLOCKS = [
        (
            RCC,
            "RCC",
            {
                0x00: "CR",
                0x10: "CFGR",
                0x18: "D1CFGR",
                0x1C: "D2CFGR",
                0x20: "D3CFGR",
                0x28: "PLLCKSELR",
                0x2C: "PLLCFGR",
                0x30: "PLL1DIVR",
                0x4C: "D1CCIPR",
                0x50: "D2CCIP1R",
                0x54: "D2CCIP2R",
                0x58: "D3CCIPR",
                0x70: "BDCR",
                0x74: "CSR",
                0x9C: "APB4RSTR",
                0xD0: "RSR",
                0xD4: "AHB3ENR",
                0xD8: "AHB1ENR",
                0xE0: "AHB4ENR",
                0xF4: "APB4ENR",
            },
        ),
        (PWR, "PWR", {0x00: "CR1", 0x0C: "CR3", 0x18: "D3CR"}),
        (SYSCFG, "SYSCFG", {0x2C: "PWRCR"}),
        (FLASH, "FLASH", {0x00: "ACR"}),
        (0x4000_4800, "USART3", {0x00: "CR1", 0x04: "CR2", 0x08: "CR3", 0x0C: "BRR"}),
        (0x5802_0C00, "GPIOD", GPIO | {0x24: "AFRH"}),
        (0x5802_1400, "GPIOF", GPIO),
        (0x5802_1800, "GPIOG", GPIO),
        (DBGMCU, "DBGMCU", {0x04: "CR", 0x54: "APB4FZ1"}),
    ]

    TIGHTLY_COUPLED = [(0x2000_0000, 0x2_0000)]
    UART = 0x4000_4800, SerialPort
    # RM0433, table 57, and the data sheet of revision Y: most of core and AXI bus in MHz, by
    # the voltage scale.
    HIGHEST = [(480, 240), (400, 200), (300, 150), (200, 100)]
    # RM0433, table 17, in MHz of the AXI bus: most for each number of wait states, by the
    # voltage scale.
    FLASH_LIMITS = [
        [70, 140, 210, 225, 240],
        [70, 140, 210, 225],
        [55, 110, 165, 225],
        [45, 90, 135, 180, 225],
    ]

    def make_units(self):
        return [ReversingCrc(0x5802_4C00, (RCC + 0xE0, 1 << 19)), iwdg(RCC + 0xD0)]

    def read(self, registers, word, held):
        match word:
            case 0x5802_4400:
                pairs = [
                    (0, 2),
                    (7, 8),
                    (12, 13),
                    (16, 17),
                    (24, 25),
                    (26, 27),
                    (28, 29),
                ]
                return follow(held, pairs)
            case 0x5802_4410:
                return held & ~0x38 | bits(held, 0, 3) << 3
            case 0x5802_4470 | 0x5802_4474:
                return follow(held, [(0, 1)])
            case 0x5802_4804 | 0x5802_4818:
                return held | VOLTAGE_READY
        return held

    def written(self, registers, word, held, new):
        # While PLL1 is on, its bits cannot be written (RM0433).
        locked = {PLLCKSELR: 0x3F3, PLL1DIVR: 0xFFFF_FFFF}.get(word, 0)
        if not registers[CR] & PLL1:
            locked = 0
        return held & locked | new & ~locked

    def scale(self, registers):
        """The voltage scale; 0 is the highest voltage."""
        overdrive = (
            bits(registers[PWR_D3CR], 14, 2) == 3
            and registers.get(PWRCR, 0) & OVERDRIVE
        )
        if overdrive and self.board["name"] == "nucleo-h743zi":
            raise Fault("revision Y has no voltage scale 0")
        return 0 if overdrive else 4 - max(bits(registers[PWR_D3CR], 14, 2), 1)

    def check(self, registers):
        scale = self.scale(registers)
        core, axi = self._clocks(registers)
        highest = self.HIGHEST[scale]
        wait_states = bits(registers[ACR], 0, 4)
        limits = self.FLASH_LIMITS[scale]
        of_flash = limits[min(wait_states, len(limits) - 1)]
        for name, clock, limit in (
            ("the core", core, highest[0]),
            ("the AXI bus", axi, min(highest[1], of_flash)),
        ):
            if clock > limit * MHZ:
                raise Fault(
                    f"{name} runs at {clock / MHZ:g} MHz; voltage scale {scale} and "
                    f"{wait_states} wait states allow {limit} MHz"
                )

    def uart_hz(self, registers):
        # Of the first bus of the second domain.
        _core, axi = self._clocks(registers)
        return axi // bus_divider(bits(registers.get(D2CFGR, 0), 4, 3))

    def _clocks(self, registers):
        select, divide = registers.get(PLLCKSELR, 0), registers.get(PLL1DIVR, 0)
        source = [64 * MHZ, 4 * MHZ, 8 * MHZ, 0][bits(select, 0, 2)]
        vco = source // max(bits(select, 4, 6), 1) * (bits(divide, 0, 9) + 1)
        of_pll = vco // (bits(divide, 9, 7) + 1)
        switch = bits(registers.get(CFGR, 0), 0, 3)
        sysclk = [64 * MHZ, 4 * MHZ, 8 * MHZ, of_pll][switch & 3]
        d1 = registers.get(D1CFGR, 0)
        core = sysclk // prescaler(bits(d1, 8, 4))
        return core, core // prescaler(bits(d1, 0, 4))

    def state(self, registers):
        core, axi = self._clocks(registers)
        switch = bits(registers.get(CFGR, 0), 0, 3)
        from_crystal = (
            switch == 2 or switch == 3 and bits(registers[PLLCKSELR], 0, 2) == 2
        )
        return {
            "core_hz": core,
            "AXI bus": axi,
            "clocked by": ["HSI", "CSI", "HSE", "PLL"][switch & 3],
            "flash_wait_states": bits(registers[ACR], 0, 4),
            "flash_cache": False,
            "voltage scale": self.scale(registers),
            "boost": None,
            "dual_bank": None,
            "crystal": from_crystal,
        }


class Stm32h7a3(Stm32h7):
    """With other voltages, and a supply that is chosen once after power-up."""

    MEMORIES = [
        (0x0800_0000, 2 << 20, b"\xff"),
        (0x2000_0000, 0x2_0000, b"\xa5"),
        (0x2400_0000, 1 << 20, b"\xa5"),
    ]
    # Both regulators are on until one is chosen.
    RESET = {CR: 0x83, PWR_D3CR: 0, PWR_CR3: SUPPLIES, ACR: 0x13}
    BLOCKS = [
        (
            RCC,
            "RCC",
            {
                0x00: "CR",
                0x10: "CFGR",
                0x18: "CDCFGR1",
                0x1C: "CDCFGR2",
                0x20: "SRDCFGR",
                0x28: "PLLCKSELR",
                0x2C: "PLLCFGR",
                0x30: "PLL1DIVR",
                0x4C: "CDCCIPR",
                0x50: "CDCCIP1R",
                0x54: "CDCCIP2R",
                0x58: "SRDCCIPR",
                0x70: "BDCR",
                0x74: "CSR",
                0x9C: "APB4RSTR",
                0x130: "RSR",
                0x134: "AHB3ENR",
                0x138: "AHB1ENR",
                0x13C: "AHB2ENR",
                0x140: "AHB4ENR",
                0x148: "APB1LENR",
                0x154: "APB4ENR",
            },
        ),
        (PWR, "PWR", {0x00: "CR1", 0x0C: "CR3", 0x18: "SRDCR"}),
    ] + [block for block in Stm32h7.BLOCKS if block[1] not in ("RCC", "PWR")]
    # Data sheet DS13195, table 20.
    HIGHEST = [(280, 280), (225, 225), (160, 160), (88, 88)]
    # RM0455, table 16.
    FLASH_LIMITS = [
        [42, 84, 126, 168, 210, 252, 280],
        [38, 76, 114, 152, 190, 225],
        [34, 68, 102, 136, 160],
        [22, 44, 66, 88],
    ]

    def make_units(self):
        return [ReversingCrc(0x4002_3000, (RCC + 0x138, 1 << 9)), iwdg(RCC + 0x130)]

    def scale(self, registers):
        return 3 - bits(registers[PWR_D3CR], 14, 2)

    def write(self, registers, word, held, new):
        # RM0455, 6.4.1: the board has its core supplied by the step-down converter. Another
        # choice, or a second one, takes the supply away until power is switched off.
        if word == PWR_CR3:
            if held & SUPPLIES not in (SUPPLIES, CONVERTER):
                raise Fault("the core's supply is chosen a second time")
            if new & (SUPPLIES | 1) != CONVERTER:
                raise Fault("the core's supply is not the step-down converter")
        raises = word == PWR_D3CR and bits(new, 14, 2) > bits(held, 14, 2)
        if raises and registers[PWR_CR3] & SUPPLIES != CONVERTER:
            raise Fault("the voltage is raised before the core's supply is chosen")
        return super().write(registers, word, held, new)
