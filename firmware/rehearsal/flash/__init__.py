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


class InOrder(Controller):
    """One that programs `AT_ONCE` bytes at once, whose words follow each other."""

    AT_ONCE = 8

    def __init__(self, memory):
        super().__init__(memory)
        # The word that is to follow.
        self.next = None

    def check_whole(self):
        """Refuses what is to come while words of those at once are missing."""
        if self.next is not None:
            raise Fault(
                f"{self.next:#010x} has yet to be programmed with those before it"
            )

    def check_store(self, address, size, value):
        super().check_store(address, size, value)
        if self.next is None:
            if address % self.AT_ONCE:
                raise Fault(f"{address:#010x} is not the first of {self.AT_ONCE} bytes")
        elif address != self.next:
            raise Fault(f"{address:#010x} is programmed, and {self.next:#010x} is not")
        end = address + size
        self.next = end if end % self.AT_ONCE else None


class Keys:
    """Two keys, in their order, that open a register of the part that is named."""

    KEYS = [0x4567_0123, 0xCDEF_89AB]

    def __init__(self, part):
        self.part = part
        self.given = []

    def take(self, key):
        """Whether it is the last one."""
        self.given.append(key)
        if self.given != self.KEYS[: len(self.given)]:
            raise Fault(f"key {key:#010x} locks the {self.part} until it is reset")
        return self.given == self.KEYS

    def forget(self):
        self.given = []


class Locked(Controller):
    """One that takes a register only after two keys."""

    KEY = STATUS = CONTROL = 0
    LOCK = 1 << 31

    def __init__(self, memory):
        super().__init__(memory)
        self.keys = Keys("flash")

    def write(self, offset, value):
        held = self.registers.get(self.CONTROL, 0)
        if offset == self.KEY:
            if self.keys.take(value):
                self.registers[self.CONTROL] = held & ~self.LOCK
            return
        if offset == self.CONTROL:
            if held & self.LOCK:
                raise Fault(
                    "the flash's control register is written while it is locked"
                )
            if value & self.LOCK:
                self.keys.forget()
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
