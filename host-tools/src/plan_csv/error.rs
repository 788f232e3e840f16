//! What can be wrong with a CSV file.

use std::path::PathBuf;

use memory_planner::{MAX_BUFFERS, MAX_RELATIONS};

use super::{COLUMNS, MAX_FILE_BYTES};

/// Why a file is no placement problem.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFileError {
    /// The file system refused.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
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
        source: PlanCsvError,
    },
}

/// Why a CSV file is no placement problem. Rows are lines of the file; the header is
/// row 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanCsvError {
    /// A row that is no CSV.
    #[error("row {row}: {message}")]
    Malformed {
        /// The row.
        row: u64,
        /// What the CSV reader says.
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
        /// The column.
        column: &'static str,
        /// The field.
        value: String,
        /// The smallest number allowed.
        least: u64,
        /// The largest number allowed.
        most: u64,
    },
    /// A live range that ends where it starts.
    #[error(
        "row {row}, column `upper`: the live range [{moment}, {moment}) of `{}` is empty; \
         `upper` is the first moment at which it is dead",
        shown(id)
    )]
    EmptyRange {
        /// The row.
        row: u64,
        /// The buffer.
        id: String,
        /// Where the range starts and ends.
        moment: u32,
    },
    /// A live range that ends before it starts.
    #[error(
        "row {row}, column `upper`: the live range [{lower}, {upper}) of `{}` is inverted, \
         it ends before it starts",
        shown(id)
    )]
    InvertedRange {
        /// The row.
        row: u64,
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
    #[error(
        "row {row}, column `fixed_offset`: {offset} is no multiple of the alignment {alignment}"
    )]
    Misaligned {
        /// The row.
        row: u64,
        /// The fixed offset.
        offset: u64,
        /// The alignment.
        alignment: u64,
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
    #[error("row {row}, column `region`: there is no region `{}`", shown(region))]
    UnknownRegion {
        /// The row.
        row: u64,
        /// The name.
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
