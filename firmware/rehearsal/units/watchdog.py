"""Watchdogs: ST's independent one, Nordic's, and Raspberry Pi's."""

from cortex_m import Fault

from . import Unit, words_only


class Watchdog(Unit):
    """What they share. `feeds` counts how often it was fed; when that makes `on_feed` true, the
    program hangs from there on."""

    def __init__(self, base):
        super().__init__(base)
        self.on_feed = lambda: False
        self.feeds = 0

    def reset(self):
        self.is_running, self.feeds = False, 0

    def feed(self):
        if self.is_running:
            self.feeds += 1
            self.has_ended = self.on_feed()

    def times_ms(self):
        """The least and the most until it resets the chip, by the tolerance of its clock."""
        raise NotImplementedError

    def cause(self):
        """Register and bits that tell its reset."""
        raise NotImplementedError


class Iwdg(Watchdog):
    """ST's independent watchdog (the chapters "Independent watchdog" of the reference manuals).

    `freeze`: register and bit that halt it with the core. `flag`: register of the causes of a
    reset, its bit there, and the one that clears all. `range_hz`: its oscillator, by the data
    sheet. `largest`: the largest prescaler."""

    NAME = "IWDG"
    KR, PR, RLR, SR = 0x00, 0x04, 0x08, 0x0C
    REGISTERS = {KR: "KR", PR: "PR", RLR: "RLR"}
    START, OPEN, RELOAD = 0xCCCC, 0x5555, 0xAAAA
    # Polls that a value takes to arrive, which goes by the watchdog's clock.
    POLLS = 5

    def __init__(self, base, freeze, flag, range_hz, largest=256):
        self.freeze, self.flag = freeze, flag
        self.range_hz, self.largest = range_hz, largest
        super().__init__(base)
        self.reset()

    def reset(self):
        super().reset()
        self.values = {self.PR: 0, self.RLR: 0xFFF}
        self.is_open, self.polls = False, {}

    def read(self, registers, word):
        if word - self.base != self.SR:
            return self.values.get(word - self.base, 0)
        # Without its clock nothing ever arrives.
        if self.is_running:
            self.polls = {at: left - 1 for at, left in self.polls.items() if left > 1}
        bits = {self.PR: 1, self.RLR: 2}
        return sum(bits[at] for at in self.polls)

    def write(self, registers, word, size, value):
        words_only(word, size)
        offset = word - self.base
        if offset == self.KR:
            self._use(registers, value)
        elif offset not in (self.PR, self.RLR):
            raise Fault(f"the watchdog's register {offset:#x} is not to be written")
        elif not self.is_open:
            raise Fault("the watchdog is set up while its registers are locked")
        elif offset in self.polls:
            raise Fault("the watchdog is set up while a value has yet to arrive")
        else:
            self.values[offset] = value
            self.polls[offset] = self.POLLS

    def _use(self, registers, key):
        self.is_open = key == self.OPEN
        if key == self.START:
            register, bit = self.freeze
            if not registers.get(register, 0) & bit:
                raise Fault("the watchdog goes on while a debug probe halts the core")
            self.is_running = True
        elif key == self.RELOAD:
            if self.polls:
                raise Fault("the watchdog is fed before its set-up has arrived")
            self.feed()
        elif key != self.OPEN:
            raise Fault(f"the watchdog has no key {key:#x}")

    def times_ms(self):
        prescaler = min(4 << self.values[self.PR], self.largest)
        ticks = (self.values[self.RLR] + 1) * prescaler
        slowest, fastest = self.range_hz
        return 1000 * ticks / fastest, 1000 * ticks / slowest

    def cause(self):
        register, bit, _clear = self.flag
        return register, bit

    def filtered(self, word, held, new):
        register, bit, clear = self.flag
        if word != register:
            return new
        # The flag is read-only, until all are cleared.
        return new & ~(bit | clear) | (0 if new & clear else held & bit)


