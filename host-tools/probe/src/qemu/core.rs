//! The debug registers of a Cortex-M, which QEMU does not have: what a probe
//! writes to them becomes requests to the gdbstub.
//!
//! Source: Arm v7-M Architecture Reference Manual (DDI 0403), chapter C1.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use super::gdb::{Gdb, Stop};

const DFSR: u64 = 0xe000_ed30;
const AIRCR: u64 = 0xe000_ed0c;
const DHCSR: u64 = 0xe000_edf0;
const DCRSR: u64 = 0xe000_edf4;
const DCRDR: u64 = 0xe000_edf8;
const DEMCR: u64 = 0xe000_edfc;
const FP_CTRL: u64 = 0xe000_2000;
const FP_COMP: u64 = 0xe000_2008;
const FP_COMP_LAST: u64 = FP_COMP + 4 * (COMPARATORS as u64 - 1);

const COMPARATORS: usize = 6;
/// The breakpoint unit that can break at any address.
const FP_VERSION_2: u32 = 1 << 28;

const C_DEBUGEN: u32 = 1 << 0;
const C_HALT: u32 = 1 << 1;
const C_STEP: u32 = 1 << 2;
const CONTROL_BITS: u32 = 0xf;
const S_REGRDY: u32 = 1 << 16;
const S_HALT: u32 = 1 << 17;
const S_RESET_ST: u32 = 1 << 25;
const DEBUG_KEY: u32 = 0xa05f;

const DFSR_HALTED: u32 = 1 << 0;
const DFSR_BREAKPOINT: u32 = 1 << 1;
const DFSR_VECTOR_CATCH: u32 = 1 << 3;
const VC_CORERESET: u32 = 1 << 0;
const SYSRESETREQ: u32 = 1 << 2;

/// Longest time that one look at the status waits for the core to halt, so that
/// a probe that looks again and again leaves the processor to the emulator.
const LOOK_TIME: Duration = Duration::from_millis(1);
/// Numbers of registers for the gdbstub.
const LR: u32 = 14;
const SP: u32 = 13;
const XPSR: u32 = 25;

/// A core, as a probe sees it.
#[derive(Debug)]
pub(super) struct Core {
    gdb: Gdb,
    /// In debug state. A core that is not may be paused nevertheless, while its
    /// memory is looked at.
    halted: bool,
    in_reset: bool,
    was_reset: bool,
    control: u32,
    demcr: u32,
    dfsr: u32,
    dcrdr: u32,
    breakpoints_on: bool,
    comparators: [u32; COMPARATORS],
    /// Addresses at which the gdbstub breaks.
    breakpoints: Vec<u32>,
}

impl Core {
    /// The core of a machine whose memory is empty: of its code, which begins at
    /// `code`, and of the stack that may begin at `stack`.
    pub(super) fn power_up(
        stream: TcpStream,
        answer_time: Duration,
        code: u32,
        stack: u32,
    ) -> io::Result<Self> {
        /// `b .`, twice.
        const STAY: u32 = 0xe7fe_e7fe;
        let mut gdb = Gdb::new(stream, answer_time)?;
        // An empty memory locks a core up, which ends QEMU.
        let program = [stack, code + 9, STAY];
        let program: Vec<u8> = program.iter().flat_map(|word| word.to_le_bytes()).collect();
        gdb.write_memory(code.into(), &program)?;
        gdb.reset()?;
        gdb.resume()?;
        Ok(Self {
            gdb,
            halted: false,
            in_reset: false,
            was_reset: false,
            control: 0,
            demcr: 0,
            dfsr: 0,
            dcrdr: 0,
            breakpoints_on: false,
            comparators: [0; COMPARATORS],
            breakpoints: Vec::new(),
        })
    }

    /// Reads memory, or registers that QEMU has.
    pub(super) fn read_memory(&mut self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.pause()?;
        self.gdb.read_memory(address, bytes)
    }

    /// Writes memory, or registers that QEMU has.
    pub(super) fn write_memory(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.pause()?;
        self.gdb.write_memory(address, bytes)
    }

    /// Reads the register at `address`, if it is one of those that QEMU does not
    /// have.
    pub(super) fn read_register(&mut self, address: u64) -> io::Result<Option<u32>> {
        Ok(Some(match address {
            DHCSR => self.status()?,
            DCRDR => self.dcrdr,
            DEMCR => self.demcr,
            DFSR => self.dfsr,
            FP_CTRL => FP_VERSION_2 | (COMPARATORS as u32) << 4 | u32::from(self.breakpoints_on),
            FP_COMP..=FP_COMP_LAST => self.comparators[comparator(address)],
            _ => return Ok(None),
        }))
    }

