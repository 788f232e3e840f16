//! The chip of a board, as probe-rs describes it.

use probe_rs::Target;
use probe_rs::config::Registry;

use super::connect::Options;
use super::error::ProbeError;
use super::qemu;
use tadpool_boards::{Board, Runner};

/// probe-rs's description of the board's chip.
pub(super) fn target(board: &Board, options: &Options) -> Result<Target, ProbeError> {
    if let (Runner::Qemu(_), None) = (&board.runner, &options.chip) {
        return qemu::target(board).map_err(|_| ProbeError::UnknownChip {
            chip: board.name.clone(),
            similar: Vec::new(),
        });
    }
    let mut target = named(options.chip.as_deref().unwrap_or(&board.chip))?;
    if let Runner::Probe(probe) = &board.runner {
        prefer(&mut target, &probe.flash_algorithms)?;
    }
    Ok(target)
}

/// probe-rs' description of a chip.
pub(super) fn named(chip: &str) -> Result<Target, ProbeError> {
    let registry = Registry::from_builtin_families();
    registry.get_target_by_name(chip).map_err(|_| {
        const MOST: usize = 8;
        let mut similar = registry.search_chips(chip);
        similar.dedup();
        similar.truncate(MOST);
        ProbeError::UnknownChip {
            chip: chip.to_owned(),
            similar,
        }
    })
}

/// Leaves no other flash algorithm for the memories that those of these `names` serve.
///
/// probe-rs has a preference too, but for writing only: to verify, it would refuse to choose.
pub(super) fn prefer(target: &mut Target, names: &[String]) -> Result<(), ProbeError> {
    for name in names {
        let algorithms = &target.flash_algorithms;
        let preferred = algorithms.iter().find(|one| one.name == *name);
        let Some(preferred) = preferred else {
            return Err(ProbeError::NoFlashAlgorithm {
                chip: target.name.clone(),
                algorithm: name.clone(),
                known: algorithms.iter().map(|one| one.name.clone()).collect(),
            });
        };
        let range = preferred.flash_properties.address_range.clone();
        target.flash_algorithms.retain(|one| {
            let other = &one.flash_properties.address_range;
            one.name == *name || other.start >= range.end || range.start >= other.end
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use probe_rs::config::MemoryRegion;
    use probe_rs::flashing::{BootInfo, FlashLoader};

    use super::*;

    /// Boards that a debug probe reaches, and one whose weights lie in the serial flash.
    fn boards() -> Vec<Board> {
        let mut boards: Vec<Board> = tadpool_boards::names()
            .map(|name| tadpool_boards::find(name).unwrap())
            .filter(|board| matches!(board.runner, Runner::Probe(_)))
            .collect();
        let mut serial = tadpool_boards::find("stm32f746g-disco").unwrap();
        serial.layout.weights = "serial".into();
        boards.push(serial);
        boards
    }

    /// The algorithms that probe-rs could take for what lies at `address`, whose memory is
    /// flash; the choice is its own: the only one, or else the only default.
    fn algorithms(target: &Target, address: u64) -> Option<Vec<&str>> {
        let flash = target.memory_map.iter().find_map(|memory| match memory {
            MemoryRegion::Nvm(flash) if flash.range.contains(&address) => Some(flash),
            _ => None,
        })?;
        let covering: Vec<_> = target
            .flash_algorithms
            .iter()
            .filter(|algorithm| {
                let range = &algorithm.flash_properties.address_range;
                range.start <= flash.range.start && flash.range.end <= range.end
            })
            .collect();
        let defaults = || covering.iter().filter(|algorithm| algorithm.default);
        Some(match (covering.len(), defaults().count()) {
            (2.., 1) => defaults().map(|one| one.name.as_str()).collect(),
            _ => covering.iter().map(|one| one.name.as_str()).collect(),
        })
    }

    /// The memory map of every board is one that its chip has, each memory of an image can be
    /// written in one way, and images in RAM are started there.
    #[test]
    fn every_board_can_be_flashed() {
        let mut in_ram = Vec::new();
        for board in boards() {
            let target = target(&board, &Options::default()).unwrap();
            let mut loader: FlashLoader = target.flash_loader();
            for name in BTreeSet::from([&board.layout.code, &board.layout.weights]) {
                let memory = &board.memory[name];
                let origin = u64::from(memory.origin);
                let bytes = vec![0; memory.length as usize];
                loader.add_data(origin, &bytes).unwrap_or_else(|error| {
                    panic!(
                        "{}: {name} is no memory of {}: {error}",
                        board.name, board.chip
                    )
                });
                if let Some(algorithms) = algorithms(&target, origin) {
                    let [_] = algorithms[..] else {
                        panic!("{}: {name} can be written by {algorithms:?}", board.name);
                    };
                }
                if *name == board.layout.code {
                    loader.set_vector_table_addr(origin);
                }
            }
            if let BootInfo::FromRam { .. } = loader.boot_info() {
                in_ram.push(board.name);
            }
        }
        assert_eq!(in_ram, ["stm32n6570-dk"]);
    }

    #[test]
    fn an_algorithm_that_the_chip_does_not_have_is_told() {
        let mut board = tadpool_boards::find("stm32f746g-disco").unwrap();
        let Runner::Probe(probe) = &mut board.runner else {
            panic!("{} has a debug probe", board.name);
        };
        probe.flash_algorithms = vec!["stm32f7xx_qspi_disko".into()];
        let error = target(&board, &Options::default()).unwrap_err().to_string();
        for part in [
            "stm32f7xx_qspi_disko",
            "STM32F746NG",
            "stm32f7xx_qspi_disco",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