class NordicWdt(Watchdog):
    """Nordic's (nRF52840 product specification, 6.36; nRF5340, 7.42; nRF54L15 datasheet, "WDT").

    `reasons`: register of the causes of a reset, and its bit there."""

    NAME = "WDT"
    OUTLIVES_SOFTWARE = True
    START, RUNSTATUS, CRV, RREN, CONFIG, RR = 0x000, 0x400, 0x504, 0x508, 0x50C, 0x600
    REGISTERS = {START: "TASKS_START", CRV: "CRV", RREN: "RREN", CONFIG: "CONFIG"}
    REGISTERS |= {RR: "RR[0]"}
    SIZE = 0x1000
    RELOAD, RUNS_HALTED, LEAST = 0x6E52_4635, 1 << 3, 15
    # Its oscillator without a crystal, before it is calibrated.
    TOLERANCE = 0.05

    def __init__(self, base, reasons):
        self.reasons = reasons
        super().__init__(base)
        self.reset()

    def reset(self):
        super().reset()
        self.values = {self.CRV: 0xFFFF_FFFF, self.RREN: 1, self.CONFIG: 1}

    def read(self, registers, word):
        if word - self.base == self.RUNSTATUS:
            return int(self.is_running)
        return self.values.get(word - self.base, 0)

    def write(self, registers, word, size, value):
        words_only(word, size)
        offset = word - self.base
        if offset in self.values:
            if self.is_running:
                raise Fault("the watchdog is set up while it runs")
            self.values[offset] = value
        elif offset == self.START:
            self._start()
        elif offset == self.RR:
            if value != self.RELOAD:
                raise Fault(f"the watchdog is fed with {value:#x}")
            self.feed()
        else:
            raise Fault(f"the watchdog has no register at {offset:#x}")

    def _start(self):
        if self.values[self.CONFIG] & self.RUNS_HALTED:
            raise Fault("the watchdog goes on while a debug probe halts the core")
        if self.values[self.RREN] != 1:
            raise Fault("the watchdog waits for more than one to feed it, or for none")
        if self.values[self.CRV] < self.LEAST:
            raise Fault("the watchdog's time is less than it can count")
        self.is_running = True

    def times_ms(self):
        exact = 1000 * (self.values[self.CRV] + 1) / 32_768
        return exact / (1 + self.TOLERANCE), exact / (1 - self.TOLERANCE)

    def cause(self):
        return self.reasons

    def filtered(self, word, held, new):
        # A one clears a cause.
        return held & ~new if word == self.reasons[0] else new


class Rp2Watchdog(Watchdog):
    """Raspberry Pi's, of the RP2040 (data sheet, 4.7) or RP2350 (12.9).

    `chip` has what it depends on: the power-on state machine, whose parts it resets, and the
    clock that it counts."""

    NAME = "WATCHDOG"
    CTRL, LOAD, REASON, TICK = 0x00, 0x04, 0x08, 0x2C
    REGISTERS = {CTRL: "CTRL", LOAD: "LOAD", TICK: "TICK"}
    SIZE = 0x1000
    ENABLE, PAUSES, TICKS, TIMER = 1 << 30, 7 << 24, 1 << 9, 1
    MOST = 0xFF_FFFF

    def __init__(self, base, chip):
        self.chip = chip
        super().__init__(base)
        self.reset()

    def reset(self):
        super().reset()
        self.values = {self.CTRL: self.PAUSES}

    def read(self, registers, word):
        if word - self.base == self.REASON:
            return registers.get(word, 0)
        return self.values.get(word - self.base, 0)

    def write(self, registers, word, size, value):
        words_only(word, size)
        offset = word - self.base
        if offset == self.LOAD:
            if value > self.MOST:
                raise Fault(f"the watchdog cannot count to {value}")
            self.feed()
        elif offset == self.CTRL and value & self.ENABLE:
            self._start(registers, value)
        elif offset == self.CTRL:
            self.is_running = False
        elif offset == self.REASON:
            raise Fault("the reason for a reset is written")
        self.values[offset] = value

    def _start(self, registers, control):
        if control & self.PAUSES != self.PAUSES:
            raise Fault("the watchdog goes on while a debug probe halts the core")
        if not self.values.get(self.LOAD):
            raise Fault("the watchdog is started with nothing to count")
        selected = registers.get(self.chip.PSM + 8, 0)
        if selected != self.chip.PSM_PARTS & ~self.chip.PSM_OSCILLATORS:
            raise Fault(f"the watchdog resets {selected:#x} only, or the oscillators")
        if not self.tick_us(registers):
            raise Fault("nothing counts the watchdog")
        self.per_us = self.chip.COUNTS / self.tick_us(registers)
        self.is_running = True

    def tick_us(self, registers):
        """Length of a tick; zero if there is none."""
        clock_hz = self.chip.reference_hz(registers)
        if self.chip.TICKS:
            ticks = self.chip.TICKS
            is_on, cycles = (registers.get(ticks + at, 0) for at in (0x30, 0x34))
        else:
            tick = self.values.get(self.TICK, 0)
            is_on, cycles = tick & self.TICKS, tick & 0x1FF
        return cycles * 1e6 / clock_hz if is_on else 0

    def times_ms(self):
        exact = self.values[self.LOAD] / self.per_us / 1000
        return exact, exact

    def cause(self):
        return self.base + self.REASON, self.TIMER
