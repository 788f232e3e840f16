//! From a problem and its plan to text.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use std::collections::HashMap;

use csv::WriterBuilder;

use super::COLUMNS;
use crate::{BufferId, Plan, Problem, RegionId, Relation};

/// Writes a problem with its plan: the columns that are used, and `offset`.
///
/// With several regions, `placed` names the one that was chosen. Relations name buffers,
/// so names in them should have no spaces if the file is to be read again.
pub fn write(problem: &Problem, plan: &Plan) -> String {
    table(problem, Some(plan))
}

/// As [`write()`], without a plan.
pub fn write_problem(problem: &Problem) -> String {
    table(problem, None)
}

fn table(problem: &Problem, plan: Option<&Plan>) -> String {
    let buffers = &problem.buffers;
    let uses_alignment = buffers.iter().any(|buffer| buffer.alignment != 1);
    let uses_region = buffers.iter().any(|buffer| !buffer.regions.is_empty());
    let uses_fixed = buffers.iter().any(|buffer| buffer.fixed_offset.is_some());
    let related = relation_fields(problem);
    let uses = |column: &str| match column {
        "alignment" => uses_alignment,
        "region" => uses_region,
        "fixed_offset" => uses_fixed,
        "placed" => plan.is_some() && problem.regions.len() > 1,
        "offset" => plan.is_some(),
        "hint" | "gaps" => false,
        "alias" | "overlap" | "after" | "apart" => related.values().any(|f| f.contains_key(column)),
        _ => true,
    };
    let columns: Vec<&str> = COLUMNS.into_iter().filter(|column| uses(column)).collect();
    let region_name = |id: RegionId| problem.regions.get(id.index()).map_or("", |r| &*r.name);
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    let header = columns.iter().map(|column| (*column).to_owned());
    let mut rows = alloc::vec![header.collect::<Vec<_>>()];
    for (index, (buffer, id)) in buffers.iter().zip(0..).enumerate() {
        let placement = plan.and_then(|plan| plan.placements.get(index));
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
            "placed" => placement.map_or("", |at| region_name(at.region)).to_owned(),
            "offset" => placement.map_or_else(String::new, |at| at.offset.to_string()),
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
