//! Timers of the boards; each board uses one.
#![allow(dead_code, unused_imports)]

mod cmsdk;
mod systick;

pub(crate) use cmsdk::{CmsdkTimer, Interrupt};
pub(crate) use systick::SysTickTimer;
