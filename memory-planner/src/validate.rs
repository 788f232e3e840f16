//! Typed errors for problems that make no sense, before any solver sees them.

use crate::error::PlanError;
use crate::problem::{Buffer, MAX_BUFFERS, MAX_BYTES, MAX_RELATIONS, Problem};

/// Checks every number and index of `problem`.
pub(crate) fn validate(problem: &Problem) -> Result<(), PlanError> {
    let count = problem.buffers.len();
    if count > MAX_BUFFERS {
        return Err(PlanError::TooManyBuffers { count });
    }
    let relations = problem.relations.len();
    if relations > MAX_RELATIONS {
        return Err(PlanError::TooManyRelations { count: relations });
    }
    if problem.regions.is_empty() && count > 0 {
        return Err(PlanError::NoRegion);
    }
    for buffer in &problem.buffers {
        validate_buffer(problem, buffer)?;
    }
    for (index, relation) in problem.relations.iter().enumerate() {
        let (a, b) = relation.buffers();
        for id in [a, b] {
            if id.index() >= count {
                return Err(PlanError::UnknownBuffer {
                    relation: index,
                    buffer: id.0,
                });
            }
        }
        if a == b {
            let buffer = problem.buffers[a.index()].name.clone();
            return Err(PlanError::SelfRelation {
                relation: index,
                buffer,
            });
        }
    }
    Ok(())
}

fn validate_buffer(problem: &Problem, buffer: &Buffer) -> Result<(), PlanError> {
    let name = || buffer.name.clone();
    let (start, end) = (buffer.live.start, buffer.live.end);
    if start == end {
        return Err(PlanError::EmptyLiveRange {
            buffer: name(),
            moment: start,
        });
    }
    if start > end {
        return Err(PlanError::InvertedLiveRange {
            buffer: name(),
            start,
            end,
        });
    }
    let fixed = buffer.fixed_offset.unwrap_or(0);
    let numbers = [
        ("size", buffer.size),
        ("alignment", buffer.alignment),
        ("fixed offset", fixed),
    ];
    for (field, bytes) in numbers {
        if bytes > MAX_BYTES {
            return Err(PlanError::TooLarge {
                buffer: name(),
                field,
                bytes,
            });
        }
    }
    let alignment = buffer.alignment;
    if !alignment.is_power_of_two() {
        return Err(PlanError::BadAlignment {
            buffer: name(),
            alignment,
        });
    }
    if !fixed.is_multiple_of(alignment) {
        return Err(PlanError::MisalignedFixedOffset {
            buffer: name(),
            offset: fixed,
            alignment,
        });
    }
    for region in &buffer.regions {
        if region.index() >= problem.regions.len() {
            return Err(PlanError::UnknownRegion {
                buffer: name(),
                region: region.0,
            });
        }
    }
    let capacity = (0..problem.regions.len())
        .filter(|&index| allows(buffer, index))
        .map(|index| problem.regions[index].capacity)
        .max()
        .unwrap_or(0);
    if fixed + buffer.size > capacity {
        return Err(PlanError::BufferTooLarge {
            buffer: name(),
            bytes: fixed + buffer.size,
            capacity,
        });
    }
    Ok(())
}

/// Whether `buffer` may be placed in the region with this index.
pub(crate) fn allows(buffer: &Buffer, region: usize) -> bool {
    buffer.regions.is_empty() || buffer.regions.iter().any(|id| id.index() == region)
}
