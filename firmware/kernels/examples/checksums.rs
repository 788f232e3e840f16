#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
use tadpool_kernels::cases::{self, COUNTED, EDGES, Seed};
use tadpool_kernels::layout::Rows;
fn main() {
    let mut storage = vec![0u32; 4 << 20];
    let (_, memory, _) = unsafe { storage.align_to_mut::<u8>() };
    for (i, c) in EDGES.iter().enumerate() {
        for s in 0..6 {
            println!(
                "check {i} {s} {:08x}",
                cases::run::<Rows>(c, Seed(s), memory).unwrap()
            );
        }
    }
    for (i, c) in COUNTED.iter().enumerate() {
        println!(
            "count {i} {:08x} {} {}",
            cases::run::<Rows>(c, Seed(2), memory).unwrap(),
            c.macs(),
            c.elements()
        );
    }
}
