//! The arguments of the plugin.

use std::fs::File;
use std::io::{self, Write};
use std::net::TcpStream;

/// The arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) out: String,
    pub(crate) from: Option<u32>,
    pub(crate) to: Option<u32>,
    pub(crate) calls: Option<u64>,
}

impl Arguments {
    /// Reads arguments of the form `name=value`.
    ///
    /// # Errors
    /// A text that says which one is wrong.
    pub(crate) fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut arguments = Self {
            out: String::new(),
            from: None,
            to: None,
            calls: None,
        };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "out" => arguments.out = value.to_owned(),
                "from" => arguments.from = Some(address(word, value)?),
                "to" => arguments.to = Some(address(word, value)?),
                "calls" => {
                    let calls = value.parse().ok().filter(|&calls| calls > 0);
                    arguments.calls = Some(calls.ok_or_else(|| wrong(word))?);
                }
                _ => return Err(wrong(word)),
            }
        }
        match arguments.out.is_empty() {
            true => Err("there is no `out=`".to_owned()),
            false => Ok(arguments),
        }
    }

    /// Opens what is written to: `tcp:ADDRESS:PORT`, or else a file or FIFO.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        match self.out.strip_prefix("tcp:") {
            Some(address) => Ok(Box::new(TcpStream::connect(address)?)),
            None => Ok(Box::new(File::create(&self.out)?)),
        }
    }
}

/// An address in hexadecimal; the lowest bit, which says that it is Thumb code, is left out.
fn address(word: &str, value: &str) -> Result<u32, String> {
    let digits = value.strip_prefix("0x").unwrap_or(value);
    let address = u32::from_str_radix(digits, 16).map_err(|_| wrong(word))?;
    Ok(address & !1)
}

fn wrong(word: &str) -> String {
    format!("`{word}` is none of out=PATH, out=tcp:ADDRESS:PORT, from=HEX, to=HEX, calls=N")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Arguments, String> {
        Arguments::read(words.iter().copied())
    }

    #[test]
    fn what_cannot_be_opened_is_told() {
        for out in ["/nowhere/at/all", "tcp:127.0.0.1"] {
            let arguments = read(&[&format!("out={out}")]).unwrap();
            assert!(arguments.open().is_err(), "{out}");
        }
    }

    #[test]
    fn arguments_are_read() {
        let arguments = read(&["out=/tmp/a=b", "from=0x101", "to=200", "calls=3"]);
        let expected = Arguments {
            out: "/tmp/a=b".into(),
            from: Some(0x100),
            to: Some(0x200),
            calls: Some(3),
        };
        assert_eq!(arguments, Ok(expected));
        assert_eq!(read(&[]), Err("there is no `out=`".into()));
        for word in ["from=g", "to=", "calls=0", "calls", "depth=1"] {
            assert!(read(&["out=x", word]).unwrap_err().contains(word));
        }
    }
}
