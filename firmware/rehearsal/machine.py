"""A chip that runs an image: Unicorn executes the code, a model of the chip answers for its
registers, and every write to one is noted in order."""

from dataclasses import dataclass, field

import unicorn
from elftools.elf.elffile import ELFFile
from unicorn import arm_const as arm

import cortex_m
from cortex_m import Fault

# The instruction for a turn of a waiting loop, which Unicorn refuses to execute.
YIELD = b"\x10\xbf"
# Longest time of a run, in microseconds of the host.
LIMIT_US = 120_000_000


@dataclass
class Image:
    """What an ELF file loads, and its symbols."""

    segments: list
    symbols: dict

    @classmethod
    def read(cls, path):
        with open(path, "rb") as file:
            elf = ELFFile(file)
            segments = [
                (segment["p_paddr"], segment.data())
                for segment in elf.iter_segments("PT_LOAD")
                if segment["p_filesz"]
            ]
            table = elf.get_section_by_name(".symtab")
            symbols = {
                symbol.name: symbol["st_value"] for symbol in table.iter_symbols()
            }
        return cls(segments, symbols)


class Hang(Exception):
    """The program goes nowhere, as its watchdog was told that it does."""


@dataclass
class Machine:
    """`chip` with `image` in its memory."""

    chip: object
    image: Image
    # A `SerialPort`, where a host is at the chip's.
    port: object = None
    trace: list = field(default_factory=list)

    def __post_init__(self):
        self.fault = None
        self.is_reset = False
        self.cycles = 0
        self.uc = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        self.uc.ctl_set_cpu_model(getattr(arm, self.chip.CPU))
        for origin, size, filling in self.chip.MEMORIES:
            self.uc.mem_map(origin, size)
            self.uc.mem_write(origin, filling * size)
        for base, size in self.chip.WINDOWS + cortex_m.WINDOWS:
            self.uc.mmio_map(base, size, self._read, base, self._write, base)
        for address, data in self.image.segments:
            self.uc.mem_write(address, data)
        for unit in self.chip.units:
            unit.memory = self.uc
        self.uc.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED, self._unmapped)
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._exception)
        self.reset()

    def reset(self, cause=None, by_software=False):
        """Power-up, or a reset that the image asked for; memory keeps what it holds. `cause`:
        register and bits that tell what it was."""
        self.registers = dict(cortex_m.RESET) | dict(self.chip.RESET)
        if cause:
            register, bits = cause
            self.registers[register] = self.registers.get(register, 0) | bits
        for unit in self.chip.units:
            if not (by_software and unit.OUTLIVES_SOFTWARE):
                unit.reset()
        self.is_reset = self.is_hung = False
        stack, start = self.words(self.chip.vector_table(self.image), 2)
        self.uc.reg_write(arm.UC_ARM_REG_SP, stack)
        self.pc = start

    def run_until_idle(self):
        """Runs until the image waits for something in a loop."""
        while True:
            try:
                self.uc.emu_start(self.pc | 1, 0xFFFF_FFFE, LIMIT_US)
                error = None
            except unicorn.UcError as cause:
                error = cause
            if self.fault:
                raise self.fault
            if self.is_hung:
                raise Hang
            self.pc = self.uc.reg_read(arm.UC_ARM_REG_PC)
            if self.port and self.port.is_idle:
                return
            if self.is_reset:
                self.trace.append("-- resets itself --")
                self.reset(by_software=True)
                continue
            for place in (self.pc, self.pc - 2):
                if bytes(self.uc.mem_read(place, 2)) == YIELD:
                    self.pc = place + 2
                    return
            raise Fault(f"stopped at {self.pc:#010x}: {error or 'it does not end'}")

    def words(self, address, count):
        data = self.uc.mem_read(address, 4 * count)
        return [
            int.from_bytes(data[at : at + 4], "little") for at in range(0, 4 * count, 4)
        ]

    def set_word(self, address, value):
        self.uc.mem_write(address, value.to_bytes(4, "little"))

    def _read(self, _uc, offset, size, base):
        address = base + offset
        word, shift = address & ~3, 8 * (address & 3)
        self.cycles += 50
        value = self.port.read(word) if self.port else None
        if value is not None:
            if self.port.is_idle:
                self.uc.emu_stop()
            return (value >> shift) & ((1 << 8 * size) - 1)
        unit = self.chip.unit(word)
        if unit:
            try:
                value = unit.read(self.registers, word)
                self._note(unit.take_notes())
            except Fault as fault:
                self._stop(fault)
                value = 0
            return (value >> shift) & ((1 << 8 * size) - 1)
        held = self.registers.get(self.chip.home(word), 0)
        value = cortex_m.read(self, word, held) if word >= cortex_m.BASE else None
        if value is None:
            value = self.chip.read(self.registers, word, held)
        return (value >> shift) & ((1 << 8 * size) - 1)

    def _write(self, _uc, offset, size, value, base):
        address = base + offset
        word, shift = address & ~3, 8 * (address & 3)
        if self.port:
            self.port.write(word, value)
        try:
            unit = self.chip.unit(word)
            if self.chip.is_traced(word, unit):
                name = self.chip.name(word)
                self.trace.append(f"{name:<24} = {value:0{2 * size}x}")
            if unit:
                unit.write(self.registers, word, size, value)
                self._note(unit.take_notes())
                if unit.has_ended:
                    unit.has_ended, self.is_hung = False, True
                    self.uc.emu_stop()
                return
            home = self.chip.home(word)
            held = self.registers.get(home, 0)
            mask = ((1 << 8 * size) - 1) << shift
            new = held & ~mask | value << shift
            if word >= cortex_m.BASE:
                cortex_m.write(self, word, new)
                return
            new = self.chip.written(self.registers, word, held, new)
            for unit in self.chip.units:
                new = unit.filtered(word, held, new)
            self.registers[home] = new
            self._note(
                self.chip.write(self.registers, word, held, self.registers[home])
            )
            self.chip.check(self.registers)
        except Fault as fault:
            self._stop(fault)

    def _note(self, notes):
        self.trace += (f"-- {note} --" for note in notes)

    def _stop(self, fault):
        pc = self.uc.reg_read(arm.UC_ARM_REG_PC)
        self.fault = Fault(f"{fault} (pc {pc:#010x})")
        self.uc.emu_stop()

    def _unmapped(self, uc, _kind, address, _size, _value, _data):
        pc = uc.reg_read(arm.UC_ARM_REG_PC)
        self.fault = Fault(f"nothing is at {address:#010x} (pc {pc:#010x})")
        return False

    def _exception(self, uc, number, _data):
        pc = uc.reg_read(arm.UC_ARM_REG_PC)
        if (
            bytes(uc.mem_read(pc, 2)) != YIELD
            and bytes(uc.mem_read(pc - 2, 2)) != YIELD
        ):
            self.fault = Fault(f"exception {number} (pc {pc:#010x})")
        uc.emu_stop()
