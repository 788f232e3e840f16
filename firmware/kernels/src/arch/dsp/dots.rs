//! The products of [`Rows`](crate::arithmetic::layout::Rows) with the DSP extension, for
//! matrices that [`Layout::Dsp`](crate::arithmetic::layout::Layout::Dsp) does not take.

#![allow(unsafe_code)]

pub(crate) use crate::arch::calls::dots;

assembly!("dots.s");
