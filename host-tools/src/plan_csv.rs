//! Placement problems and plans as CSV files.
//!
//! The columns `id`, `lower`, `upper` and `size` are MiniMalloc's: a name, the half-open
//! live range and the number of bytes. Further columns are optional; an empty field says
//! nothing. Lists are separated by spaces.
//!
//! | column | meaning |
//! |---|---|
//! | `alignment` | a power of two that divides the offset |
//! | `region` | the names of the regions that the buffer may be placed in |
//! | `fixed_offset` | the only offset that it may have |
//! | `alias` | buffers that may have the same offset while both are live |
//! | `overlap` | `id:bytes`: how far this buffer's end may reach into the head of another |
//! | `after` | the buffer that this one follows without a gap |
//! | `apart` | buffers that must be in another region |
//! | `offset`, `placed` | the plan: offset and region. Written; not read, as it asks for nothing |

use std::collections::HashMap;

use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use memory_planner::{
    Buffer, BufferId, MAX_BUFFERS, MAX_BYTES, Plan, Problem, Region, RegionId, Relation,
};

/// Why a CSV file is no placement problem. Rows are lines of the file; the header is
/// row 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanCsvError {
    /// A row that is no CSV, or has more or fewer fields than the header.
    #[error("row {row}: {message}")]
    Malformed {
        /// The row.
        row: u64,
        /// What the CSV reader says.
        message: String,
    },
    /// More rows than the planner takes.
    #[error("row {row}: more than {MAX_BUFFERS} buffers, which is the most that can be planned")]
    TooManyRows {
        /// The first row too many.
        row: u64,
    },
    /// The header lacks a column.
    #[error("row 1: column `{column}` is missing")]
    MissingColumn {
        /// The column.
        column: &'static str,
    },
    /// The header has a column that means nothing.
    #[error("row 1: column `{column}` is unknown, known are {}", COLUMNS.join(", "))]
    UnknownColumn {
        /// The column.
        column: String,
    },
    /// The header has a column twice.
    #[error("row 1: column `{column}` occurs twice")]
    DuplicateColumn {
        /// The column.
        column: String,
    },
    /// Two rows have the same id.
    #[error("row {row}, column `id`: `{id}` is taken by row {first}")]
    DuplicateId {
        /// The second row.
        row: u64,
        /// The first row.
        first: u64,
        /// The id.
        id: String,
    },
    /// A field that should be a whole number in range.
    #[error("row {row}, column `{column}`: `{value}` is no whole number from {least} to {most}")]
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
    /// A live range that ends where it starts, or before.
    #[error("row {row}, column `upper`: the live range [{lower}, {upper}) of `{id}` is empty")]
    EmptyRange {
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
        "row {row}, column `size`: `{id}` needs {bytes} bytes, its largest region has {capacity}"
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
    #[error("row {row}, column `region`: there is no region `{region}`")]
    UnknownRegion {
        /// The row.
        row: u64,
        /// The name.
        region: String,
    },
    /// A relation to a buffer that does not exist.
    #[error("row {row}, column `{column}`: there is no buffer `{id}`")]
    UnknownId {
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
        /// The id.
        id: String,
    },
    /// A relation of a buffer to itself.
    #[error("row {row}, column `{column}`: `{id}` is related to itself")]
    SelfRelation {
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
        /// The id.
        id: String,
    },
    /// An `overlap` entry that is not `id:bytes`.
    #[error("row {row}, column `overlap`: `{entry}` is not of the form id:bytes")]
    BadOverlap {
        /// The row.
        row: u64,
        /// The entry.
        entry: String,
    },
}

const REQUIRED: [&str; 4] = ["id", "lower", "upper", "size"];

const COLUMNS: [&str; 13] = [
    "id",
    "lower",
    "upper",
    "size",
    "alignment",
    "region",
    "fixed_offset",
    "alias",
    "overlap",
    "after",
    "apart",
    "placed",
    "offset",
];

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
    let mut reader = ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = Header::new(reader.headers().map_err(malformed)?)?;
    let mut problem = Problem {
        regions,
        ..Problem::default()
    };
    let mut rows: HashMap<String, (u64, BufferId)> = HashMap::new();
    let mut records = Vec::new();
    for record in reader.into_records() {
        let record = record.map_err(malformed)?;
        let row = Row {
            number: line(text, &record),
            header: &header,
            record: &record,
        };
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
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("{len} fields, the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => String::from("not UTF-8"),
        _ => error.to_string(),
    };
    PlanCsvError::Malformed { row, message }
}

