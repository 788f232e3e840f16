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

mod error;
mod read;
mod write;

pub use error::{PlanCsvError, PlanFileError};
pub use read::{parse, parse_for, read};
pub use write::write;

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

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

#[cfg(test)]
mod tests {
    use super::*;
    use memory_planner::{Budget, Plan, Problem, Region, RegionId, fuzzing, solve};

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
    fn what_the_planners_fuzz_target_saves_is_read() {
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
            let read = match parse_for(&fuzzing::to_csv(&problem), problem.regions.clone()) {
                Ok(read) => read,
                // It may make no sense, but the file does.
                Err(PlanCsvError::DoesNotFit { .. }) => continue,
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
