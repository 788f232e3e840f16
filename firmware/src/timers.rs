//! Timers of the boards; each board uses one.
//!
//! A timer has `start`, `wake` (goes on where a debug probe stopped it), `now` (ticks since
//! the start, 64 bits), `name`, the number of its `interrupt`, and `on_interrupt`, to be
//! called by it.
#![allow(dead_code, unused_imports)]

mod cmsdk;
mod core;
mod cycles;
mod systick;

pub(crate) use cmsdk::{CmsdkTimer, Interrupt};
pub(crate) use core::CoreTimer;
pub(crate) use systick::SysTickTimer;