/// The line that a record begins on. Its position is that of blank lines before it.
fn line(text: &str, record: &StringRecord) -> u64 {
    let Some(position) = record.position() else {
        return 0;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let before = text.as_bytes().get(start..).unwrap_or_default();
    let blank = before
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}

/// Which field of a record is which column.
struct Header([Option<usize>; COLUMNS.len()]);

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
        Ok(Self(places))
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.0[COLUMNS.iter().position(|name| *name == column)?]
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
        if lower >= upper {
            let id = id.to_owned();
            return Err(PlanCsvError::EmptyRange {
                row: self.number,
                id,
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
        for id in self.field("alias").split_whitespace() {
            let b = find("alias", id)?;
            problem.relations.push(Relation::MayAlias { a: buffer, b });
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
            let upper = find("overlap", id)?;
            problem.relations.push(Relation::MayOverlap {
                lower: buffer,
                upper,
                bytes,
            });
        }
        for id in self.field("after").split_whitespace() {
            let first = find("after", id)?;
            problem.relations.push(Relation::Contiguous {
                first,
                second: buffer,
            });
        }
        for id in self.field("apart").split_whitespace() {
            let b = find("apart", id)?;
            problem
                .relations
                .push(Relation::DifferentRegion { a: buffer, b });
        }
        Ok(())
    }
}

/// Writes a problem with its plan: the columns of [`parse`] that are used, and `offset`.
///
/// With several regions, `placed` names the one that was chosen. Relations name buffers,
/// so names in them should have no spaces if the file is to be read again.
pub fn write(problem: &Problem, plan: &Plan) -> String {
    let buffers = &problem.buffers;
    let uses_alignment = buffers.iter().any(|buffer| buffer.alignment != 1);
    let uses_region = buffers.iter().any(|buffer| !buffer.regions.is_empty());
    let uses_fixed = buffers.iter().any(|buffer| buffer.fixed_offset.is_some());
    let related = relation_fields(problem);
    let uses = |column: &str| match column {
        "alignment" => uses_alignment,
        "region" => uses_region,
        "fixed_offset" => uses_fixed,
        "placed" => problem.regions.len() > 1,
        "alias" | "overlap" | "after" | "apart" => related.values().any(|f| f.contains_key(column)),
        _ => true,
    };
    let columns: Vec<&str> = COLUMNS.into_iter().filter(|column| uses(column)).collect();
    let region_name = |id: RegionId| problem.regions.get(id.index()).map_or("", |r| &*r.name);
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    let mut rows = vec![
        columns
            .iter()
            .map(|column| (*column).to_owned())
            .collect::<Vec<_>>(),
    ];
    for ((buffer, placement), id) in buffers.iter().zip(&plan.placements).zip(0..) {
        let field = |column: &&str| match *column {
            "id" => buffer.name.clone(),
            "lower" => buffer.live.start.to_string(),
            "upper" => buffer.live.end.to_string(),
            "size" => buffer.size.to_string(),
            "alignment" => buffer.alignment.to_string(),
            "region" => {
                let names: Vec<&str> = buffer.regions.iter().map(|&id| region_name(id)).collect();
                names.join(" ")
            }
            "fixed_offset" => buffer
                .fixed_offset
                .map_or_else(String::new, |at| at.to_string()),
            "placed" => region_name(placement.region).to_owned(),
            "offset" => placement.offset.to_string(),
            column => related
                .get(&id)
                .and_then(|f| f.get(column))
                .cloned()
                .unwrap_or_default(),
        };
        rows.push(columns.iter().map(field).collect());
    }
    for row in rows {
        // Writing to a vector of equally long rows cannot fail.
        let _ = writer.write_record(&row);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// For each buffer with relations, its fields by column.
fn relation_fields(problem: &Problem) -> HashMap<u32, HashMap<&'static str, String>> {
    let name = |id: BufferId| problem.buffers.get(id.index()).map_or("", |b| &*b.name);
    let mut fields: HashMap<u32, HashMap<&'static str, String>> = HashMap::new();
    for relation in &problem.relations {
        let (row, column, entry) = match *relation {
            Relation::MayAlias { a, b } => (a, "alias", name(b).to_owned()),
            Relation::MayOverlap {
                lower,
                upper,
                bytes,
            } => (lower, "overlap", format!("{}:{bytes}", name(upper))),
            Relation::Contiguous { first, second } => (second, "after", name(first).to_owned()),
            Relation::DifferentRegion { a, b } => (a, "apart", name(b).to_owned()),
        };
        let field = fields.entry(row.0).or_default().entry(column).or_default();
        if !field.is_empty() {
            field.push(' ');
        }
        field.push_str(&entry);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use memory_planner::{Budget, solve};

    fn error(text: &str) -> String {
        parse(text, 1000).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_is_written_back_with_offsets() {
        let text = "id,lower,upper,size\na,0,2,10\nb,1,3,20\n";
        let problem = parse(text, 100).unwrap();
        let solution = solve(&problem, &Budget::default()).unwrap();
        let written = write(&problem, &solution.plan);
        assert_eq!(
            written,
            "id,lower,upper,size,offset\na,0,2,10,20\nb,1,3,20,0\n"
        );
        assert_eq!(parse(&written, 100).unwrap(), problem);
    }

    #[test]
    fn all_columns_survive_a_round_trip() {
        let regions = ["fast", "slow"].map(|name| Region {
            name: name.into(),
            capacity: 100,
        });
        let text = "id,lower,upper,size,alignment,region,fixed_offset,alias,overlap,after,apart\n\
            a,0,2,10,4,fast slow,,b,b:7 c:3,,\n\
            b,1,3,20,1,,,,,,\n\
            \"c, d\",1,3,20,1,slow,8,,,a,b\n\
            c,5,6,1,1,,,,,,\n";
        let problem = parse_for(text, regions.to_vec()).unwrap();
        assert_eq!(problem.relations.len(), 5);
        let placement = memory_planner::Placement {
            region: RegionId(1),
            offset: 8,
        };
        let plan = Plan {
            placements: vec![placement; 4],
        };
        let written = write(&problem, &plan);
        assert!(written.ends_with("c,5,6,1,1,,,,,,,slow,8\n"), "{written}");
        let again = parse_for(&written, regions.to_vec()).unwrap();
        assert_eq!(again.buffers, problem.buffers);
        assert_eq!(again.relations, problem.relations);
    }

    #[test]
    fn errors_name_row_and_column() {
        let cases = [
            ("", "row 1: column `id` is missing"),
            ("id,lower,upper\n", "row 1: column `size` is missing"),
            (
                "id,lower,upper,size,id\n",
                "row 1: column `id` occurs twice",
            ),
            (
                "id,lower,upper,size\na,0,1\n",
                "row 2: 3 fields, the header has 4",
            ),
            (
                "id,lower,upper,size\na,0,1,2\n\na,0,1,2\n",
                "row 4, column `id`: `a` is taken by row 2",
            ),
            (
                "id,lower,upper,size\na,0,1,-2\n",
                "row 2, column `size`: `-2` is no whole number from 0 to 1099511627776",
            ),
            (
                "id,lower,upper,size\na,0,1,99999999999999999999\n",
                "row 2, column `size`: `99999999999999999999` is no whole number from 0 to 1099511627776",
            ),
            (
                "id,lower,upper,size\na,0,4294967296,1\n",
                "row 2, column `upper`: `4294967296` is no whole number from 0 to 4294967295",
            ),
            (
                "id,lower,upper,size\na,3,3,1\n",
                "row 2, column `upper`: the live range [3, 3) of `a` is empty",
            ),
            (
                "id,lower,upper,size\nok,3,4,1\na,4,3,1\n",
                "row 3, column `upper`: the live range [4, 3) of `a` is empty",
            ),
            (
                "id,lower,upper,size\na,0,1,1001\n",
                "row 2, column `size`: `a` needs 1001 bytes, its largest region has 1000",
            ),
            (
                "id,lower,upper,size,alignment\na,0,1,1,12\n",
                "row 2, column `alignment`: 12 is no power of two",
            ),
            (
                "id,lower,upper,size,alignment,fixed_offset\na,0,1,1,8,12\n",
                "row 2, column `fixed_offset`: 12 is no multiple of the alignment 8",
            ),
            (
                "id,lower,upper,size,region\na,0,1,1,dtcm\n",
                "row 2, column `region`: there is no region `dtcm`",
            ),
            (
                "id,lower,upper,size,after\na,0,1,1,b\n",
                "row 2, column `after`: there is no buffer `b`",
            ),
            (
                "id,lower,upper,size,alias\na,0,1,1,a\n",
                "row 2, column `alias`: `a` is related to itself",
            ),
            (
                "id,lower,upper,size,overlap\na,0,1,1,a\n",
                "row 2, column `overlap`: `a` is not of the form id:bytes",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected);
        }
        assert!(
            error("id,lower,upper,size,colour\n").starts_with("row 1: column `colour` is unknown")
        );
    }

    #[test]
    fn a_million_rows_are_refused_early() {
        let mut text = String::from("id,lower,upper,size\n");
        for row in 0..1_000_000 {
            text.push_str(&format!("{row},0,1,1\n"));
        }
        assert_eq!(
            error(&text.replace(",1\n", ",0\n")),
            "row 65538: more than 65536 buffers, which is the most that can be planned"
        );
    }

    #[test]
    fn no_text_makes_it_panic() {
        let pieces = [
            "id", ",", "\n", "\"", "lower", "upper", "size", "overlap", ":", "1", "a", "\u{0}",
        ];
        let mut state = 5_u64;
        for _ in 0..20_000 {
            let mut text = String::from("id,lower,upper,size,overlap,region\n");
            for _ in 0..12 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            let _ = parse(&text, 10);
        }
    }
}
