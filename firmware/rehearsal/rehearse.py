"""Runs a board's image on a model of its chip, and prints what it did: every register that its
start-up wrote, in order, the set-up that resulted, and the answers that it gave.

    rehearse.py [--mlperf] BOARD.toml IMAGE.elf PIXELS.rgb LOGITS.json

With `--mlperf` the image answers MLPerf Tiny's commands through its serial port.

Exit status 1, with the reason, if the image does what the chip's manual forbids, reports
another set-up than its registers hold or than the board's file says, or computes other logits
than the host."""

import argparse
import json
import pathlib
import sys
import tomllib

import chips
import cortex_m
import mlperf
import rtt
from cortex_m import Fault
from machine import Image, Machine

# Fields of the firmware's own account that the registers tell too.
REPORTED = [
    "core_hz",
    "flash_wait_states",
    "flash_cache",
    "crystal",
    "boost",
    "dual_bank",
]
ONE = 1 << 16


def rehearse(board, image, pixels, logits):
    """The lines to print; a `Fault` if something is not as it should be."""
    chip = chips.of(board)
    machine = Machine(chip, image)
    link = rtt.Link(machine)
    try:
        machine.run_until_idle()
    finally:
        yield from machine.trace
    said = rtt.hello(link)
    yield ""
    registers = machine.registers
    state = chip.state(registers)
    for name, value in state.items():
        yield f"{name}: {value}"
    caches = cortex_m.caches(registers)
    yield f"caches: {caches}"
    # Start-up code for every chip knows what every core has.
    is_generic = board.get("startup") == "cortex-m"
    for name in ["core_hz"] if is_generic else REPORTED:
        if said[name] != state[name]:
            raise Fault(
                f"the firmware reports {name} = {said[name]}, not {state[name]}"
            )
    for name in ("instruction_cache", "data_cache"):
        if said[name] != (name.replace("_", " ") in caches):
            raise Fault(f"the firmware reports {name} = {said[name]}; on are: {caches}")
    clock = board["clock"]
    if said["core_hz"] != clock["core_hz"]:
        raise Fault(
            f"the board's file has core_hz = {clock['core_hz']}, not {said['core_hz']}"
        )
    if said["flash_wait_states"] not in (None, clock["flash_wait_states"]):
        there, here = clock["flash_wait_states"], said["flash_wait_states"]
        raise Fault(f"the board's file has flash_wait_states = {there}, not {here}")
    if said["board"] != board["name"]:
        raise Fault(f"the image is one for {said['board']}")
    yield from check_memory(chip, machine, link)
    yield f"answers as {said['board']} with {said['model']}"
    # As a debug probe does that ends its session; an inference has to count cycles again.
    if chip.CPUID >> 4 & 0xFFF != 0xC60:
        registers[cortex_m.DEMCR] = 0
    if not chip.INFERS:
        yield "no inference: the emulator lacks this core's vector extension"
        return
    found = rtt.infer(link, pixels)
    if found != logits:
        raise Fault(f"the logits are {found}, not {logits} as on the host")
    if (
        chip.CPUID >> 4 & 0xFFF != 0xC60
        and not registers[cortex_m.DEMCR] & cortex_m.TRCENA
    ):
        raise Fault("an inference was timed by a cycle counter that stands still")
    yield f"infers the host's {len(logits)} logits"


def check_memory(chip, machine, link):
    """The lines to print of what lies where; a `Fault` if an overflow of the stack or the
    data cache could do harm."""
    if not chip.HAS_STACK_LIMIT:
        end = machine.image.symbols["_stack_end"]
        start, size = cortex_m.guard(machine.registers) or (0, 0)
        if start + size != end:
            raise Fault(f"nothing guards the end of the stack at {end:#010x}")
        yield f"stack guard: {size} bytes"
    if "data cache" not in cortex_m.caches(machine.registers):
        return
    for place, size in link.places():
        if not any(
            origin <= place and place + size <= origin + length
            for origin, length in chip.TIGHTLY_COUPLED
        ):
            raise Fault(f"a ring of RTT at {place:#010x} lies behind the data cache")
    yield "RTT's rings: tightly coupled"


def converse(board, image, pixels, logits):
    """The lines to print of a conversation through the serial port."""
    chip = chips.of(board)
    base, kind, *generation = chip.UART
    port = kind(base, *generation or [3], mlperf.commands(pixels), mlperf.READY)
    machine = Machine(chip, image, port)
    machine.run_until_idle()
    baud = board["uart"]["baud"]
    rate = port.check_rate(machine.registers, chip.uart_hz(machine.registers), baud)
    mlperf.check(port.said, pixels, logits)
    yield f"MLPerf's commands are answered with the host's logits, at {rate:.0f} baud"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mlperf", action="store_true")
    for name in ("board", "image", "pixels", "logits"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    board = tomllib.loads(arguments.board.read_text())
    logits = json.loads(arguments.logits.read_text())["images"][0]["logits"]
    try:
        for line in (converse if arguments.mlperf else rehearse)(
            board,
            Image.read(arguments.image),
            arguments.pixels.read_bytes(),
            [round(logit * ONE) for logit in logits],
        ):
            print(line)
    except (Fault, ValueError) as error:
        print(f"{board['name']}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
