//! From a file to a problem.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, StringRecord};

use super::error::{ContentError, FileError};
use super::{COLUMNS, MAX_FILE_BYTES, REQUIRED};
use crate::{
    Buffer, BufferId, MAX_BUFFERS, MAX_BYTES, MAX_RELATIONS, Problem, Region, RegionId, Relation,
};

/// How the columns `offset` and `placed` are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offsets {
    /// A buffer with an offset stays there, as in MiniMalloc: the plan is completed.
    Fixed,
    /// Not at all: a new plan is made.
    Ignored,
}

/// Reads a problem for the given regions from a file.
///
/// # Errors
/// A [`FileError`] that names the file and, as [`parse`] does, row and column.
pub fn read(path: &Path, regions: Vec<Region>, offsets: Offsets) -> Result<Problem, FileError> {
    let path = || path.to_owned();
    let mut bytes = Vec::new();
    // A file that has no size of its own, such as a pipe, ends here too.
    let read =
        File::open(path()).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|source| FileError::Read {
        path: path(),
        source,
    })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(FileError::TooLarge { path: path() });
    }
    problem(&bytes, regions, offsets).map_err(|source| FileError::Content {
        path: path(),
        source,
    })
}

/// Reads a problem for the given regions from the text of a file.
///
/// # Errors
/// [`ContentError`] for anything that is not a sensible problem, with row and column.
pub fn parse(text: &str, regions: Vec<Region>, offsets: Offsets) -> Result<Problem, ContentError> {
    problem(text.as_bytes(), regions, offsets)
}

/// As [`parse`], from bytes that may be no text.
pub(crate) fn problem(
    bytes: &[u8],
    regions: Vec<Region>,
    offsets: Offsets,
) -> Result<Problem, ContentError> {
    let mut reader = ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(bytes);
    let header = reader.byte_headers().map_err(malformed)?;
    let header = Header::new(&text(1, header.clone())?)?;
    let mut problem = Problem {
        regions,
        ..Problem::default()
    };
    let mut rows: HashMap<String, (u64, BufferId)> = HashMap::new();
    let mut records = Vec::new();
    for record in reader.into_byte_records() {
        let record = record.map_err(malformed)?;
        let number = line(bytes, &record);
        let record = text(number, record)?;
        let row = Row {
            number,
            header: &header,
            record: &record,
        };
        row.check_length()?;
        if problem.buffers.len() == MAX_BUFFERS {
            return Err(ContentError::TooManyRows { row: row.number });
        }
        let buffer = row.buffer(&problem.regions, offsets)?;
        let name = buffer.name.clone();
        let id = problem.add_buffer(buffer);
        if let Some((first, _)) = rows.insert(name.clone(), (row.number, id)) {
            return Err(ContentError::DuplicateId {
                row: row.number,
                first,
                id: name,
            });
        }
        if header.has_relations() {
            records.push((row.number, record));
        }
    }
    let ids = rows.into_iter().map(|(name, (_, id))| (name, id)).collect();
    for ((number, record), id) in records.iter().zip((0..).map(BufferId)) {
        let row = Row {
            number: *number,
            header: &header,
            record,
        };
        row.relations(id, &ids, &mut problem)?;
    }
    Ok(problem)
}

fn malformed(error: csv::Error) -> ContentError {
    let row = error.position().map_or(1, csv::Position::line);
    let message = error.to_string();
    ContentError::Malformed { row, message }
}

/// A record as text.
fn text(row: u64, record: ByteRecord) -> Result<StringRecord, ContentError> {
    StringRecord::from_byte_record(record).map_err(|error| ContentError::NotUtf8 {
        row,
        column: error.utf8_error().field() + 1,
    })
}

