"""The registers that every Cortex-M has: system control, cycle counter, timer, caches."""


class Fault(Exception):
    """The chip, or its manual, does not allow what the image did."""


BASE = 0xE000_0000
WINDOWS = [(0xE000_0000, 0x10_0000)]

CPUID, VTOR, AIRCR, CCR, CPACR = (
    0xE000_E000 + at for at in (0xD00, 0xD08, 0xD0C, 0xD14, 0xD88)
)
CCSIDR, CSSELR, ICIALLU, DCISW = (
    0xE000_E000 + at for at in (0xD80, 0xD84, 0xF50, 0xF60)
)
DEMCR, DWT_CTRL, DWT_CYCCNT, DWT_LAR = (
    0xE000_EDFC,
    0xE000_1000,
    0xE000_1004,
    0xE000_1FB0,
)
SYST_CSR, SYST_RVR, SYST_CVR = 0xE000_E010, 0xE000_E014, 0xE000_E018
MPU_TYPE, MPU_CTRL, MPU_RNR, MPU_RBAR, MPU_RASR = (
    0xE000_ED90 + 4 * at for at in range(5)
)
SHCSR = 0xE000_ED24
DCCMVAC = 0xE000_EF68

NAMES = {
    VTOR: "SCB.VTOR",
    AIRCR: "SCB.AIRCR",
    CCR: "SCB.CCR",
    CPACR: "SCB.CPACR",
    SHCSR: "SCB.SHCSR",
    CSSELR: "SCB.CSSELR",
    ICIALLU: "SCB.ICIALLU",
    DEMCR: "DCB.DEMCR",
    DWT_CTRL: "DWT.CTRL",
    DWT_CYCCNT: "DWT.CYCCNT",
    DWT_LAR: "DWT.LAR",
    SYST_CSR: "SYST.CSR",
    SYST_RVR: "SYST.RVR",
    SYST_CVR: "SYST.CVR",
    MPU_CTRL: "MPU.CTRL",
    MPU_RNR: "MPU.RNR",
    MPU_RBAR: "MPU.RBAR",
    MPU_RASR: "MPU.RASR",
}
# A cache of 4 KB: two ways of 64 sets of 32 bytes.
CCSIDR_VALUE = 0xF00F_E019 & ~0x0FFF_FFF8 | 63 << 13 | 1 << 3 | 1

RESET = {CCR: 0x200, AIRCR: 0xFA05_0000, DWT_CTRL: 0x4000_0000, MPU_TYPE: 0x800}

RESET_KEY, SYSRESETREQ = 0x05FA, 1 << 2
DATA_CACHE, INSTRUCTION_CACHE = 1 << 16, 1 << 17
TRCENA = 1 << 24
DEFAULT_MAP, ACCESS = 1 << 2, 7 << 24
SETS_AND_WAYS = 64 * 2


def read(machine, word, held):
    """The value of a register of the core; none if it holds what was written."""
    if word == CPUID:
        return machine.chip.CPUID
    if word == CCSIDR:
        return CCSIDR_VALUE
    if word == DWT_CYCCNT:
        # Stands still without its clock.
        is_on = machine.registers.get(DEMCR, 0) & TRCENA
        return machine.cycles & 0xFFFF_FFFF if is_on else 0
    if word == SYST_CVR:
        return 0xFF_FFFF - (machine.cycles & 0xFF_FFFF)
    return held


def write(machine, word, value):
    """Writes a register of the core; refuses a cache that is switched on uninvalidated."""
    registers = machine.registers
    if word == AIRCR and value >> 16 == RESET_KEY and value & SYSRESETREQ:
        machine.is_reset = True
        machine.uc.emu_stop()
        return
    if word == DWT_CYCCNT:
        machine.cycles = value
    if word in (ICIALLU, DCISW):
        registers[word] = registers.get(word, 0) + 1
        if word == DCISW and registers[word] == SETS_AND_WAYS:
            machine.trace.append("-- the whole data cache is invalidated --")
        return
    if word == CCR:
        turned_on = value & ~registers.get(CCR, 0)
        if turned_on & INSTRUCTION_CACHE and not registers.get(ICIALLU):
            raise Fault("the instruction cache is switched on before it is invalidated")
        if turned_on & DATA_CACHE and registers.get(DCISW, 0) < SETS_AND_WAYS:
            raise Fault("the data cache is switched on before all of it is invalidated")
    registers[word] = value


def guard(registers):
    """The first address and the bytes of the region that no access is allowed to; none if
    there is none, or if it closes more than itself."""
    control, attributes = registers.get(MPU_CTRL, 0), registers.get(MPU_RASR, 0)
    is_on = control & 1 and attributes & 1
    if not is_on or not control & DEFAULT_MAP or attributes & ACCESS:
        return None
    size = 2 << (attributes >> 1 & 0x1F)
    return registers.get(MPU_RBAR, 0) // size * size, size


def caches(registers):
    """The core's caches that are on, in words."""
    ccr = registers.get(CCR, 0)
    on = [(INSTRUCTION_CACHE, "instruction cache"), (DATA_CACHE, "data cache")]
    return " and ".join(name for bit, name in on if ccr & bit) or "none"
