//! Linker scripts: a board's memory as cortex-m-rt's `link.x` wants it.

use std::fmt::Write as _;

use super::{Board, Boot, Region};

/// Bytes of the header before the weights in a slot: those of `tadpool_kernels::slots`.
pub(crate) const SLOT_HEADER_BYTES: u32 = 32;
/// Bytes of a second boot loader.
const SECOND_STAGE_BYTES: u32 = 0x100;

impl Board {
    /// `memory.x` of the board: `FLASH`, `RAM`, and `WEIGHTS` where the weights have a memory
    /// of their own.
    ///
    /// The stack lies below everything else in RAM, so that one that grows too large runs
    /// into nothing and faults.
    ///
    /// # Errors
    /// A text that names the field, if the layout does not fit the memory.
    pub fn memory_map(&self) -> Result<String, String> {
        let layout = &self.layout;
        let flash = self.region("code", &layout.code)?;
        let ram = self.region("ram", &layout.ram)?;
        let flash_bytes = self.length(&layout.code, self.budget.flash_bytes) as u32;
        let ram_bytes = self.ram_bytes() as u32;
        let stack_bytes = layout.stack_bytes;
        if !stack_bytes.is_multiple_of(8) || stack_bytes >= ram_bytes {
            let problem = "is not a multiple of 8 below the RAM's length";
            return Err(format!("layout.stack_bytes = {stack_bytes} {problem}"));
        }
        let mut regions = String::new();
        let mut add = |name: &str, origin: u32, length: u32| {
            // Writing to a text cannot fail.
            let _ = writeln!(
                regions,
                "  {name} : ORIGIN = {origin:#010x}, LENGTH = {length:#x}"
            );
        };
        let before = match layout.boot {
            Some(Boot::SecondStage) => SECOND_STAGE_BYTES,
            _ => 0,
        };
        if before > 0 {
            add("BOOT", flash.origin, before);
        }
        // What lies behind the block may be nothing, which the linker tells.
        let code_bytes = flash_bytes.saturating_sub(before);
        add("FLASH", flash.origin.saturating_add(before), code_bytes);
        add("STACK", ram.origin, stack_bytes);
        add("RAM", ram.origin + stack_bytes, ram_bytes - stack_bytes);
        if layout.weights != layout.code {
            let weights = self.region("weights", &layout.weights)?;
            add("WEIGHTS", weights.origin, weights.length);
            if let Some([first, second]) = self.slots() {
                let (header, behind) = (SLOT_HEADER_BYTES, first.length - SLOT_HEADER_BYTES);
                add("SLOT_HEADER", first.origin, header);
                add("SLOT", first.origin + header, behind);
                add("OTHER_HEADER", second.origin, header);
            }
        }
        if let Some(name) = &layout.rings {
            let rings = self.region("rings", name)?;
            add("RINGS", rings.origin, rings.length);
        }
        let boot = match layout.boot {
            None => "",
            Some(Boot::SecondStage) => {
                "SECTIONS
{
  .boot2 ORIGIN(BOOT) : { KEEP(*(.boot2)); } > BOOT
}
INSERT BEFORE .vector_table;
"
            }
            Some(Boot::ImageDefinition) => {
                "SECTIONS
{
  .start_block : ALIGN(4) { KEEP(*(.start_block)); } > FLASH
}
INSERT AFTER .vector_table;
_stext = ADDR(.start_block) + SIZEOF(.start_block);
"
            }
        };
        Ok(format!(
            "/* Generated for {}. */
MEMORY
{{
{regions}}}
/* Below everything else in RAM: a stack that grows too large runs into nothing, and faults. */
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
_stack_end = ORIGIN(STACK);
{boot}",
            self.name
        ))
    }

    /// The memory that `layout.FIELD` names.
    ///
    /// # Errors
    /// A text, if there is none of that name.
    pub fn region(&self, field: &str, name: &str) -> Result<&Region, String> {
        let missing = || format!("layout.{field} names `{name}`, which is not under [memory]");
        self.memory.get(name).ok_or_else(missing)
    }
}
