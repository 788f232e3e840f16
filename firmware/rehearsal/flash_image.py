"""Writes an image into the flash as probe-rs does, by its algorithm for the chip, run on a model of
the chip's flash controller; and prints what was written.

    flash_image.py BOARD.toml IMAGE.elf TARGETS

TARGETS is the folder of probe-rs' target descriptions. Exit status 1, with the reason, if the
algorithm does what the manual forbids or the flash then holds other bytes than the image; if there
is no model of the controller, that is said."""

import argparse
import base64
import pathlib
import sys
import tomllib
from dataclasses import dataclass

import unicorn
import yaml
from unicorn import arm_const as arm

import flash
from cortex_m import Fault
from machine import Image

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Longest time of one call, in microseconds of the host.
LIMIT_US = 60_000_000
# What the functions of an algorithm are called for.
ERASING, PROGRAMMING = 1, 2
# Bytes before the code, where the functions return to.
HEADER = 0x20
STACK = 0x800


@dataclass
class Flash:
    """The flash as the emulator maps it."""

    uc: unicorn.Uc
    origin: int
    length: int
    erased: int = 0

    def read(self, address, size):
        return bytes(self.uc.mem_read(address, size))

    def erase(self, address, size):
        if not (self.origin <= address and address + size <= self.origin + self.length):
            raise Fault(f"{address:#010x} is erased, where no flash is")
        self.uc.mem_write(address, b"\xff" * size)
        self.erased += size

    def erase_all(self):
        self.erase(self.origin, self.length)


def find(targets, board):
    """probe-rs' algorithm for the board's code, and the memory that it is run in."""
    chip = board["chip"].lower()
    code = board["memory"][board["layout"]["code"]]
    named = board["runner"]["probe"].get("flash_algorithms", [])
    for path in sorted(targets.glob("*.yaml")):
        text = path.read_text()
        if f"name: {chip}" not in text.lower():
            continue
        family = yaml.load(text, LOADER)
        variants = family["variants"]
        variant = next(it for it in variants if it["name"].lower().startswith(chip))
        ram = next(it.value for it in variant["memory_map"] if it.tag == "!Ram")
        algorithms = [
            it
            for it in family["flash_algorithms"]
            if it["name"] in variant["flash_algorithms"] and covers(it, code)
        ]
        preferred = [it for it in algorithms if it["name"] in named]
        usual = [it for it in algorithms if it.get("default")]
        return (preferred or usual or algorithms)[0], ram["range"]["start"]
    raise Fault(f"probe-rs has no description of {board['chip']}")


def covers(algorithm, code):
    places = algorithm["flash_properties"]["address_range"]
    return places["start"] <= code["origin"] < places["end"]


