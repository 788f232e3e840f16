//! The model on the target, against the host: `cargo test` runs it on the board, or in the
//! emulator.
#![no_std]
#![no_main]

use @crate@ as _; // the log, and what a panic does

#[defmt_test::tests]
mod tests {
    use @crate@::golden::GOLDEN;
    use @crate@::model::Arena;
    use static_cell::ConstStaticCell;

    static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());

    #[init]
    fn init() -> &'static mut Arena {
        ARENA.take()
    }

    #[test]
    fn logits_are_those_of_the_host(arena: &mut &'static mut Arena) {
        for golden in &GOLDEN {
            defmt::unwrap!(arena.put_pixels(0, golden.pixels));
            let prediction = defmt::unwrap!(arena.infer());
            defmt::assert_eq!(prediction.logits(), golden.logits);
            defmt::info!("{=str}: as on the host", golden.name);
        }
    }
}
