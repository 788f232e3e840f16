//! The hash of the model that an image holds, where the host's tools find it in the image's
//! file. The linker script keeps the section out of the board's memory.

// SAFETY: nothing else is in this section, and the board never reads it.
#[expect(unsafe_code, reason = "a section of its own")]
#[used]
#[unsafe(link_section = ".tadpool.model_hash")]
static MODEL_HASH: u32 = tadpool_model::MODEL_HASH;
