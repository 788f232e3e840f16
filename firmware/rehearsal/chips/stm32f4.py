"""ST's STM32F407 (reference manual RM0090) and STM32F411 (RM0383)."""

from cortex_m import Fault
from serial_port import SerialPort
from units.crc import Stm32Crc

from . import MHZ, bits
from .stm32f7 import (
    ACR,
    CFGR,
    CR,
    GPIO,
    PLLCFGR,
    PWR_CR1,
    RCC,
    Stm32f7,
    bus_divider,
    iwdg,
)

PLL_ON = 1 << 24
VOLTAGE = 3 << 14


class Stm32f407(Stm32f7):
    """Its clocks and flash are an STM32F7's, without over-drive, with an accelerator."""

    CPU, CPUID = "UC_CPU_ARM_CORTEX_M4", 0x410F_C241
    MEMORIES = [
        (0x0800_0000, 1 << 20, b"\xff"),
        (0x1000_0000, 0x1_0000, b"\xa5"),
        (0x2000_0000, 0x2_0000, b"\xa5"),
    ]
    WINDOWS = [(0x4000_0000, 0x1000_0000), (0x5000_0000, 0x1000_0000)]
    # Scale 1, the only bit of the voltage that this chip has.
    RESET = {CR: 0x83, PLLCFGR: 0x2400_3010, PWR_CR1: 0x4000, ACR: 0}
    BLOCKS = [block for block in Stm32f7.BLOCKS if block[1] in ("RCC", "PWR", "FLASH")]
    BLOCKS += [
        (0x4000_4400, "USART2", {0x08: "BRR", 0x0C: "CR1", 0x10: "CR2", 0x14: "CR3"}),
        (0x4002_0000, "GPIOA", GPIO | {0x18: "BSRR"}),
        (0x4002_0C00, "GPIOD", GPIO | {0x18: "BSRR"}),
        (0xE004_2000, "DBGMCU", {0x04: "CR", 0x08: "APB1_FZ"}),
    ]
    HSE_HZ = 8 * MHZ
    UART = 0x4000_4400, SerialPort, 2
    TIGHTLY_COUPLED = []
    # RM0090, table 10, from 2.7 to 3.6 V, in MHz: most for each number of wait states.
    FLASH_LIMITS = [30, 60, 90, 120, 150, 168]
    # RM0090, 5.1.4: most of the core for each voltage scale, and of the two buses.
    SCALES = {1: 168, 2: 144}
    BUSES = (42, 84)

    def make_units(self):
        return [Stm32Crc(0x4002_3000, (RCC + 0x30, 1 << 12)), iwdg()]

    def read(self, registers, word, held):
        match word:
            case 0x4000_7004:
                return 1 << 14  # the voltage is there at once
        return super().read(registers, word, held)

    def write(self, registers, word, held, new):
        # RM0383, 5.4.1: the voltage can be chosen while the PLL is off only.
        if word == PWR_CR1 and (held ^ new) & VOLTAGE and registers[CR] & PLL_ON:
            raise Fault("the voltage is changed while the PLL is on")
        return super().write(registers, word, held, new)

    def check(self, registers):
        core, wait_states = self._core(registers), bits(registers[ACR], 0, 4)
        scale = self._scale(registers)
        of_flash = self.FLASH_LIMITS[min(wait_states, len(self.FLASH_LIMITS) - 1)]
        limit = min(of_flash, self.SCALES[scale])
        if core > limit * MHZ:
            raise Fault(
                f"the core runs at {core / MHZ:g} MHz; voltage scale {scale} and "
                f"{wait_states} wait states allow {limit} MHz"
            )
        for bus, limit in zip(self.buses(registers), self.BUSES, strict=True):
            if bus > limit * MHZ:
                raise Fault(
                    f"a peripheral bus runs at {bus / MHZ:g} MHz; at most {limit} MHz"
                )

    def buses(self, registers):
        """Clocks of the peripherals' two buses."""
        cfgr, core = registers.get(CFGR, 0), self._core(registers)
        return [core // bus_divider(bits(cfgr, low, 3)) for low in (10, 13)]

    def uart_hz(self, registers):
        return self.buses(registers)[0]

    def _scale(self, registers):
        return 1 if registers[PWR_CR1] & 1 << 14 else 2

    def state(self, registers):
        acr, state = registers[ACR], super().state(registers)
        del state["over-drive"]
        return state | {
            "flash_cache": bits(acr, 9, 2) == 3,
            "prefetch": bool(bits(acr, 8, 1)),
            "voltage scale": self._scale(registers),
        }


class Stm32f411(Stm32f407):
    MEMORIES = [(0x0800_0000, 512 << 10, b"\xff"), (0x2000_0000, 0x2_0000, b"\xa5")]
    RESET = Stm32f407.RESET | {PWR_CR1: 0x8000}
    # RM0383, table 5, from 2.7 to 3.6 V.
    FLASH_LIMITS = [30, 64, 90, 100]
    SCALES = {1: 100, 2: 84, 3: 64}
    BUSES = (50, 100)

    def _scale(self, registers):
        # RM0383, 5.4.1: the core's voltage is that of scale 3 while the PLL is off.
        is_on = registers[CR] & PLL_ON
        return 4 - max(bits(registers[PWR_CR1], 14, 2), 1) if is_on else 3
