//! From a file to a problem.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, StringRecord};
use memory_planner::{
    Buffer, BufferId, MAX_BUFFERS, MAX_BYTES, MAX_RELATIONS, Problem, Region, RegionId, Relation,
};

use super::error::{PlanCsvError, PlanFileError};
use super::{COLUMNS, MAX_FILE_BYTES, REQUIRED};

/// Reads a problem for the given regions from a file.
///
/// # Errors
/// A [`PlanFileError`] that names the file and, as [`parse`] does, row and column.
pub fn read(path: &Path, regions: Vec<Region>) -> Result<Problem, PlanFileError> {
    let path = || path.to_owned();
    let mut bytes = Vec::new();
    // A file that has no size of its own, such as a pipe, ends here too.
    let read =
        File::open(path()).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|source| PlanFileError::Read {
        path: path(),
        source,
    })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(PlanFileError::TooLarge { path: path() });
    }
    problem(&bytes, regions).map_err(|source| PlanFileError::Content {
        path: path(),
        source,
    })
}

/// Reads a problem with one region, `arena`.
///
/// # Errors
/// [`PlanCsvError`] for anything that is not a sensible problem, with row and column.
pub fn parse(text: &str, capacity: u64) -> Result<Problem, PlanCsvError> {
    parse_for(text, Problem::with_capacity(capacity).regions)
}

/// Reads a problem for the given regions.
///
/// # Errors
/// As [`parse`].
pub fn parse_for(text: &str, regions: Vec<Region>) -> Result<Problem, PlanCsvError> {
    problem(text.as_bytes(), regions)
}

fn problem(bytes: &[u8], regions: Vec<Region>) -> Result<Problem, PlanCsvError> {
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
            return Err(PlanCsvError::TooManyRows { row: row.number });
        }
        let buffer = row.buffer(&problem.regions)?;
        let name = buffer.name.clone();
        let id = problem.add_buffer(buffer);
        if let Some((first, _)) = rows.insert(name.clone(), (row.number, id)) {
            return Err(PlanCsvError::DuplicateId {
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

fn malformed(error: csv::Error) -> PlanCsvError {
    let row = error.position().map_or(1, csv::Position::line);
    let message = error.to_string();
    PlanCsvError::Malformed { row, message }
}

/// A record as text.
fn text(row: u64, record: ByteRecord) -> Result<StringRecord, PlanCsvError> {
    StringRecord::from_byte_record(record).map_err(|error| PlanCsvError::NotUtf8 {
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
    fn new(names: &StringRecord) -> Result<Self, PlanCsvError> {
        let mut places = [None; COLUMNS.len()];
        for (place, name) in names.iter().enumerate() {
            let Some(column) = COLUMNS.iter().position(|column| *column == name) else {
                return Err(PlanCsvError::UnknownColumn {
                    column: name.to_owned(),
                });
            };
            if places[column].replace(place).is_some() {
                return Err(PlanCsvError::DuplicateColumn {
                    column: name.to_owned(),
                });
            }
        }
        for (column, place) in REQUIRED.into_iter().zip(places) {
            if place.is_none() {
                return Err(PlanCsvError::MissingColumn { column });
            }
        }
        Ok(Self {
            names: names.clone(),
            places,
        })
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

struct Row<'a> {
    number: u64,
    header: &'a Header,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn check_length(&self) -> Result<(), PlanCsvError> {
        let (row, fields) = (self.number, self.record.len());
        let columns = self.header.names.len();
        if let Some(missing) = self.header.names.get(fields) {
            let column = missing.to_owned();
            return Err(PlanCsvError::MissingField { row, column });
        }
        if fields > columns {
            return Err(PlanCsvError::TooManyFields {
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

    fn number(&self, column: &'static str, least: u64, most: u64) -> Result<u64, PlanCsvError> {
        let value = self.field(column);
        value
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| PlanCsvError::BadNumber {
                row: self.number,
                column,
                value: value.to_owned(),
                least,
                most,
            })
    }

    fn moment(&self, column: &'static str) -> Result<u32, PlanCsvError> {
        let moment = self.number(column, 0, u32::MAX.into())?;
        Ok(u32::try_from(moment).unwrap_or(u32::MAX))
    }

    fn buffer(&self, regions: &[Region]) -> Result<Buffer, PlanCsvError> {
        let id = self.field("id");
        let (lower, upper) = (self.moment("lower")?, self.moment("upper")?);
        if lower == upper {
            return Err(PlanCsvError::EmptyRange {
                row: self.number,
                id: id.to_owned(),
                moment: lower,
            });
        }
        if lower > upper {
            return Err(PlanCsvError::InvertedRange {
                row: self.number,
                id: id.to_owned(),
                lower,
                upper,
            });
        }
        let mut buffer = Buffer::new(id, lower..upper, self.number("size", 0, MAX_BYTES)?);
        if !self.field("alignment").is_empty() {
            buffer.alignment = self.number("alignment", 1, MAX_BYTES)?;
        }
        let alignment = buffer.alignment;
        if !alignment.is_power_of_two() {
            return Err(PlanCsvError::BadAlignment {
                row: self.number,
                alignment,
            });
        }
        if !self.field("fixed_offset").is_empty() {
            let offset = self.number("fixed_offset", 0, MAX_BYTES)?;
            if offset % alignment != 0 {
                return Err(PlanCsvError::Misaligned {
                    row: self.number,
                    offset,
                    alignment,
                });
            }
            buffer.fixed_offset = Some(offset);
        }
        for name in self.field("region").split_whitespace() {
            let index = regions.iter().position(|region| region.name == name);
            let index = index.and_then(|index| u32::try_from(index).ok());
            let Some(index) = index else {
                let region = name.to_owned();
                return Err(PlanCsvError::UnknownRegion {
                    row: self.number,
                    region,
                });
            };
            buffer.regions.push(RegionId(index));
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
            return Err(PlanCsvError::DoesNotFit {
                row: self.number,
                id,
                bytes,
                capacity,
            });
        }
        Ok(buffer)
    }

    fn relations(
        &self,
        buffer: BufferId,
        ids: &HashMap<String, BufferId>,
        problem: &mut Problem,
    ) -> Result<(), PlanCsvError> {
        let find = |column: &'static str, id: &str| match ids.get(id) {
            Some(&other) if other == buffer => Err(PlanCsvError::SelfRelation {
                row: self.number,
                column,
                id: id.to_owned(),
            }),
            Some(&other) => Ok(other),
            None => Err(PlanCsvError::UnknownId {
                row: self.number,
                column,
                id: id.to_owned(),
            }),
        };
        let mut add = |column: &'static str, relation: Relation| {
            if problem.relations.len() == MAX_RELATIONS {
                let row = self.number;
                return Err(PlanCsvError::TooManyRelations { row, column });
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
                return Err(PlanCsvError::BadOverlap {
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
