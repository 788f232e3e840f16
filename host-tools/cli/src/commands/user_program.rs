//! Programs that their users have linked: what each is, and whether a board executes it.

use std::path::Path;

use anyhow::bail;
use tadpool_boards::Board;
use tadpool_input::{Kind, text::shown};
use tadpool_latency::program::Program;

const PROGRAM: Kind = Kind {
    name: "a program's ELF file",
    max_bytes: 1 << 28,
};
/// The control block of RTT, by which a debug probe finds the rings.
const RINGS: &str = "_SEGGER_RTT";

/// The content of the file at `path`, which is a linked program for a Cortex-M.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = tadpool_input::read(path, PROGRAM)?;
    Program::read(path, &bytes)?;
    Ok(bytes)
}

/// As [`read`]; the program is one that `board` executes.
pub(crate) fn read_for(path: &Path, board: &Board) -> anyhow::Result<Vec<u8>> {
    let bytes = tadpool_input::read(path, PROGRAM)?;
    Program::read(path, &bytes)?.check_board(board)?;
    Ok(bytes)
}

/// Fails unless the file at `path` is a firmware for `board` that may answer by `tadpool-link`.
pub(crate) fn check_firmware(path: &Path, board: &Board) -> anyhow::Result<()> {
    let bytes = tadpool_input::read(path, PROGRAM)?;
    let program = Program::read(path, &bytes)?;
    program.check_board(board)?;
    if program.functions().next().is_none() {
        bail!(
            "`{}` has no symbols, by which its rings are found: link it without stripping it",
            shown(path)
        );
    }
    if !program.has_symbol(RINGS) {
        bail!(
            "`{}` does not answer this tool: it has no `{RINGS}`, the rings of `tadpool-link` with \
             its feature `rtt`; without `--elf` tadpool's own firmware is run",
            shown(path)
        );
    }
    Ok(())
}
