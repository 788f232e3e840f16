//! Verdicts of images, kept beside them.

use std::path::Path;

use tadpool_compiler::output;

use super::{Audit, AuditError};
use crate::cache::Key;

/// The sources that decide the verdict, beside the version of this crate and of the decoder.
const RULES: [&str; 4] = [
    include_str!("../audit.rs"),
    include_str!("code.rs"),
    include_str!("value.rs"),
    include_str!("walk.rs"),
];

/// The audit of the image in `bytes`, which is kept at `path`. It is read from the file beside
/// it if these very bytes were audited before.
pub(crate) fn of_file(path: &Path, bytes: &[u8]) -> Result<Audit, AuditError> {
    let mut key = Key::default();
    key.add(env!("CARGO_PKG_VERSION"));
    for rules in RULES {
        key.add(rules);
    }
    key.add(bytes);
    let kept = path.with_extension(format!("{}.audit", key.finish()));
    if let Some(audit) = read(&kept) {
        return Ok(audit);
    }
    let audit = super::image(path, bytes)?;
    if let Ok(text) = toml::to_string(&audit) {
        output::write(&kept, text.as_bytes())?;
    }
    Ok(audit)
}

fn read(path: &Path) -> Option<Audit> {
    toml::from_str(&std::fs::read_to_string(path).ok()?).ok()
}
