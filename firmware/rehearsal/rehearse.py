"""Runs a board's image on a model of its chip, and prints what it did: every register that its
start-up wrote, in order, the set-up that resulted, and the answers that it gave.

    rehearse.py [--mlperf | --watchdog] BOARD.toml IMAGE.elf PIXELS.rgb LOGITS.json

With `--mlperf` the image answers MLPerf Tiny's commands through its serial port; with
`--watchdog` it is made to hang.

Exit status 1, with the reason, if the image does what the chip's manual forbids, reports
another set-up than its registers hold or than the board's file says, or computes other logits
than the host."""

import argparse
import json
import pathlib
import sys
import tomllib
import zlib

import chips
import cortex_m
import mlperf
import rtt
from cortex_m import Fault
from machine import Hang, Image, Machine

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
# What the log says after a reset by the watchdog; where the firmware keeps the step, by a part
# of a symbol's name, and what stands there outside an inference; the step that is to hang.
LAST_RUN = "the last run ended by the watchdog"
KEPT_STEP, NO_STEP, HUNG_STEP = "8watchdog4KEPT", 0xFFFF_FFFF, 3


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
    log = link.log()
    if any(line.startswith(("warn", "error")) for line in log):
        raise Fault(f"the log says {log}")
    yield from check_memory(chip, machine, link)
    if not is_generic:
        yield from check_crc(machine)
    yield from check_weights(board, image)
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


def check_crc(machine):
    """The line to print of a chip with a unit for CRCs, which has computed that of all weights but
    for what is no whole word."""
    for unit in machine.chip.units:
        if hasattr(unit, "divided"):
            size = len(weights(machine))
            if not size - 16 < unit.divided <= size:
                raise Fault(f"the unit has divided {unit.divided} bytes, not {size}")
            yield f"the weights' CRC: by {unit.NAME}"


def check_weights(board, image):
    """The line to print of a start whose weights are not those that were written."""
    machine = Machine(chips.of(board), image)
    first, end = (image.symbols[f"_tadpool_weights_{at}"] for at in ("start", "end"))
    place = (first + end) // 2
    machine.uc.mem_write(place, bytes([machine.uc.mem_read(place, 1)[0] ^ 4]))
    machine.run_until_idle()
    found = zlib.crc32(weights(machine))
    machine.uc.mem_write(place, bytes([machine.uc.mem_read(place, 1)[0] ^ 4]))
    written = zlib.crc32(weights(machine))
    expected = "weights", f"CRC-32 {found:08x}, written {written:08x}"
    said = rtt.fault(rtt.Link(machine))
    if said != expected:
        raise Fault(f"a flipped bit of the weights ends in {said}, not {expected}")
    yield "a flipped bit of the weights: refused"


def weights(machine):
    """The weights in flash, and those in RAM."""
    data = b""
    for name in ("weights", "copied_weights"):
        first, end = (
            machine.image.symbols[f"_tadpool_{name}_{at}"] for at in ("start", "end")
        )
        data += bytes(machine.uc.mem_read(first, end - first)) if end > first else b""
    return data


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


def watch(board, image, pixels, logits):
    """The line to print of an image with a watchdog: it is started in an order that the manual
    allows, waits for as long as the board's file says, is fed while the host is waited for and
    by each step, and what hangs is in the log of the next start, and of no other."""
    chip = chips.of(board)
    machine, watchdog = Machine(chip, image), chip.units[-1]
    machine.run_until_idle()
    link = rtt.Link(machine)
    steps = rtt.hello(link)["steps"]
    if LAST_RUN in "".join(link.log()):
        raise Fault("the first start tells of a run before")
    # The least that a file can ask for is 100 ms, in which software does some 64 KB.
    if watchdog.feeds <= len(weights(machine)) >> 16:
        raise Fault("the watchdog is not fed while the weights are checked")
    limit_ms = board["watchdog"]["limit_ms"]
    least, most = watchdog.times_ms()
    if not watchdog.is_running or not limit_ms <= least <= most < 4 * limit_ms:
        raise Fault(f"the watchdog waits for {least:.0f} to {most:.0f} ms")
    fed = watchdog.feeds
    machine.run_until_idle()
    if watchdog.feeds == fed:
        raise Fault("the watchdog is not fed while the host is waited for")
    step = NO_STEP
    if chip.INFERS:
        step, fed = HUNG_STEP, watchdog.feeds
        if rtt.infer(link, pixels) != logits:
            raise Fault("the logits are not those of the host")
        if watchdog.feeds - fed <= steps:
            raise Fault("the watchdog is not fed by each step")
    [kept] = (place for name, place in image.symbols.items() if KEPT_STEP in name)
    watchdog.on_feed = lambda: machine.words(kept + 4, 1) == [step]
    try:
        link.exchange(rtt.request(pixels))
        raise Fault("nothing hangs")
    except Hang:
        check_written_back(machine, kept)
    watchdog.on_feed = lambda: False
    machine.reset(watchdog.cause())
    machine.run_until_idle()
    told = f"error: {LAST_RUN}, step {step}: nothing went on for {limit_ms} ms"
    log = rtt.Link(machine).log()
    if told not in log:
        raise Fault(f"the watchdog's reset is not told: {log}")
    register, bits = watchdog.cause()
    if not chip.KEEPS_CAUSE and machine.registers.get(register, 0) & bits:
        raise Fault("the watchdog's reset would be told again")
    machine.reset()
    machine.run_until_idle()
    log = rtt.Link(machine).log()
    if LAST_RUN in "".join(log):
        raise Fault(f"another reset is told as the watchdog's: {log}")
    yield f"the watchdog waits for {least:.0f} to {most:.0f} ms, and a hang is told"


def check_written_back(machine, kept):
    """Refuses a step that a reset would leave behind in the data cache."""
    if "data cache" in cortex_m.caches(machine.registers):
        cleaned = machine.registers.get(cortex_m.DCCMVAC, 0)
        if cleaned != kept & ~31:
            raise Fault(f"the step at {kept:#010x} stays in the data cache")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--mlperf", action="store_const", dest="act", const=converse)
    kind.add_argument("--watchdog", action="store_const", dest="act", const=watch)
    parser.set_defaults(act=rehearse)
    for name in ("board", "image", "pixels", "logits"):
        parser.add_argument(name, type=pathlib.Path)
    arguments = parser.parse_args()
    board = tomllib.loads(arguments.board.read_text())
    logits = json.loads(arguments.logits.read_text())["images"][0]["logits"]
    try:
        for line in arguments.act(
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
