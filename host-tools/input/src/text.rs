//! Text out of files as a person may see it: nothing in it moves the cursor, changes
//! colours or reverses the order of letters.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// `text` in one line: each hidden character, a line break included, becomes its escape.
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, escape)
}

/// `text` of several lines: each hidden character but a line break becomes its escape.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| is_hidden(c) && c != '\n', escape)
}

/// JSON with the same value, in which hidden characters stand as JSON's own escapes.
///
/// Such characters occur in JSON's strings only, where serialization leaves those above
/// U+001F as they are.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    replaced(
        json,
        |c| is_hidden(c) && c != '\n',
        |c, text| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        },
    )
}

/// A path in one line.
pub fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy()).into_owned()
}

/// Whether a character acts instead of being seen: a control character, a line or
/// paragraph separator, a bidirectional control, an invisible tag.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn escape(c: char, text: &mut String) {
    text.extend(c.escape_default());
}

fn replaced(
    text: &str,
    is_replaced: impl Fn(char) -> bool,
    replace: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut seen = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_replaced(c) {
            true => replace(c, &mut seen),
            false => seen.push(c),
        }
    }
    Cow::Owned(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        for (text, expected) in [
            ("plain, äöü 漢字 🐸", "plain, äöü 漢字 🐸"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\rb\tc\nd", "a\\rb\\tc\\nd"),
            ("evil\u{202e}gpj.exe", "evil\\u{202e}gpj.exe"),
            ("\u{2066}x\u{2069}\u{200f}", "\\u{2066}x\\u{2069}\\u{200f}"),
            ("\u{7f}\u{0}", "\\u{7f}\\u{0}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(escaped_lines("a\nb\u{8}"), "a\nb\\u{8}");
        assert_eq!(shown(Path::new("a\n/b")), "a\\n/b");
    }

    #[test]
    fn json_keeps_its_value() {
        let json = "{\"name\":\"a\u{202e}\u{9b}\u{e0041}\"}\n";
        let expected = "{\"name\":\"a\\u202e\\u009b\\udb40\\udc41\"}\n";
        assert_eq!(escaped_json(json), expected);
    }
}
