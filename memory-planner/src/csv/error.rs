//! Errors of a CSV file.

use alloc::string::String;
use std::path::PathBuf;

use super::{COLUMNS, MAX_FILE_BYTES};
use crate::{MAX_BUFFERS, MAX_RELATIONS};

/// Why a file is no placement problem.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file system refused.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's error.
        source: std::io::Error,
    },
    /// More than anyone's buffers need.
    #[error("`{}` has more than {MAX_FILE_BYTES} bytes, which is the most that is read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The content makes no sense.
    #[error("`{}`: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: ContentError,
    },
}

/// Why a CSV file is no placement problem. Rows are lines of the file; the header is
/// row 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A row that is no CSV.
    #[error("row {row}: {message}")]
    Malformed {
        /// The row.
        row: u64,
        /// The CSV reader's error.
        message: String,
    },
    /// A field that is no UTF-8 text.
    #[error("row {row}, column {column}: the text is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The row.
        row: u64,
        /// The number of the column, from 1.
        column: usize,
    },
    /// A row with fewer fields than the header.
    #[error(
        "row {row}, column `{}`: missing, the row ends before it",
        shown(column)
    )]
    MissingField {
        /// The row.
        row: u64,
        /// The first column that is missing.
        column: String,
    },
    /// A row with more fields than the header.
    #[error("row {row}: {fields} fields, the header has {columns} columns; quote commas in names")]
    TooManyFields {
        /// The row.
        row: u64,
        /// The number of fields.
        fields: usize,
        /// The number of columns.
        columns: usize,
    },
    /// More rows than the planner takes.
    #[error("row {row}: more than {MAX_BUFFERS} buffers, which is the most that can be planned")]
    TooManyRows {
        /// The first row too many.
        row: u64,
    },
    /// More relations than the planner takes.
    #[error(
        "row {row}, column `{column}`: more than {MAX_RELATIONS} relations, which is the most \
         that can be planned"
    )]
    TooManyRelations {
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
    },
    /// The header lacks a column.
    #[error("row 1: column `{column}` is missing")]
    MissingColumn {
        /// The column.
        column: &'static str,
    },
    /// The header has a column that means nothing.
    #[error("row 1: column `{}` is unknown, known are {}", shown(column), COLUMNS.join(", "))]
    UnknownColumn {
        /// The column.
        column: String,
    },
    /// The header has a column twice.
    #[error("row 1: column `{}` occurs twice", shown(column))]
    DuplicateColumn {
        /// The column.
        column: String,
    },
    /// Two rows have the same id.
    #[error("row {row}, column `id`: `{}` is taken by row {first}", shown(id))]
    DuplicateId {
        /// The second row.
        row: u64,
        /// The first row.
        first: u64,
        /// The id.
        id: String,
    },
    /// A field that should be a whole number in range.
    #[error(
        "row {row}, column `{column}`: `{}` is no whole number from {least} to {most}",
        shown(value)
    )]
    BadNumber {
        /// The row.
        row: u64,
        /// The column, as the file names it.
        column: String,
        /// The field.
        value: String,
        /// The smallest number allowed.
        least: u64,
        /// The largest number allowed.
        most: u64,
    },
    /// A live range that ends where it starts.
    #[error(
        "row {row}, column `{column}`: the live range [{moment}, {moment}) of `{}` is empty; \
         `{column}` is the {} moment at which it is {}",
        shown(id),
        if column == "end" { "last" } else { "first" },
        if column == "end" { "live" } else { "dead" }
    )]
    EmptyRange {
        /// The row.
        row: u64,
        /// The column that says where it ends: `upper` or `end`.
        column: String,
        /// The buffer.
        id: String,
        /// Where the range starts and ends.
        moment: u32,
    },
    /// A live range that ends before it starts.
    #[error(
        "row {row}, column `{column}`: the live range [{lower}, {upper}) of `{}` is inverted, \
         it ends before it starts",
        shown(id)
    )]
    InvertedRange {
        /// The row.
        row: u64,
        /// The column that says where it ends: `upper` or `end`.
        column: String,
        /// The buffer.
        id: String,
        /// The start of the range.
        lower: u32,
        /// The end of the range.
        upper: u32,
    },
    /// An alignment that is no power of two.
    #[error("row {row}, column `alignment`: {alignment} is no power of two")]
    BadAlignment {
        /// The row.
        row: u64,
        /// The alignment.
        alignment: u64,
    },
    /// A fixed offset that is no multiple of the alignment.
    #[error("row {row}, column `{column}`: {offset} is no multiple of the alignment {alignment}")]
    Misaligned {
        /// The row.
        row: u64,
        /// The column: `fixed_offset` or `offset`.
        column: &'static str,
        /// The fixed offset.
        offset: u64,
        /// The alignment.
        alignment: u64,
    },
    /// The columns `fixed_offset` and `offset` say different things.
    #[error(
        "row {row}, column `offset`: the offset {offset} is not the fixed offset {fixed_offset}"
    )]
    TwoOffsets {
        /// The row.
        row: u64,
        /// The value of `offset`.
        offset: u64,
        /// The value of `fixed_offset`.
        fixed_offset: u64,
    },
    /// A buffer that does not use its bytes for some of the time.
    #[error(
        "row {row}, column `gaps`: `{}` has gaps ({}), which cannot be planned: a buffer keeps \
         its bytes for its whole live range; without the gaps the file can be planned, in as \
         many bytes or more",
        shown(id),
        shown(gaps)
    )]
    Gaps {
        /// The row.
        row: u64,
        /// The buffer.
        id: String,
        /// The field.
        gaps: String,
    },
    /// A buffer that is larger than every region it may be placed in.
    #[error(
        "row {row}, column `size`: `{}` needs {bytes} bytes, its largest region has {capacity}",
        shown(id)
    )]
    DoesNotFit {
        /// The row.
        row: u64,
        /// The buffer.
        id: String,
        /// The size, with a fixed offset added.
        bytes: u64,
        /// The capacity of the largest region that it may be placed in.
        capacity: u64,
    },
    /// A region that does not exist.
    #[error("row {row}, column `{column}`: there is no region `{}`", shown(region))]
    UnknownRegion {
        /// The row.
        row: u64,
        /// The column: `region` or `placed`.
        column: &'static str,
        /// The name.
        region: String,
    },
    /// A buffer whose plan puts it into a region that it may not use.
    #[error(
        "row {row}, column `placed`: `{}` may not be placed in region `{}`",
        shown(id),
        shown(region)
    )]
    RegionNotAllowed {
        /// The row.
        row: u64,
        /// The buffer.
        id: String,
        /// The region's name.
        region: String,
    },
    /// A relation to a buffer that does not exist.
    #[error("row {row}, column `{column}`: there is no buffer `{}`", shown(id))]
    UnknownId {
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
        /// The id.
        id: String,
    },
    /// A relation of a buffer to itself.
    #[error("row {row}, column `{column}`: `{}` is related to itself", shown(id))]
    SelfRelation {
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
        /// The id.
        id: String,
    },
    /// An `overlap` entry that is not `id:bytes`.
    #[error(
        "row {row}, column `overlap`: `{}` is not of the form id:bytes",
        shown(entry)
    )]
    BadOverlap {
        /// The row.
        row: u64,
        /// The entry.
        entry: String,
    },
}