    /// Writes the register at `address`; false if it is one that QEMU has.
    pub(super) fn write_register(&mut self, address: u64, value: u32) -> io::Result<bool> {
        match address {
            DHCSR if value >> 16 == DEBUG_KEY => self.write_control(value & CONTROL_BITS)?,
            DHCSR => {} // without the key it stays as it is
            DCRSR => self.transfer(value)?,
            DCRDR => self.dcrdr = value,
            DEMCR => self.demcr = value,
            DFSR => self.dfsr &= !value,
            AIRCR if value & SYSRESETREQ != 0 => self.reset()?,
            FP_CTRL => {
                const KEY: u32 = 1 << 1;
                if value & KEY != 0 {
                    self.breakpoints_on = value & 1 != 0;
                    self.set_breakpoints()?;
                }
            }
            FP_COMP..=FP_COMP_LAST => {
                self.comparators[comparator(address)] = value;
                self.set_breakpoints()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Lets a core go on that was only paused to be looked at.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        match self.halted || self.in_reset {
            true => Ok(()),
            false => self.gdb.resume(),
        }
    }

    /// Holds the core in reset, or lets it out.
    pub(super) fn hold_reset(&mut self, hold: bool) -> io::Result<()> {
        if hold {
            self.pause()?;
            self.in_reset = true;
            // As real probes do, so that the core can be caught as it comes out.
            self.control |= C_DEBUGEN;
        } else if self.in_reset {
            self.in_reset = false;
            self.reset()?;
        }
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        if self.gdb.executes() && self.gdb.pause()? == Stop::Breakpoint {
            self.break_off();
        }
        Ok(())
    }

    fn status(&mut self) -> io::Result<u32> {
        self.go_on()?;
        if self.gdb.wait_for_stop(LOOK_TIME)? == Some(Stop::Breakpoint) {
            self.break_off();
        }
        let mut status = self.control | S_REGRDY;
        if self.halted {
            status |= S_HALT;
        }
        if std::mem::take(&mut self.was_reset) {
            status |= S_RESET_ST;
        }
        Ok(status)
    }

    fn break_off(&mut self) {
        self.halt(DFSR_BREAKPOINT);
    }

    fn halt(&mut self, reason: u32) {
        self.halted = true;
        self.control |= C_HALT;
        self.dfsr |= reason;
    }

    fn write_control(&mut self, control: u32) -> io::Result<()> {
        self.pause()?;
        self.control = control;
        let is = |bit| control & bit != 0;
        if is(C_DEBUGEN) && is(C_HALT) {
            if !self.halted {
                self.halt(DFSR_HALTED);
            }
        } else if is(C_DEBUGEN) && is(C_STEP) && self.halted {
            self.gdb.step()?;
            self.halt(DFSR_HALTED);
        } else if self.halted {
            self.break_at_return()?;
            self.halted = false;
        }
        self.go_on()
    }

    /// Breaks where the core returns to, if a BKPT instruction is there: to QEMU
    /// that is an exception, to a probe the end of a flash algorithm's function.
    fn break_at_return(&mut self) -> io::Result<()> {
        const BKPT: u8 = 0xbe;
        let address = self.gdb.read_register(LR)? & !1;
        let mut code = [0; 2];
        let is_bkpt = address < 0xe000_0000
            && self.gdb.read_memory(address.into(), &mut code).is_ok()
            && code[1] == BKPT;
        if is_bkpt && !self.breakpoints.contains(&address) {
            self.gdb.set_breakpoint(address, true)?;
            self.breakpoints.push(address);
        }
        Ok(())
    }

    /// Reads or writes the core's register that a value of DCRSR names.
    fn transfer(&mut self, selector: u32) -> io::Result<()> {
        const WRITE: u32 = 1 << 16;
        self.pause()?;
        let number = match selector & 0xff {
            number @ 0..=15 => Some(number),
            16 => Some(XPSR),
            17 | 18 => Some(SP), // there is one stack in use
            _ => None,
        };
        match number {
            Some(number) if selector & WRITE != 0 => self.gdb.write_register(number, self.dcrdr)?,
            Some(number) => self.dcrdr = self.gdb.read_register(number)?,
            None if selector & WRITE == 0 => self.dcrdr = 0,
            None => {}
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.pause()?;
        self.gdb.reset()?;
        self.was_reset = true;
        self.breakpoints_on = false;
        self.set_breakpoints()?;
        self.halted = false;
        self.control &= !C_HALT;
        if self.demcr & VC_CORERESET != 0 && self.control & C_DEBUGEN != 0 {
            self.halt(DFSR_VECTOR_CATCH);
        }
        self.go_on()
    }

    fn set_breakpoints(&mut self) -> io::Result<()> {
        self.pause()?;
        for address in std::mem::take(&mut self.breakpoints) {
            self.gdb.set_breakpoint(address, false)?;
        }
        if self.breakpoints_on {
            let enabled = self.comparators.iter().filter(|value| *value & 1 != 0);
            for address in enabled.map(|value| value & !1) {
                self.gdb.set_breakpoint(address, true)?;
                self.breakpoints.push(address);
            }
        }
        Ok(())
    }
}

fn comparator(address: u64) -> usize {
    ((address - FP_COMP) / 4) as usize
}
