/// Waits for ever; the core stays awake, so that a debug probe reads what was said last.
pub fn end() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