/// Text from a file as it goes into a message: one line, not too long.
fn shown(text: &str) -> String {
    const MOST_CHARACTERS: usize = 60;
    let mut shown: String = text
        .chars()
        .take(MOST_CHARACTERS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MOST_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use alloc::{format, string::ToString as _};
    use core::fmt::Write as _;

    use super::*;
    use crate::Problem;
    use crate::csv::{Offsets, parse, read};

    const HEADER: &str = "id,lower,upper,size\n";

    fn with_header(rows: &str) -> String {
        format!("{HEADER}{rows}\n")
    }

    /// Every text that this file can give, each with row and column.
    #[test]
    fn texts() {
        let million: String = (0..1_000_000).map(|row| format!("{row},0,1,1\n")).collect();
        let everyone: Vec<String> = (1..5000).map(|row| format!("b{row}")).collect();
        let related: String = (1..5000).map(|row| format!("b{row},0,1,1,\n")).collect();
        let related = format!(
            "id,lower,upper,size,alias\na,0,1,1,{}\n{related}",
            everyone.join(" ")
        );
        let regions = || Problem::with_capacity(1000).regions;
        let cases = [
            ("empty file", String::new()),
            ("missing column", "id,lower,upper\na,0,1\n".into()),
            ("unknown column", "id,lower,upper,size,colour\n".into()),
            ("column twice", "id,lower,upper,size,id\n".into()),
            ("missing field", with_header("a,0,1")),
            ("too many fields", with_header("conv 1, relu,0,1,8")),
            ("duplicate id", with_header("a,0,1,2\n\nb,0,1,2\na,0,1,2")),
            ("negative size", with_header("a,0,1,-2")),
            ("no number", with_header("a,0,1,4 KB")),
            ("empty field", with_header("a,0,,4")),
            (
                "overflowing size",
                with_header("a,0,1,99999999999999999999"),
            ),
            ("late moment", with_header("a,0,4294967296,1")),
            ("empty range", with_header("a,3,3,1")),
            ("inverted range", with_header("ok,3,4,1\na,4,3,1")),
            (
                "capacity below the largest buffer",
                with_header("ok,0,1,1000\na,0,1,1001"),
            ),
            ("a million rows", with_header(&million)),
            ("too many relations", related),
            (
                "alignment",
                "id,lower,upper,size,alignment\na,0,1,1,12\n".into(),
            ),
            (
                "misaligned",
                "id,lower,upper,size,alignment,fixed_offset\na,0,1,1,8,12\n".into(),
            ),
            (
                "fixed too high",
                "id,lower,upper,size,fixed_offset\na,0,1,8,993\n".into(),
            ),
            (
                "unknown region",
                "id,lower,upper,size,region\na,0,1,1,dtcm\n".into(),
            ),
            (
                "unknown buffer",
                "id,lower,upper,size,after\na,0,1,1,b\n".into(),
            ),
            (
                "end and upper",
                "id,start,end,upper,size\na,0,1,1,1\n".into(),
            ),
            (
                "empty range to an end",
                "id,start,end,size\na,3,2,1\n".into(),
            ),
            (
                "inverted range to an end",
                "id,start,end,size\na,3,1,1\n".into(),
            ),
            ("no number as an end", "id,start,end,size\na,3,x,1\n".into()),
            (
                "gaps",
                "id,lower,upper,size,gaps\na,0,9,1,2-4 5-6@0:8\n".into(),
            ),
            (
                "misaligned plan",
                "id,lower,upper,size,alignment,offset\na,0,1,1,8,12\n".into(),
            ),
            (
                "two offsets",
                "id,lower,upper,size,fixed_offset,offset\na,0,1,1,8,16\n".into(),
            ),
            (
                "placed in an unknown region",
                "id,lower,upper,size,offset,placed\na,0,1,1,0,dtcm\n".into(),
            ),
            ("itself", "id,lower,upper,size,apart\na,0,1,1,a\n".into()),
            ("overlap", "id,lower,upper,size,overlap\na,0,1,1,a\n".into()),
            (
                "control characters and length",
                with_header(&format!("\"a\u{1b}[31m\nb{}\",4,3,1", "x".repeat(1000))),
            ),
        ];
        let mut texts = String::new();
        for (name, text) in cases {
            writeln!(
                texts,
                "{name}: {}",
                parse(&text, regions(), Offsets::Fixed).unwrap_err()
            )
            .unwrap();
        }
        insta::assert_snapshot!(texts);
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let regions = || Problem::with_capacity(1000).regions;
        std::fs::write(
            at("latin1.csv"),
            b"id,lower,upper,size\na,0,1,1\ncaf\xe9,0,1,1\n",
        )
        .unwrap();
        std::fs::write(at("header.csv"), b"id,lower,\xff\xfe,size\n").unwrap();
        std::fs::write(at("inverted.csv"), with_header("a,4,3,1")).unwrap();
        let large = std::fs::File::create(at("large.csv")).unwrap();
        large.set_len(MAX_FILE_BYTES + 1).unwrap();
        let mut texts = String::new();
        for name in [
            "none.csv",
            "latin1.csv",
            "header.csv",
            "inverted.csv",
            "large.csv",
        ] {
            writeln!(
                texts,
                "{}",
                read(&at(name), regions(), Offsets::Fixed).unwrap_err()
            )
            .unwrap();
        }
        insta::assert_snapshot!(texts.replace(&folder.path().display().to_string(), "FOLDER"));
    }
}
