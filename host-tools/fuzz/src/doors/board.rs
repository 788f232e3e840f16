//! Board files.

use std::path::Path;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    super::files("host-tools/boards/boards", ".toml", 1 << 16)
}

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match tadpool_boards::parse(Path::new("board.toml"), text) {
        Ok(board) => {
            let figures = [board.flash_bytes(), board.ram_bytes(), board.cost(u64::MAX)];
            assert!(figures[0] <= 2 * u64::from(u32::MAX), "{figures:?}");
            let _ = (board.features(), board.latency_us(u64::MAX), board.unit());
            assert!(board.memory_map().is_ok(), "what is checked can be linked");
            if let Some([first, second]) = board.slots() {
                assert_eq!(first.origin + first.length, second.origin);
                assert!(board.weights_bytes() < first.length.into());
            }
        }
        Err(error) => super::check_error(&error),
    }
}
