//! The `tadpool` command.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::new());
    ExitCode::from(tadpool::run(std::env::args_os(), program))
}
