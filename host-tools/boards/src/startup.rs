//! Start-up code of the firmware: the chips and cores that each is for, and what it needs of
//! a board's file.

use super::{Board, Boot, KernelVariant, Runner};

/// A start-up code, a feature of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Startup {
    /// Its name in board files.
    pub name: &'static str,
    /// The file of the firmware's `src/boards`; those that share one differ in constants.
    pub file: &'static str,
    /// The chips that it sets up.
    pub chips: Chips,
    /// Whether it drives the pin whose register the file names.
    pub has_busy_register: bool,
    /// The serial port that it can set up.
    pub uart: Port,
    /// The block beside the vector table that it brings.
    pub boot: Option<Boot>,
    /// Whether it can start the chip's watchdog.
    pub has_watchdog: bool,
}

/// Chips that a start-up code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chips {
    /// Emulated boards, with one of these cores.
    Emulated(&'static [&'static str]),
    /// Chips whose names begin so, with this core.
    Family(&'static str, &'static str),
    /// Every Cortex-M: it sets up nothing that is the chip's.
    Any,
}

/// A serial port that start-up code sets up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// None.
    None,
    /// One that a HAL knows.
    Known,
    /// The one at the address that the file names.
    At,
}

/// The start-up code that fits every chip.
pub const GENERIC: &str = "cortex-m";

/// All of the firmware's start-up code.
pub const STARTUPS: &[Startup] = &[
    Startup::emulated(
        "qemu-mps2",
        "qemu_mps2",
        &["Cortex-M3", "Cortex-M4F", "Cortex-M7"],
    ),
    Startup {
        has_watchdog: false,
        ..Startup::emulated(
            "qemu-systick",
            "qemu_systick",
            &[
                "Cortex-M0",
                "Cortex-M3",
                "Cortex-M4F",
                "Cortex-M33",
                "Cortex-M55",
            ],
        )
    },
    Startup::of("nrf52840-dk", "nrf52840_dk", "nRF52840", "Cortex-M4F"),
    Startup::of("nrf5340-dk", "nrf5340_dk", "nRF5340", "Cortex-M33"),
    Startup::of("nrf54l15-dk", "nrf54l15_dk", "nRF54L15", "Cortex-M33"),
    Startup::stm32("nucleo-f411re", "stm32f4", "STM32F411", "Cortex-M4F"),
    Startup::stm32("nucleo-g0b1re", "nucleo_g0b1re", "STM32G0B1", "Cortex-M0+"),
    Startup::stm32("nucleo-h743zi", "stm32h7", "STM32H743", "Cortex-M7"),
    Startup::stm32("nucleo-h743zi2", "stm32h7", "STM32H743", "Cortex-M7"),
    Startup::stm32("nucleo-h7a3zi-q", "stm32h7", "STM32H7A3", "Cortex-M7"),
    Startup::stm32("nucleo-l4r5zi", "nucleo_l4r5zi", "STM32L4R5", "Cortex-M4F"),
    Startup::stm32(
        "nucleo-u575zi-q",
        "nucleo_u575zi_q",
        "STM32U575",
        "Cortex-M33",
    ),
    Startup {
        has_busy_register: true,
        boot: Some(Boot::SecondStage),
        ..Startup::of("rpi-pico", "rpi_pico", "RP2040", "Cortex-M0+")
    },
    Startup {
        has_busy_register: true,
        boot: Some(Boot::ImageDefinition),
        ..Startup::of("rpi-pico2", "rpi_pico", "RP235", "Cortex-M33")
    },
    Startup::stm32("stm32f407g-disc1", "stm32f4", "STM32F407", "Cortex-M4F"),
    Startup::stm32(
        "stm32f746g-disco",
        "stm32f746g_disco",
        "STM32F746",
        "Cortex-M7",
    ),
    Startup::of("stm32n6570-dk", "stm32n6570_dk", "STM32N657", "Cortex-M55"),
    Startup {
        name: GENERIC,
        file: "cortex_m",
        chips: Chips::Any,
        has_busy_register: false,
        uart: Port::None,
        boot: None,
        has_watchdog: false,
    },
];

