//! Output of a command: a table for people, or JSON.

use std::fmt::Display;
use std::path::Path;

use serde::Serialize;
pub(crate) use tadpool_operations::table::{Rows, grouped, percent, table};

/// A command's result.
pub(crate) trait Report: Display {
    /// The same as one line of JSON.
    fn json(&self) -> serde_json::Result<String>;

    /// Whether what it says is a success.
    fn is_success(&self) -> bool {
        true
    }
}

impl<T: Serialize + Display> Report for T {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// Where `to` is, seen from the page at `page`: a relative address.
pub(crate) fn href(page: &Path, to: &Path) -> anyhow::Result<String> {
    let [page, to] = [page, to].map(std::path::absolute);
    let (page, to) = (page?, to?);
    let from = page.parent().unwrap_or(&page);
    let path = pathdiff::diff_paths(&to, from).unwrap_or(to);
    let parts = path.components().map(|part| {
        let part = part.as_os_str().to_string_lossy();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        part.bytes().fold(String::new(), |mut text, byte| {
            match is_plain(byte) {
                true => text.push(byte.into()),
                false => text += &format!("%{byte:02X}"),
            }
            text
        })
    });
    Ok(parts.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_seen_from_the_page() {
        let address = |page: &str, to: &str| href(Path::new(page), Path::new(to)).unwrap();
        assert_eq!(address("latency.html", "check.html"), "check.html");
        assert_eq!(
            address("a/latency.html", "b/a #1.html"),
            "../b/a%20%231.html"
        );
    }
}
