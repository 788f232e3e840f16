//! The virtual probe: what probe-rs asks of a debug probe, done by a [`Core`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probe_rs::MemoryInterface;
use probe_rs::architecture::arm::ap::CSW;
use probe_rs::architecture::arm::dp::{DpAddress, DpRegisterAddress};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{
    ArmDebugInterface, ArmError, DapAccess, DapProbe, FullyQualifiedApAddress, SwdSequence,
    SwoAccess, SwoConfig,
};
use probe_rs::probe::list::ProbeListItem;
use probe_rs::probe::{
    DebugProbe, DebugProbeError, DebugProbeInfo, DebugProbeSelector, Probe, ProbeCreationError,
    ProbeFactory, WireProtocol,
};

use super::core::Core;

/// The ids of USB that open hardware may use for tests.
const VENDOR: u16 = 0x1209;
const PRODUCT: u16 = 0x0001;
const NAME: &str = "Virtual probe";
/// The speed of a probe that was told none.
const FASTEST_KHZ: u32 = 10_000;
/// Where the registers of the core itself begin.
const SYSTEM: u64 = 0xe000_0000;
const ROM_TABLE: u64 = 0xe00f_f000;
/// The reset wire, of the pins that a probe has.
const NRESET: u32 = 1 << 7;

/// Something between the virtual probe and the core, which can break what goes
/// through it: for tests of what happens then.
pub trait Tamper: Send + fmt::Debug {
    /// The probe was told to run at a speed.
    ///
    /// # Errors
    /// If it cannot.
    fn speed(&mut self, khz: u32) -> io::Result<()> {
        let _ = khz;
        Ok(())
    }

    /// `bytes` were read from `address`.
    ///
    /// # Errors
    /// If the probe is not to get them.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        let _ = (address, bytes);
        Ok(())
    }

    /// `bytes` are about to be written to `address`.
    ///
    /// # Errors
    /// If the core is not to get them.
    fn write(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        let _ = (address, bytes);
        Ok(())
    }
}

/// Makes virtual probes; probe-rs knows it after [`super::register`].
#[derive(Debug)]
pub(super) struct Factory;

impl fmt::Display for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QEMU")
    }
}

impl ProbeFactory for Factory {
    fn open(&self, selector: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
        let is_virtual = (selector.vendor_id, selector.product_id) == (VENDOR, PRODUCT);
        let serial_number = selector.serial_number.as_deref().filter(|_| is_virtual);
        let wires = serial_number.and_then(|number| plugged_in().get(number).cloned());
        match wires {
            // Each probe has one user at a time.
            Some(wires) if Arc::strong_count(&wires) == 2 => Ok(Box::new(VirtualProbe {
                wires,
                speed_khz: FASTEST_KHZ,
            })),
            Some(_) => Err(ProbeCreationError::CouldNotOpen.into()),
            None => Err(ProbeCreationError::NotFound.into()),
        }
    }

    fn list_probes(&self) -> Vec<ProbeListItem> {
        let item = |serial_number: &String| {
            let serial_number = Some(serial_number.clone());
            ProbeListItem::accessible(DebugProbeInfo::new(
                NAME,
                VENDOR,
                PRODUCT,
                serial_number,
                &Self,
                None,
                false,
            ))
        };
        plugged_in().keys().map(item).collect()
    }
}

/// The board that a probe is plugged into.
#[derive(Debug)]
struct Wires {
    core: Core,
    tamper: Option<Box<dyn Tamper>>,
}

/// The probes of the machines that run, by serial number.
static PLUGGED_IN: Mutex<BTreeMap<String, Arc<Mutex<Wires>>>> = Mutex::new(BTreeMap::new());

fn plugged_in() -> MutexGuard<'static, BTreeMap<String, Arc<Mutex<Wires>>>> {
    PLUGGED_IN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plugs a probe with this serial number into `core`.
pub(super) fn plug_in(serial_number: &str, core: Core, tamper: Option<Box<dyn Tamper>>) {
    let wires = Arc::new(Mutex::new(Wires { core, tamper }));
    plugged_in().insert(serial_number.to_owned(), wires);
}

/// Takes the probe with this serial number away.
pub(super) fn unplug(serial_number: &str) {
    plugged_in().remove(serial_number);
}

/// How a probe with this serial number is selected.
pub(super) fn selector(serial_number: &str) -> String {
    format!("{VENDOR:04x}:{PRODUCT:04x}:{serial_number}")
}

/// A probe at the core of an emulated machine.
#[derive(Debug)]
struct VirtualProbe {
    wires: Arc<Mutex<Wires>>,
    speed_khz: u32,
}

impl VirtualProbe {
    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold_reset(&self, hold: bool) -> Result<(), DebugProbeError> {
        let held = self.wires().core.hold_reset(hold);
        held.map_err(DebugProbeError::Usb)
    }
}