/// Names of cores in board files, and of targets that build for each.
const CORES: &[(&str, &[&str])] = &[
    ("Cortex-M0", ARMV6M),
    ("Cortex-M0+", ARMV6M),
    ("Cortex-M1", ARMV6M),
    ("Cortex-M3", ARMV7M),
    ("Cortex-M4", ARMV7EM),
    ("Cortex-M4F", ARMV7EM),
    ("Cortex-M7", ARMV7EM),
    ("Cortex-M23", ARMV8M_BASE),
    ("Cortex-M33", ARMV8M),
    ("Cortex-M35P", ARMV8M),
    ("Cortex-M52", ARMV8M),
    ("Cortex-M55", ARMV8M),
    ("Cortex-M85", ARMV8M),
    // Of chips of which no more is known.
    ("Armv6-M", ARMV6M),
    ("Armv7-M", ARMV7M),
    ("Armv7E-M", ARMV7EM),
    ("Armv8-M", ARMV8M_ANY),
];
const ARMV6M: &[&str] = &["thumbv6m-none-eabi"];
// They execute all of Armv6-M too.
const ARMV7M: &[&str] = &["thumbv7m-none-eabi", "thumbv6m-none-eabi"];
const ARMV7EM: &[&str] = &["thumbv7em-none-eabihf", "thumbv7em-none-eabi"];
const ARMV8M_BASE: &[&str] = &["thumbv8m.base-none-eabi"];
const ARMV8M: &[&str] = &["thumbv8m.main-none-eabihf", "thumbv8m.main-none-eabi"];
const ARMV8M_ANY: &[&str] = &[
    "thumbv8m.main-none-eabihf",
    "thumbv8m.main-none-eabi",
    "thumbv8m.base-none-eabi",
];
/// Cores with the vector extension.
const VECTOR_CORES: [&str; 3] = ["Cortex-M52", "Cortex-M55", "Cortex-M85"];

/// A field whose value cannot be: its name, its value, and what is wrong.
pub(crate) type Problem = (&'static str, String, String);

impl Startup {
    const fn of(
        name: &'static str,
        file: &'static str,
        family: &'static str,
        core: &'static str,
    ) -> Self {
        Self {
            name,
            file,
            chips: Chips::Family(family, core),
            has_busy_register: false,
            uart: Port::None,
            boot: None,
            has_watchdog: true,
        }
    }

    /// One with ST's HAL, and the serial port that the board's debug probe hands on.
    const fn stm32(
        name: &'static str,
        file: &'static str,
        family: &'static str,
        core: &'static str,
    ) -> Self {
        Self {
            uart: Port::Known,
            ..Self::of(name, file, family, core)
        }
    }

    const fn emulated(
        name: &'static str,
        file: &'static str,
        cores: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            file,
            chips: Chips::Emulated(cores),
            has_busy_register: true,
            uart: Port::At,
            boot: None,
            has_watchdog: true,
        }
    }

    /// The start-up code of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        STARTUPS.iter().find(|startup| startup.name == name)
    }

    /// The first field of `board` that this start-up code is not for.
    pub(crate) fn check(&self, board: &Board) -> Result<(), Problem> {
        let wrong = |field, value: &str, problem: String| Err((field, value.to_owned(), problem));
        let (name, chip) = (self.name, &board.chip);
        match self.chips {
            Chips::Any => {}
            Chips::Emulated(cores) => {
                if !matches!(board.runner, Runner::Qemu(_)) {
                    let problem = "is for emulated boards; a chip takes `cortex-m`, or its own";
                    return wrong("startup", name, problem.into());
                }
                if !cores.contains(&board.core.as_str()) {
                    let problem = format!("is for {}, not {}", cores.join(", "), board.core);
                    return wrong("startup", name, problem);
                }
            }
            Chips::Family(family, core) => {
                let begins = chip.get(..family.len());
                if !begins.is_some_and(|begin| begin.eq_ignore_ascii_case(family)) {
                    let problem = format!(
                        "sets up the clocks of {family} and would hang on {chip}; `startup = \
                         \"{GENERIC}\"` starts every Cortex-M, at its reset clock"
                    );
                    return wrong("startup", name, problem);
                }
                if board.core != core {
                    let problem = format!("is not {core}, the core of {family}");
                    return wrong("core", &board.core, problem);
                }
                if !matches!(board.runner, Runner::Probe(_)) {
                    let problem = format!("is for the chip {family}, which no emulator is");
                    return wrong("startup", name, problem);
                }
            }
        }
        let has_register = board.busy_register.is_some();
        if self.has_busy_register && !has_register {
            let problem = format!("is missing, and start-up code `{name}` drives its pin by it");
            return wrong("busy_register", "none", problem);
        }
        if !self.has_busy_register && has_register {
            let problem = format!("is not used by start-up code `{name}`: leave it out");
            return wrong("busy_register", "given", problem);
        }
        if board.watchdog.is_some() && !self.has_watchdog {
            let problem = format!("is not started by start-up code `{name}`: leave it out");
            return wrong("watchdog", "given", problem);
        }
        match (&board.uart, self.uart) {
            (Some(uart), Port::None) => {
                let problem = format!("is not set up by start-up code `{name}`: leave it out");
                wrong("uart", &uart.name, problem)
            }
            (Some(uart), Port::At) if uart.address.is_none() => {
                let problem = "is missing, and no HAL knows where the registers are";
                wrong("uart.address", "none", problem.into())
            }
            (Some(uart), Port::Known) if uart.address.is_some() => {
                let problem = "is the HAL's to know: leave it out";
                wrong("uart.address", "given", problem.into())
            }
            _ if board.layout.boot != self.boot => {
                let named = |boot: Option<Boot>| match boot {
                    None => "none",
                    Some(Boot::SecondStage) => "second-stage",
                    Some(Boot::ImageDefinition) => "image-definition",
                };
                let problem = format!("is not `{}`, as `{name}` has it", named(self.boot));
                wrong("layout.boot", named(board.layout.boot), problem)
            }
            _ => Ok(()),
        }
    }
}

