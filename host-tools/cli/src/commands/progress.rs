//! Progress bars on standard error.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use tadpool_compiler::progress::Progress;

/// One bar at a time, hidden where standard error is no terminal.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    current: Mutex<Option<ProgressBar>>,
}

impl Progress for Bars {
    fn begin(&self, what: &str, total: usize) {
        let style = ProgressStyle::with_template("{msg:28} {bar:32} {pos}/{len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total as u64)
            .with_style(style)
            .with_message(what.to_owned());
        self.set(Some(bar));
    }

    fn advance(&self) {
        if let Ok(current) = self.current.lock()
            && let Some(bar) = current.as_ref()
        {
            bar.inc(1);
        }
    }

    fn end(&self) {
        self.set(None);
    }
}

impl Bars {
    fn set(&self, bar: Option<ProgressBar>) {
        if let Ok(mut current) = self.current.lock() {
            if let Some(done) = current.take() {
                done.finish_and_clear();
            }
            *current = bar;
        }
    }
}