/// The line that a record begins on. Its position is that of blank lines before it.
fn line(bytes: &[u8], record: &ByteRecord) -> u64 {
    let Some(position) = record.position() else {
        return 0;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let before = bytes.get(start..).unwrap_or_default();
    let blank = before
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}

/// Which field of a record is which column.
struct Header {
    names: StringRecord,
    places: [Option<usize>; COLUMNS.len()],
}

impl Header {
    fn new(names: &StringRecord) -> Result<Self, ContentError> {
        let mut places = [None; COLUMNS.len()];
        for (place, name) in names.iter().enumerate() {
            let Some(column) = COLUMNS.iter().position(|column| *column == meaning(name)) else {
                return Err(ContentError::UnknownColumn {
                    column: name.to_owned(),
                });
            };
            if places[column].replace(place).is_some() {
                return Err(ContentError::DuplicateColumn {
                    column: name.to_owned(),
                });
            }
        }
        for (column, place) in REQUIRED.into_iter().zip(places) {
            if place.is_none() {
                return Err(ContentError::MissingColumn { column });
            }
        }
        Ok(Self {
            names: names.clone(),
            places,
        })
    }

    /// The name of a column in the file.
    fn name(&self, column: &'static str) -> &str {
        let place = self.place(column);
        place.map_or(column, |place| &self.names[place])
    }

    /// Whether live ranges end at the last moment at which a buffer is live.
    fn has_inclusive_ends(&self) -> bool {
        self.name("upper") == INCLUSIVE
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.places[COLUMNS.iter().position(|name| *name == column)?]
    }

    fn has_relations(&self) -> bool {
        ["alias", "overlap", "after", "apart"]
            .iter()
            .any(|column| self.place(column).is_some())
    }
}

/// The name of the column that has the last moment of a live range.
const INCLUSIVE: &str = "end";

/// The column that a name in a header stands for.
fn meaning(name: &str) -> &str {
    match name {
        "buffer" | "buffer_id" => "id",
        "start" | "begin" => "lower",
        INCLUSIVE => "upper",
        name => name,
    }
}

struct Row<'a> {
    number: u64,
    header: &'a Header,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn check_length(&self) -> Result<(), ContentError> {
        let (row, fields) = (self.number, self.record.len());
        let columns = self.header.names.len();
        if let Some(missing) = self.header.names.get(fields) {
            let column = missing.to_owned();
            return Err(ContentError::MissingField { row, column });
        }
        if fields > columns {
            return Err(ContentError::TooManyFields {
                row,
                fields,
                columns,
            });
        }
        Ok(())
    }

    /// A field; empty if there is no such column.
    fn field(&self, column: &str) -> &str {
        self.header
            .place(column)
            .and_then(|place| self.record.get(place))
            .unwrap_or("")
    }

    fn number(&self, column: &'static str, least: u64, most: u64) -> Result<u64, ContentError> {
        let value = self.field(column);
        value
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| ContentError::BadNumber {
                row: self.number,
                column: self.header.name(column).to_owned(),
                value: value.to_owned(),
                least,
                most,
            })
    }

    fn moment(&self, column: &'static str, most: u32) -> Result<u32, ContentError> {
        let moment = self.number(column, 0, most.into())?;
        Ok(u32::try_from(moment).unwrap_or(most))
    }

    fn live_range(&self, id: &str) -> Result<Range<u32>, ContentError> {
        let lower = self.moment("lower", u32::MAX)?;
        let upper = match self.header.has_inclusive_ends() {
            true => self.moment("upper", u32::MAX - 1)? + 1,
            false => self.moment("upper", u32::MAX)?,
        };
        let (row, column) = (self.number, self.header.name("upper").to_owned());
        let id = id.to_owned();
        match lower.cmp(&upper) {
            Ordering::Less => Ok(lower..upper),
            Ordering::Equal => Err(ContentError::EmptyRange {
                row,
                column,
                id,
                moment: lower,
            }),
            Ordering::Greater => Err(ContentError::InvertedRange {
                row,
                column,
                id,
                lower,
                upper,
            }),
        }
    }

    fn buffer(&self, regions: &[Region], offsets: Offsets) -> Result<Buffer, ContentError> {
        let id = self.field("id");
        let gaps = self.field("gaps");
        if !gaps.is_empty() {
            return Err(ContentError::Gaps {
                row: self.number,
                id: id.to_owned(),
                gaps: gaps.to_owned(),
            });
        }
        let live = self.live_range(id)?;
        let mut buffer = Buffer::new(id, live, self.number("size", 0, MAX_BYTES)?);
        if !self.field("alignment").is_empty() {
            buffer.alignment = self.number("alignment", 1, MAX_BYTES)?;
        }
        let alignment = buffer.alignment;
        if !alignment.is_power_of_two() {
            return Err(ContentError::BadAlignment {
                row: self.number,
                alignment,
            });
        }
        buffer.fixed_offset = self.offset("fixed_offset", alignment)?;
        for name in self.field("region").split_whitespace() {
            buffer.regions.push(self.region("region", name, regions)?);
        }
        if offsets == Offsets::Fixed {
            self.keep_place(&mut buffer, regions)?;
        }
        let allowed = (0..)
            .map(RegionId)
            .zip(regions)
            .filter(|(region, _)| buffer.regions.is_empty() || buffer.regions.contains(region));
        let capacity = allowed
            .map(|(_, region)| region.capacity)
            .max()
            .unwrap_or(0);
        let bytes = buffer.size + buffer.fixed_offset.unwrap_or(0);
        if bytes > capacity {
            let id = id.to_owned();
            return Err(ContentError::DoesNotFit {
                row: self.number,
                id,
                bytes,
                capacity,
            });
        }
        Ok(buffer)
    }

    /// An offset, if the field is not empty.
    fn offset(&self, column: &'static str, alignment: u64) -> Result<Option<u64>, ContentError> {
        if self.field(column).is_empty() {
            return Ok(None);
        }
        let offset = self.number(column, 0, MAX_BYTES)?;
        if offset % alignment != 0 {
            return Err(ContentError::Misaligned {
                row: self.number,
                column,
                offset,
                alignment,
            });
        }
        Ok(Some(offset))
    }

    fn region(
        &self,
        column: &'static str,
        name: &str,
        regions: &[Region],
    ) -> Result<RegionId, ContentError> {
        let index = regions.iter().position(|region| region.name == name);
        let index = index.and_then(|index| u32::try_from(index).ok());
        index
            .map(RegionId)
            .ok_or_else(|| ContentError::UnknownRegion {
                row: self.number,
                column,
                region: name.to_owned(),
            })
    }

    /// Leaves a buffer that has a place in a plan there.
    fn keep_place(&self, buffer: &mut Buffer, regions: &[Region]) -> Result<(), ContentError> {
        if let Some(offset) = self.offset("offset", buffer.alignment)? {
            let fixed_offset = *buffer.fixed_offset.get_or_insert(offset);
            if fixed_offset != offset {
                return Err(ContentError::TwoOffsets {
                    row: self.number,
                    offset,
                    fixed_offset,
                });
            }
        }
        let placed = self.field("placed");
        if !placed.is_empty() {
            let region = self.region("placed", placed, regions)?;
            if !buffer.regions.is_empty() && !buffer.regions.contains(&region) {
                return Err(ContentError::RegionNotAllowed {
                    row: self.number,
                    id: buffer.name.clone(),
                    region: placed.to_owned(),
                });
            }
            buffer.regions = alloc::vec![region];
        }
        Ok(())
    }

    fn relations(
        &self,
        buffer: BufferId,
        ids: &HashMap<String, BufferId>,
        problem: &mut Problem,
    ) -> Result<(), ContentError> {
        let find = |column: &'static str, id: &str| match ids.get(id) {
            Some(&other) if other == buffer => Err(ContentError::SelfRelation {
                row: self.number,
                column,
                id: id.to_owned(),
            }),
            Some(&other) => Ok(other),
            None => Err(ContentError::UnknownId {
                row: self.number,
                column,
                id: id.to_owned(),
            }),
        };
        let mut add = |column: &'static str, relation: Relation| {
            if problem.relations.len() == MAX_RELATIONS {
                let row = self.number;
                return Err(ContentError::TooManyRelations { row, column });
            }
            problem.relations.push(relation);
            Ok(())
        };
        for id in self.field("alias").split_whitespace() {
            let b = find("alias", id)?;
            add("alias", Relation::MayAlias { a: buffer, b })?;
        }
        for entry in self.field("overlap").split_whitespace() {
            let parts = entry.rsplit_once(':');
            let Some((id, bytes)) = parts.and_then(|(id, bytes)| Some((id, bytes.parse().ok()?)))
            else {
                let entry = entry.to_owned();
                return Err(ContentError::BadOverlap {
                    row: self.number,
                    entry,
                });
            };
            let (lower, upper) = (buffer, find("overlap", id)?);
            let relation = Relation::MayOverlap {
                lower,
                upper,
                bytes,
            };
            add("overlap", relation)?;
        }
        for id in self.field("after").split_whitespace() {
            let (first, second) = (find("after", id)?, buffer);
            add("after", Relation::Contiguous { first, second })?;
        }
        for id in self.field("apart").split_whitespace() {
            let b = find("apart", id)?;
            add("apart", Relation::DifferentRegion { a: buffer, b })?;
        }
        Ok(())
    }
}
