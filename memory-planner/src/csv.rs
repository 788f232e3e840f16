//! Placement problems and plans as CSV files: MiniMalloc's format, with columns for what it
//! does not know.
//!
//! Every row is a buffer. The required columns are MiniMalloc's, and so are the other names
//! that it accepts for them.
//!
//! | column | also named | meaning |
//! |---|---|---|
//! | `id` | `buffer`, `buffer_id` | a name, different in every row |
//! | `lower` | `start`, `begin` | the first moment of the live range |
//! | `upper` | | the first moment after it |
//! | `end` | | instead of `upper`: the last moment of the live range, as MiniMalloc reads it |
//! | `size` | | the number of bytes |
//!
//! Further columns are optional, and an empty field says nothing. Lists are separated by
//! spaces.
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
//! | `offset`, `placed` | a plan: offset and region. Written; what they mean when they are read is a choice ([`Offsets`]) |
//! | `hint` | MiniMalloc's advice to its own search; not read |
//! | `gaps` | MiniMalloc's moments at which a buffer is not in use; refused, unless empty |

mod error;
mod read;
mod write;

pub use error::{ContentError, FileError};
pub(crate) use read::problem;
pub use read::{Offsets, parse, read};
pub use write::{write, write_problem};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

const REQUIRED: [&str; 4] = ["id", "lower", "upper", "size"];

const COLUMNS: [&str; 15] = [
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
    "hint",
    "gaps",
];

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;
    use alloc::{format, vec};

    use super::*;
    use crate::{Budget, Placement, Plan, Problem, Region, RegionId, fuzzing, solve};

    fn parse_one(text: &str, capacity: u64) -> Result<Problem, ContentError> {
        let regions = Problem::with_capacity(capacity).regions;
        parse(text, regions, Offsets::Fixed)
    }

    #[test]
    fn a_plan_is_written_back_with_offsets() {
        let text = "id,lower,upper,size\na,0,2,10\nb,1,3,20\n";
        let problem = parse_one(text, 100).unwrap();
        let solution = solve(&problem, &Budget::default()).unwrap();
        let written = write(&problem, &solution.plan);
        assert_eq!(
            written,
            "id,lower,upper,size,offset\na,0,2,10,20\nb,1,3,20,0\n"
        );
        let again = parse(&written, problem.regions.clone(), Offsets::Ignored);
        assert_eq!(again.unwrap(), problem);
        let fixed = parse_one(&written, 100).unwrap();
        let offsets: Vec<_> = fixed.buffers.iter().map(|b| b.fixed_offset).collect();
        assert_eq!(offsets, [Some(20), Some(0)]);
        assert_eq!(
            solve(&fixed, &Budget::default()).unwrap().plan,
            solution.plan
        );
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
        let problem = parse(text, regions.to_vec(), Offsets::Fixed).unwrap();
        assert_eq!(problem.relations.len(), 5);
        assert_eq!(write_problem(&problem), text);
        let placement = Placement {
            region: RegionId(1),
            offset: 8,
        };
        let plan = Plan {
            placements: vec![placement; 4],
        };
        let written = write(&problem, &plan);
        assert!(written.ends_with("c,5,6,1,1,,,,,,,slow,8\n"), "{written}");
        let again = parse(&written, regions.to_vec(), Offsets::Ignored).unwrap();
        assert_eq!(again.buffers, problem.buffers);
        assert_eq!(again.relations, problem.relations);
        let fixed = parse(&written, regions.to_vec(), Offsets::Fixed).unwrap();
        for buffer in &fixed.buffers {
            assert_eq!(buffer.regions, [RegionId(1)], "{buffer:?}");
            assert_eq!(buffer.fixed_offset, Some(8), "{buffer:?}");
        }
    }

    #[test]
    fn minimallocs_own_headers_mean_the_same() {
        let expected = parse_one("id,lower,upper,size\nx,6,12,18\ny,5,10,15\n", 100).unwrap();
        for text in [
            "upper,size,buffer,begin\n12,18,x,6\n10,15,y,5\n",
            "buffer_id,start,end,size\nx,6,11,18\ny,5,9,15\n",
            "buffer,start,end,size,hint,gaps\nx,6,11,18,-1,\ny,5,9,15,7,\n",
        ] {
            assert_eq!(parse_one(text, 100).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_the_fuzz_target_saves_is_read() {
        let mut state = 3_u64;
        for _ in 0..1000 {
            let bytes: Vec<u8> = (0..64)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let problem = fuzzing::tiny_problem(&bytes);
            let text = write_problem(&problem);
            let read = match parse(&text, problem.regions.clone(), Offsets::Fixed) {
                Ok(read) => read,
                // It may make no sense, but the file does.
                Err(ContentError::DoesNotFit { .. }) => continue,
                Err(error) => panic!("{error}: {problem:?}"),
            };
            assert_eq!(read.buffers, problem.buffers);
            let sorted = |problem: &Problem| {
                let mut relations: Vec<String> =
                    problem.relations.iter().map(|r| format!("{r:?}")).collect();
                relations.sort();
                relations
            };
            assert_eq!(sorted(&read), sorted(&problem));
        }
    }

    /// The body of the fuzz target `csv`.
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
            fuzzing::check_csv(text.as_bytes());
        }
    }
}