/// The first of core, target and kernels that does not go with the others.
pub(crate) fn check_core(board: &Board) -> Result<(), Problem> {
    let Some((_, targets)) = CORES.iter().find(|(core, _)| *core == board.core) else {
        let known: Vec<&str> = CORES.iter().map(|(core, _)| *core).collect();
        let problem = format!("is none of {}", known.join(", "));
        return Err(("core", board.core.clone(), problem));
    };
    if !targets.contains(&board.target.as_str()) {
        let problem = format!(
            "does not build for {}: {}",
            board.core,
            targets.join(" or ")
        );
        return Err(("target", board.target.clone(), problem));
    }
    let is_for = |prefix: &str| board.target.starts_with(prefix);
    let (fits, needs) = match board.kernels {
        KernelVariant::Portable => (true, ""),
        KernelVariant::Dsp => (
            is_for("thumbv7em") || is_for("thumbv8m.main"),
            "needs the DSP extension of Armv7E-M or Armv8-M Mainline",
        ),
        KernelVariant::DspM7 => (is_for("thumbv7em"), "is for Armv7E-M"),
        KernelVariant::Helium => (
            VECTOR_CORES.contains(&board.core.as_str()),
            "needs the vector extension of a Cortex-M52, M55 or M85",
        ),
    };
    match fits {
        true => Ok(()),
        false => Err(("kernels", board.kernels.name().into(), needs.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_start_up_code_is_the_firmwares() {
        let manifest = include_str!("../../../firmware/Cargo.toml");
        let manifest: toml::Table = manifest.parse().unwrap();
        let features = manifest["features"].as_table().unwrap();
        let files = include_str!("../../../firmware/src/boards.rs");
        for startup in STARTUPS {
            assert!(features.contains_key(startup.name), "{}", startup.name);
            let file = format!("#[path = \"boards/{}.rs\"]", startup.file);
            assert!(files.contains(&file), "{file}");
        }
        for board in super::super::names() {
            let board = super::super::find(board).unwrap();
            assert!(Startup::find(board.startup()).is_some());
        }
    }
}