class Programmer:
    """An algorithm in the chip's RAM."""

    def __init__(self, algorithm, ram, model, code):
        self.algorithm = algorithm
        self.fault = None
        properties = algorithm["flash_properties"]
        self.page = properties["page_size"]
        instructions = base64.b64decode(algorithm["instructions"])
        self.start = algorithm.get("load_address") or ram + HEADER
        self.end = self.start - HEADER
        self.buffer = (self.start + len(instructions) + STACK + 0x1000) & ~0xFFF
        self.stack = self.buffer
        self.uc = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        self.uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        lowest = self.end & ~0xFFFF
        size = (self.buffer + self.page - lowest + 0xFFFF) & ~0xFFFF
        self.uc.mem_map(lowest, size)
        self.uc.mem_write(self.start, instructions)
        self.uc.mem_map(code["origin"], code["length"])
        # What was there before: another program.
        self.uc.mem_write(code["origin"], b"\x5a" * code["length"])
        self.flash = Flash(self.uc, code["origin"], code["length"])
        self.controller = model(self.flash)
        page = model.BASE & ~0xFFF
        self.uc.mmio_map(page, 0x1000, self._read, page, self._write, page)
        for other in {address & ~0xFFF for address in model.OTHERS}:
            self.uc.mem_map(other, 0x1000)
        for address, value in model.OTHERS.items():
            self.uc.mem_write(address, value.to_bytes(4, "little"))
        last = code["origin"] + code["length"] - 1
        self.uc.hook_add(
            unicorn.UC_HOOK_MEM_WRITE, self._store, begin=code["origin"], end=last
        )
        self.uc.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED, self._unmapped)

    def call(self, function, *arguments):
        """Calls a function of the algorithm, which returns zero."""
        registers = arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2
        for register, argument in zip(registers, arguments):
            self.uc.reg_write(register, argument)
        static = self.start + self.algorithm["data_section_offset"]
        self.uc.reg_write(arm.UC_ARM_REG_R9, static)
        self.uc.reg_write(arm.UC_ARM_REG_SP, self.stack)
        self.uc.reg_write(arm.UC_ARM_REG_LR, self.end | 1)
        entry = self.start + self.algorithm[f"pc_{function}"]
        try:
            self.uc.emu_start(entry | 1, self.end, LIMIT_US)
        except unicorn.UcError as error:
            raise self.fault or Fault(f"{function} stopped: {error}") from error
        if self.fault:
            raise self.fault
        if self.uc.reg_read(arm.UC_ARM_REG_PC) != self.end:
            raise Fault(f"{function} does not end")
        result = self.uc.reg_read(arm.UC_ARM_REG_R0)
        if result:
            raise Fault(f"{function} fails with {result}")

    def write(self, segments):
        """Erases the sectors that the segments lie in, and programs their pages."""
        pages = pages_of(segments, self.page)
        self.session(ERASING)
        for sector in self.sectors(pages):
            self.call("erase_sector", sector)
        self.end_session(ERASING)
        self.session(PROGRAMMING)
        for address, data in sorted(pages.items()):
            self.uc.mem_write(self.buffer, bytes(data))
            self.call("program_page", address, len(data), self.buffer)
        self.end_session(PROGRAMMING)
        return pages

    def session(self, purpose):
        if "pc_init" in self.algorithm:
            self.call("init", self.flash.origin, 0, purpose)

    def end_session(self, purpose):
        if "pc_uninit" in self.algorithm:
            self.call("uninit", purpose)

    def sectors(self, pages):
        """The first addresses of the sectors that the pages are parts of, or that are parts of a
        page."""
        properties = self.algorithm["flash_properties"]
        origin = properties["address_range"]["start"]
        groups = sorted(properties["sectors"], key=lambda it: it["address"])
        found = set()
        for page in pages:
            place = page
            while place < page + self.page:
                group = [it for it in groups if it["address"] <= place - origin][-1]
                start = origin + group["address"]
                start += (place - start) // group["size"] * group["size"]
                found.add(start)
                place = start + group["size"]
        return sorted(found)

    def _read(self, _uc, offset, size, page):
        place = page + offset - self.controller.BASE
        value = self.controller.read(place & ~3) if 0 <= place else 0
        return value >> 8 * (place & 3) & ((1 << 8 * size) - 1)

    def _write(self, _uc, offset, size, value, page):
        place = page + offset - self.controller.BASE
        try:
            if size != 4 or place % 4 or not 0 <= place < self.controller.SIZE:
                raise Fault(f"a store of {size} bytes to {page + offset:#010x}")
            self.controller.write(place, value)
        except Fault as fault:
            self._stop(fault)

    def _store(self, _uc, _kind, address, size, value, _data):
        try:
            value &= (1 << 8 * size) - 1
            if size == 8:
                # Two registers at once.
                self.controller.check_store(address, 4, value & 0xFFFF_FFFF)
                self.controller.check_store(address + 4, 4, value >> 32)
            else:
                self.controller.check_store(address, size, value)
        except Fault as fault:
            self._stop(fault)

    def _unmapped(self, _uc, _kind, address, _size, _value, _data):
        self._stop(Fault(f"nothing is at {address:#010x}"))
        return False

    def _stop(self, fault):
        self.fault = self.fault or fault
        self.uc.emu_stop()


def pages_of(segments, size):
    """The pages of the flash that hold the segments, erased where they hold nothing."""
    pages = {}
    for origin, data in segments:
        for at, byte in enumerate(data):
            page = (origin + at) // size * size
            pages.setdefault(page, bytearray(b"\xff" * size))[origin + at - page] = byte
    return pages


class Tagged:
    """A value of YAML with a tag."""

    def __init__(self, tag, value):
        self.tag, self.value = tag, value


def tagged(loader, suffix, node):
    if isinstance(node, yaml.MappingNode):
        return Tagged(suffix, loader.construct_mapping(node, deep=True))
    return Tagged(suffix, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for name in ("board", "image", "targets"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    LOADER.add_multi_constructor("", tagged)
    board = tomllib.loads(arguments.board.read_text())
    model = flash.of(board["chip"])
    if model is None:
        print("no model of the flash controller: the algorithm is found, and not run")
        return
    code = board["memory"][board["layout"]["code"]]
    try:
        algorithm, ram = find(arguments.targets, board)
        segments = [
            (origin, data)
            for origin, data in Image.read(arguments.image).segments
            if code["origin"] <= origin < code["origin"] + code["length"]
        ]
        programmer = Programmer(algorithm, ram, model, code)
        pages = programmer.write(segments)
        for origin, data in segments:
            if programmer.flash.read(origin, len(data)) != data:
                raise Fault(f"the flash does not hold the image at {origin:#010x}")
        length = sum(len(data) for _, data in segments)
        print(
            f"{algorithm['name']} writes {length} bytes in {len(pages)} pages, after it erased "
            f"{programmer.flash.erased}"
        )
    except (Fault, ValueError) as error:
        print(f"{board['name']}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