impl Wires {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ArmError> {
        self.core.read_memory(address, bytes).map_err(lost)?;
        self.tampered_read(address, bytes)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ArmError> {
        self.tampered_write(address, bytes)?;
        self.core.write_memory(address, bytes).map_err(lost)
    }

    fn read_word(&mut self, address: u64) -> Result<u32, ArmError> {
        let mut bytes = match self.core.read_register(address).map_err(lost)? {
            Some(value) => value.to_le_bytes(),
            None => {
                let mut bytes = [0; 4];
                self.core.read_memory(address, &mut bytes).map_err(lost)?;
                bytes
            }
        };
        self.tampered_read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn write_word(&mut self, address: u64, value: u32) -> Result<(), ArmError> {
        let bytes = value.to_le_bytes();
        self.tampered_write(address, &bytes)?;
        if !self.core.write_register(address, value).map_err(lost)? {
            self.core.write_memory(address, &bytes).map_err(lost)?;
        }
        Ok(())
    }

    fn tampered_read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ArmError> {
        match &mut self.tamper {
            Some(tamper) => tamper.read(address, bytes).map_err(lost),
            None => Ok(()),
        }
    }

    fn tampered_write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ArmError> {
        match &mut self.tamper {
            Some(tamper) => tamper.write(address, bytes).map_err(lost),
            None => Ok(()),
        }
    }
}

/// A failure of the gdbstub is to a probe what one of its cable is.
fn lost(error: io::Error) -> ArmError {
    ArmError::Probe(DebugProbeError::Usb(error))
}

impl DebugProbe for VirtualProbe {
    fn get_name(&self) -> &str {
        NAME
    }

    fn speed_khz(&self) -> u32 {
        self.speed_khz
    }

    fn set_speed(&mut self, speed_khz: u32) -> Result<u32, DebugProbeError> {
        if let Some(tamper) = &mut self.wires().tamper {
            tamper.speed(speed_khz).map_err(DebugProbeError::Usb)?;
        }
        self.speed_khz = speed_khz;
        Ok(speed_khz)
    }

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn detach(&mut self) -> Result<(), probe_rs::Error> {
        Ok(())
    }

    fn target_reset(&mut self) -> Result<(), DebugProbeError> {
        self.target_reset_assert()?;
        self.target_reset_deassert()
    }

    fn target_reset_assert(&mut self) -> Result<(), DebugProbeError> {
        self.hold_reset(true)
    }

    fn target_reset_deassert(&mut self) -> Result<(), DebugProbeError> {
        self.hold_reset(false)
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        match protocol {
            WireProtocol::Swd => Ok(()),
            other => Err(DebugProbeError::UnsupportedProtocol(other)),
        }
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Swd)
    }

    fn has_arm_interface(&self) -> bool {
        true
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn try_get_arm_debug_interface<'probe>(
        self: Box<Self>,
        _sequence: Arc<dyn ArmDebugSequence>,
    ) -> Result<Box<dyn ArmDebugInterface + 'probe>, (Box<dyn DebugProbe>, ArmError)> {
        Ok(Box::new(DebugPort(self)))
    }
}

/// The probe, once it is attached to the chip's debug port.
#[derive(Debug)]
struct DebugPort(Box<VirtualProbe>);

impl SwdSequence for DebugPort {
    fn swj_sequence(&mut self, _length: u8, _bits: u64) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn swj_pins(&mut self, out: u32, select: u32, _wait: u32) -> Result<u32, DebugProbeError> {
        if select & NRESET != 0 {
            self.0.hold_reset(out & NRESET == 0)?;
        }
        Ok(out)
    }
}

impl SwoAccess for DebugPort {
    fn enable_swo(&mut self, _config: &SwoConfig) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("SWO"))
    }

    fn disable_swo(&mut self) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("SWO"))
    }

    fn read_swo_timeout(&mut self, _timeout: Duration) -> Result<Vec<u8>, ArmError> {
        Err(ArmError::NotImplemented("SWO"))
    }
}

/// There is memory only, and no access port to be spoken to by itself.
impl DapAccess for DebugPort {
    fn read_raw_dp_register(
        &mut self,
        _port: DpAddress,
        _register: DpRegisterAddress,
    ) -> Result<u32, ArmError> {
        Err(ArmError::NotImplemented("registers of the debug port"))
    }

    fn write_raw_dp_register(
        &mut self,
        _port: DpAddress,
        _register: DpRegisterAddress,
        _value: u32,
    ) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("registers of the debug port"))
    }

    fn read_raw_ap_register(
        &mut self,
        _port: &FullyQualifiedApAddress,
        _register: u64,
    ) -> Result<u32, ArmError> {
        Err(ArmError::NotImplemented("registers of the access port"))
    }

    fn write_raw_ap_register(
        &mut self,
        _port: &FullyQualifiedApAddress,
        _register: u64,
        _value: u32,
    ) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("registers of the access port"))
    }

    fn try_dap_probe(&self) -> Option<&dyn DapProbe> {
        None
    }

    fn try_dap_probe_mut(&mut self) -> Option<&mut dyn DapProbe> {
        None
    }
}

