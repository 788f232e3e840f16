//! Long work for Python: on threads of its own, so that other threads of Python run meanwhile,
//! progress is told and Ctrl-C stops it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tadpool_compiler::progress::{Progress, Stopped};
use tadpool_operations::OperationError;
use tadpool_toolchain::emulator::owned::leave_signals;

use crate::errors::{internal, raised};

/// Between two looks at signals and progress.
const TICK: Duration = Duration::from_millis(50);
/// Stack of the threads, as large as that of a program's first one.
const STACK_BYTES: usize = 8 << 20;

/// Does `work` on all cores, and waits for it without the interpreter's lock. Meanwhile
/// `listener`, if it is not None, is called with the part that runs, the pieces of it that are
/// done and their number.
///
/// # Errors
/// What `work` returns, as an exception; or what a signal's handler or `listener` raises: then
/// the work ends at its next piece, and nobody waits for that.
pub(crate) fn work<T: Send + 'static>(
    py: Python<'_>,
    listener: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T, OperationError> + Send + 'static,
) -> PyResult<T> {
    leave_signals();
    let watch = Arc::new(Watch::default());
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    let pool = pool()?;
    let watched = Arc::clone(&watch);
    let thread = std::thread::Builder::new()
        .name("tadpool".to_owned())
        .spawn(move || {
            let result = pool.install(|| work(&watched));
            // Nobody may be left to take it.
            let _ = sender.send(result);
        })
        .map_err(|error| internal(&format!("no thread can be started: {error}")))?;
    let mut told = None;
    loop {
        let wait = || locked(&receiver).recv_timeout(TICK);
        match py.detach(wait) {
            Ok(result) => return result.map_err(|error| raised(&error)),
            Err(RecvTimeoutError::Disconnected) => return Err(failed(thread)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let heard = py.check_signals().and_then(|()| match listener {
            Some(listener) => watch.tell(listener, &mut told),
            None => Ok(()),
        });
        if let Err(error) = heard {
            watch.is_stopped.store(true, Ordering::Relaxed);
            return Err(error);
        }
    }
}

/// The progress of work, seen from the thread that waits for it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    part: Mutex<Part>,
    done: AtomicUsize,
    is_stopped: AtomicBool,
}

/// A part of the work.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    pieces: usize,
}

impl Watch {
    /// Calls `listener` if anything was done since that was `told`.
    fn tell(&self, listener: &Bound<'_, PyAny>, told: &mut Option<(Part, usize)>) -> PyResult<()> {
        let part = locked(&self.part).clone();
        let done = self.done.load(Ordering::Relaxed).min(part.pieces);
        let now = (part, done);
        if now.0.name.is_empty() || told.as_ref() == Some(&now) {
            return Ok(());
        }
        listener.call1((&now.0.name, now.1, now.0.pieces))?;
        *told = Some(now);
        Ok(())
    }
}

impl Progress for Watch {
    fn begin(&self, what: &str, total: usize) {
        let mut part = locked(&self.part);
        self.done.store(0, Ordering::Relaxed);
        *part = Part {
            name: what.to_owned(),
            pieces: total,
        };
    }

    fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {}

    fn go_on(&self) -> Result<(), Stopped> {
        match self.is_stopped.load(Ordering::Relaxed) {
            true => Err(Stopped),
            false => Ok(()),
        }
    }
}

/// The threads of this process; a process that was forked has none of its parent's.
fn pool() -> PyResult<Arc<ThreadPool>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let process = std::process::id();
    let mut kept = locked(&POOL);
    if let Some((of, pool)) = &*kept
        && *of == process
    {
        return Ok(Arc::clone(pool));
    }
    let pool = ThreadPoolBuilder::new()
        .stack_size(STACK_BYTES)
        .thread_name(|number| format!("tadpool {number}"))
        .build()
        .map_err(|error| internal(&format!("no threads can be started: {error}")))?;
    let pool = Arc::new(pool);
    // The parent's is left alone: its threads are not here to be told of its end.
    std::mem::forget(kept.replace((process, Arc::clone(&pool))));
    Ok(pool)
}

/// The exception for a thread that ended without a result.
fn failed(thread: std::thread::JoinHandle<()>) -> PyErr {
    let cause = thread.join().err();
    let text = cause.as_ref().and_then(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| cause.downcast_ref::<&str>().copied())
    });
    internal(text.unwrap_or("it ended without a result"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
