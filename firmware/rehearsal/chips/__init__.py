"""Models of chips: the registers that start-up code touches, as the reference manuals have
them. Each answers with ready bits, and refuses an order that its manual forbids."""

import cortex_m

MHZ = 1_000_000


class Chip:
    """What the models share; each has `CPU`, `CPUID`, `MEMORIES` (origin, size, filling),
    `WINDOWS` (base and size of its registers), `RESET` (their values) and `BLOCKS` (base, name,
    and the registers' names by offset)."""

    CPU = CPUID = None
    MEMORIES, WINDOWS, RESET, BLOCKS = [], [], {}, []
    # Whether Unicorn knows every instruction of the core.
    INFERS = True
    # Whether the core has a limit of the stack's pointer (Armv8-M).
    HAS_STACK_LIMIT = False
    # Whether nothing but another reset changes what tells the cause of one.
    KEEPS_CAUSE = False
    # Memories that lie behind no data cache: origin and size.
    TIGHTLY_COUPLED = []
    # The serial port that a board's debug probe hands on: base, kind, and generation if that
    # is 2; `uart_hz` is its clock.
    UART = None

    def __init__(self, board):
        self.board = board
        self.units = self.make_units()

    def make_units(self):
        """What the chip shares with others, at the addresses that it has here."""
        return []

    def unit(self, word):
        """The unit that has the register at `word`."""
        for unit in self.units:
            if unit.base <= word < unit.base + unit.SIZE:
                return unit
        return None

    def vector_table(self, _image):
        layout = self.board["layout"]
        origin = self.board["memory"][layout["code"]]["origin"]
        return origin + (0x100 if layout.get("boot") == "second-stage" else 0)

    def name(self, word):
        if word in cortex_m.NAMES:
            return cortex_m.NAMES[word]
        unit = self.unit(word)
        if unit:
            return unit.name(word)
        for base, block, names in self.BLOCKS:
            if word - base in names:
                return f"{block}.{names[word - base]}"
            if base <= word < base + 0x400:
                return f"{block}.{word - base:#x}"
        return f"{word:#010x}"

    def is_traced(self, word, unit=None):
        """Whether a write is shown: no interrupt's priority, no line of the data cache, no data."""
        if unit:
            return unit.is_traced(word)
        of_core = cortex_m.DCISW, cortex_m.DCCMVAC
        return not 0xE000_E100 <= word < 0xE000_E500 and word not in of_core

    def home(self, word):
        """The register that is meant by an address that only sets or clears bits of it."""
        return word

    def written(self, _registers, _word, _held, new):
        """The register's value after `new` was written at `word`."""
        return new

    def read(self, _registers, _word, held):
        return held

    def write(self, _registers, _word, _held, _new):
        """Consequences of a write, each with a note for the trace."""
        return []

    def check(self, _registers):
        """Refuses a set-up that the manual forbids, after every write."""

    def uart_hz(self, registers):
        """The clock of the serial port."""
        raise NotImplementedError

    def state(self, registers):
        """The set-up, decoded."""
        raise NotImplementedError


def bits(value, low, count):
    return value >> low & (1 << count) - 1


def follow(value, pairs):
    """`value` with a ready bit for each enable bit."""
    for enable, ready in pairs:
        value = value & ~(1 << ready) | bits(value, enable, 1) << ready
    return value


def prescaler(field):
    """STM32's division of a bus clock, by its 4 bits."""
    return {8: 2, 9: 4, 10: 8, 11: 16, 12: 64, 13: 128, 14: 256, 15: 512}.get(field, 1)


def of(board):
    """The model of a board's chip."""
    from . import (
        nrf52,
        nrf53,
        nrf54l,
        rp2,
        stm32f4,
        stm32f7,
        stm32g0,
        stm32h7,
        stm32l4,
        stm32n6,
        stm32u5,
    )

    models = {
        "STM32L4R5": stm32l4.Stm32l4,
        "STM32F407": stm32f4.Stm32f407,
        "STM32F411": stm32f4.Stm32f411,
        "STM32F746": stm32f7.Stm32f7,
        "STM32G0B1": stm32g0.Stm32g0,
        "STM32H743": stm32h7.Stm32h7,
        "STM32H7A3": stm32h7.Stm32h7a3,
        "STM32U575": stm32u5.Stm32u5,
        "STM32N657": stm32n6.Stm32n6,
        "nRF52840": nrf52.Nrf52,
        "nRF5340": nrf53.Nrf53,
        "nRF54L15": nrf54l.Nrf54l,
        "RP2040": rp2.Rp2040,
        "RP235": rp2.Rp2350,
    }
    for start, model in models.items():
        if board["chip"].startswith(start):
            return model(board)
    raise SystemExit(
        f"no model of {board['chip']}, the chip of {board['name']}; add one to chips/"
    )
