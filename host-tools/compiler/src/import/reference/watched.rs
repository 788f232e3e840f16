//! Calls of foreign code that may panic or never return.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

/// Stack of a watched thread: graphs may be deep.
const STACK_BYTES: usize = 64 << 20;

/// Why a call has no result.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It panicked with this message.
    Panicked(String),
    /// It did not return in time.
    Late,
    /// No thread could be started.
    NoThread(String),
}

/// The result of `call`, which runs on a thread of its own. A panic prints nothing.
///
/// # Errors
/// The call panics, or takes longer than `deadline`: then its thread is left to itself and
/// ends with the process.
pub(super) fn watched<T: Send + 'static>(
    deadline: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stopped> {
    silence();
    let (sender, receiver) = mpsc::channel();
    let body = move || {
        IS_WATCHED.set(true);
        let result = catch_unwind(AssertUnwindSafe(call));
        // Nobody waits any longer for what comes late.
        let _ = sender.send(result.map_err(|payload| message(&*payload)));
    };
    thread::Builder::new()
        .name("float reference".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map_err(|error| Stopped::NoThread(error.to_string()))?;
    match receiver.recv_timeout(deadline) {
        Ok(result) => result.map_err(Stopped::Panicked),
        Err(_) => Err(Stopped::Late),
    }
}

thread_local! {
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Makes the process' panic hook pass over watched threads, once.
fn silence() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_WATCHED.get() {
                hook(info);
            }
        }));
    });
}

fn message(payload: &dyn Any) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn results_panics_and_hangs_come_back() {
        assert_eq!(watched(LONG, || 7), Ok(7));
        let panicked = watched(LONG, || -> u8 { panic!("at the {}", "disco") });
        assert_eq!(panicked, Err(Stopped::Panicked("at the disco".to_owned())));
        let late = watched(Duration::from_millis(20), thread::park);
        assert_eq!(late, Err(Stopped::Late));
        assert_eq!(watched(LONG, || "again"), Ok("again"));
    }
}
