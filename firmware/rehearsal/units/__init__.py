"""Models of what several chips have: units for CRCs, and watchdogs. Each computes from what is
written to its registers what the hardware would, and refuses what the manual forbids."""

from cortex_m import Fault


class Unit:
    """The registers from `base` on. `memory` is the chip's, as Unicorn has it."""

    SIZE = 0x400
    NAME, REGISTERS = None, {}
    # Whether a reset that the program asks for changes nothing of it.
    OUTLIVES_SOFTWARE = False
    # Offsets of registers that are written for every word of data, which no trace shows.
    UNTRACED = ()

    def __init__(self, base):
        self.base = base
        self.memory = None
        # Whether the program ends here.
        self.has_ended = False
        self.notes = []

    def name(self, word):
        offset = word - self.base
        return f"{self.NAME}.{self.REGISTERS.get(offset, hex(offset))}"

    def is_traced(self, word):
        return word - self.base not in self.UNTRACED

    def read(self, registers, word):
        """The value of the register at `word`."""
        raise NotImplementedError

    def write(self, registers, word, size, value):
        """What writing `size` bytes does."""
        raise NotImplementedError

    def filtered(self, _word, _held, new):
        """The value that a register of another unit takes, if this one has a part of it."""
        return new

    def reset(self):
        """Power-up, or a reset of the chip."""

    def take_notes(self):
        notes, self.notes = self.notes, []
        return notes


def words_only(word, size):
    if size != 4:
        raise Fault(f"{size} bytes are written to {word:#010x}, which takes words")
