"""Models of flash controllers, as the reference manuals have them: each erases and programs only
what was unlocked and erased before, and refuses the rest."""

from cortex_m import Fault


class Controller:
    """What the models share; each has `BASE` and `SIZE` (its registers), `RESET` (their values),
    `WIDTHS` (bytes that a store into the flash may have), and `OTHERS` (words elsewhere that an
    algorithm reads)."""

    BASE = SIZE = 0
    RESET, WIDTHS, OTHERS = {}, (4,), {}

    def __init__(self, memory):
        self.memory = memory
        self.registers = dict(self.RESET)

    def read(self, offset):
        return self.registers.get(offset, 0)

    def write(self, offset, value):
        self.registers[offset] = value

    def check_store(self, address, size, value):
        """Refuses a store into the flash that it would not program."""
        if not self.is_programming():
            raise Fault(f"a store to {address:#010x} while nothing is programmed")
        if size not in self.WIDTHS or address % size:
            raise Fault(f"a store of {size} bytes to {address:#010x}")
        held = int.from_bytes(self.memory.read(address, size), "little")
        if value & ~held:
            raise Fault(f"{address:#010x} is programmed and was not erased")

    def is_programming(self):
        raise NotImplementedError


class Locked(Controller):
    """One that takes a register only after two keys, in their order."""

    KEYS = [0x4567_0123, 0xCDEF_89AB]
    KEY = STATUS = CONTROL = 0
    LOCK = 1 << 31

    def __init__(self, memory):
        super().__init__(memory)
        self.given = []

    def write(self, offset, value):
        held = self.registers.get(self.CONTROL, 0)
        if offset == self.KEY:
            self.given.append(value)
            if self.given != self.KEYS[: len(self.given)]:
                raise Fault(f"key {value:#010x} locks the flash until it is reset")
            if self.given == self.KEYS:
                self.registers[self.CONTROL] = held & ~self.LOCK
            return
        if offset == self.CONTROL:
            if held & self.LOCK:
                raise Fault(
                    "the flash's control register is written while it is locked"
                )
            if value & self.LOCK:
                self.given = []
            self.control(value)
            return
        if offset == self.STATUS:
            # Flags are cleared by ones.
            value = self.registers.get(offset, 0) & ~value
        super().write(offset, value)

    def control(self, value):
        """Takes a value of the control register."""
        raise NotImplementedError


def of(chip):
    """The model for a chip; none if there is none."""
    from . import nrf, stm32

    models = {
        "STM32F4": stm32.Sectors,
        "STM32F746": stm32.LargeSectors,
        "STM32G0B1": stm32.SmallPages,
        "STM32H743": stm32.Banks,
        "STM32H7A3": stm32.SmallBanks,
        "STM32L4R5": stm32.Pages,
        "STM32U575": stm32.SecurePages,
        "nRF52840": nrf.Nrf52,
        "nRF5340": nrf.Nrf53,
        "nRF54L15": nrf.Nrf54l,
    }
    for start, model in models.items():
        if chip.startswith(start):
            return model
    return None
