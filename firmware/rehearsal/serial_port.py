"""The serial port of ST's chips, of either generation, with a host at its other end."""

from collections import deque

from cortex_m import Fault

RECEIVED, SENT, EMPTY = 1 << 5, 1 << 6, 1 << 7
# Turns of a loop that waits for a byte when the host has nothing more to say.
PATIENCE = 100
# What both ends may differ by together, as half a bit in ten.
TOLERANCE = 0.02


class SerialPort:
    """The port at `base`; the host says each of `commands` when it has heard `ready`."""

    def __init__(self, base, generation, commands, ready):
        """`generation` is 2 where reading and writing share a register (STM32F4), else 3."""
        state, receive, send = (0, 4, 4) if generation == 2 else (0x1C, 0x24, 0x28)
        self.state, self.receive, self.send = base + state, base + receive, base + send
        self.base, self.generation = base, generation
        self.commands, self.ready = deque(commands), ready
        self.coming, self.said = deque(), bytearray()
        self.patience = PATIENCE

    def read(self, word):
        """The value of a register of the port; none if it holds what was written."""
        if word == self.state:
            if not self.coming and self.commands and self.said.endswith(self.ready):
                self.coming.extend(self.commands.popleft())
            self.patience -= not self.coming
            # Sender and receiver are on, and everything is sent at once.
            return 0x0060_0000 | EMPTY | SENT | (RECEIVED if self.coming else 0)
        if word == self.receive:
            return self.coming.popleft() if self.coming else 0
        return None

    def write(self, word, value):
        if word == self.send:
            self.said.append(value & 0xFF)
            self.patience = PATIENCE

    @property
    def is_idle(self):
        return self.patience <= 0

    def check_rate(self, registers, clock_hz, baud):
        """Refuses a rate, as the registers have it, that the host cannot read."""
        control, divider = (0x0C, 0x08) if self.generation == 2 else (0x00, 0x0C)
        divide = registers.get(self.base + divider, 0)
        has_few_samples = registers.get(self.base + control, 0) >> 15 & 1
        if self.generation == 2 and has_few_samples:
            found = clock_hz / ((divide >> 4) * 8 + (divide & 7))
        elif has_few_samples:
            found = 2 * clock_hz / (divide & ~0xF | (divide & 7) << 1)
        else:
            found = clock_hz / max(divide, 1)
        if abs(found / baud - 1) > TOLERANCE:
            raise Fault(
                f"the serial port runs at {found:.0f} baud, not {baud}: divider {divide:#x} of "
                f"{clock_hz / 1e6:g} MHz"
            )
        return found


class LowPowerPort(SerialPort):
    """ST's low-power UART, whose divider has eight more bits."""

    def __init__(self, base, _generation, commands, ready):
        super().__init__(base, 3, commands, ready)

    def check_rate(self, registers, clock_hz, baud):
        return super().check_rate(registers, 256 * clock_hz, baud)