impl ArmDebugInterface for DebugPort {
    fn reinitialize(&mut self) -> Result<(), ArmError> {
        Ok(())
    }

    fn access_ports(
        &mut self,
        _port: DpAddress,
    ) -> Result<BTreeSet<FullyQualifiedApAddress>, ArmError> {
        Ok(BTreeSet::from([
            FullyQualifiedApAddress::v1_with_default_dp(0),
        ]))
    }

    fn close(self: Box<Self>) -> Probe {
        Probe::from_specific_probe(self.0)
    }

    fn select_debug_port(&mut self, _port: DpAddress) -> Result<(), ArmError> {
        Ok(())
    }

    fn current_debug_port(&self) -> Option<DpAddress> {
        Some(DpAddress::Default)
    }

    fn memory_interface(
        &mut self,
        access_port: &FullyQualifiedApAddress,
    ) -> Result<Box<dyn ArmMemoryInterface + '_>, ArmError> {
        Ok(Box::new(Memory {
            port: self,
            access_port: access_port.clone(),
        }))
    }
}

/// The memory, as long as the probe looks at it; a core that was paused for that
/// goes on when it is dropped.
struct Memory<'a> {
    port: &'a mut DebugPort,
    access_port: FullyQualifiedApAddress,
}

impl Memory<'_> {
    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.port.0.wires()
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        // Should it fail, the next access fails too and is told.
        self.wires().core.go_on().ok();
    }
}

fn aligned(address: u64, alignment: usize) -> Result<(), ArmError> {
    match address.is_multiple_of(alignment as u64) {
        true => Ok(()),
        false => Err(ArmError::alignment_error(address, alignment)),
    }
}

impl MemoryInterface<ArmError> for Memory<'_> {
    fn supports_native_64bit_access(&mut self) -> bool {
        false
    }

    fn supports_8bit_transfers(&self) -> Result<bool, ArmError> {
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), ArmError> {
        Ok(())
    }

    fn read_8(&mut self, address: u64, data: &mut [u8]) -> Result<(), ArmError> {
        self.wires().read(address, data)
    }

    fn write_8(&mut self, address: u64, data: &[u8]) -> Result<(), ArmError> {
        self.wires().write(address, data)
    }

    fn read_16(&mut self, address: u64, data: &mut [u16]) -> Result<(), ArmError> {
        aligned(address, 2)?;
        self.read_8(address, bytemuck::cast_slice_mut(data))?;
        data.iter_mut().for_each(|word| *word = u16::from_le(*word));
        Ok(())
    }

    fn write_16(&mut self, address: u64, data: &[u16]) -> Result<(), ArmError> {
        aligned(address, 2)?;
        let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write_8(address, &bytes)
    }

    fn read_32(&mut self, address: u64, data: &mut [u32]) -> Result<(), ArmError> {
        aligned(address, 4)?;
        if address >= SYSTEM {
            for (word, address) in data.iter_mut().zip((address..).step_by(4)) {
                *word = self.wires().read_word(address)?;
            }
            return Ok(());
        }
        self.read_8(address, bytemuck::cast_slice_mut(data))?;
        data.iter_mut().for_each(|word| *word = u32::from_le(*word));
        Ok(())
    }

    fn write_32(&mut self, address: u64, data: &[u32]) -> Result<(), ArmError> {
        aligned(address, 4)?;
        if address >= SYSTEM {
            for (word, address) in data.iter().zip((address..).step_by(4)) {
                self.wires().write_word(address, *word)?;
            }
            return Ok(());
        }
        let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write_8(address, &bytes)
    }

    fn read_64(&mut self, address: u64, data: &mut [u64]) -> Result<(), ArmError> {
        aligned(address, 8)?;
        self.read_8(address, bytemuck::cast_slice_mut(data))?;
        data.iter_mut().for_each(|word| *word = u64::from_le(*word));
        Ok(())
    }

    fn write_64(&mut self, address: u64, data: &[u64]) -> Result<(), ArmError> {
        aligned(address, 8)?;
        let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write_8(address, &bytes)
    }
}

impl ArmMemoryInterface for Memory<'_> {
    fn fully_qualified_address(&self) -> FullyQualifiedApAddress {
        self.access_port.clone()
    }

    fn base_address(&mut self) -> Result<u64, ArmError> {
        Ok(ROM_TABLE)
    }

    fn get_arm_debug_interface(&mut self) -> Result<&mut dyn ArmDebugInterface, DebugProbeError> {
        Ok(self.port)
    }

    fn generic_status(&mut self) -> Result<CSW, ArmError> {
        CSW::try_from(0).map_err(|_| ArmError::NotImplemented("CSW"))
    }
}
