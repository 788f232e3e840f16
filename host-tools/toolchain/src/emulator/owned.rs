//! Emulators end when this process does, however it ends.
//!
//! A signal that ends this process ends them first. Where it cannot be caught, the system
//! ends them (Linux), or the next start of an emulator does.

use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether signals are another's to handle.
static LEAVES_SIGNALS: AtomicBool = AtomicBool::new(false);

/// Leaves signals to the program that this is a library of, such as an interpreter for which
/// Ctrl-C does not mean its end. Said before the first emulator is started.
pub fn leave_signals() {
    LEAVES_SIGNALS.store(true, Ordering::Relaxed);
}

/// Starts `command`, which is to have [`mark`] among its arguments.
///
/// # Errors
/// If it cannot be started.
pub fn spawn(command: Command) -> io::Result<Child> {
    #[cfg(unix)]
    return unix::spawn(command);
    #[cfg(not(unix))]
    {
        let mut command = command;
        command.spawn()
    }
}

/// Ends `child`, and what it has started, at once.
pub fn end(child: &mut Child) {
    #[cfg(unix)]
    unix::end(child.id());
    child.kill().ok(); // it may have ended by itself
    child.wait().ok();
    #[cfg(unix)]
    unix::forget(child.id());
}

/// The name that an emulator is given, so that one is found that was left behind.
pub fn mark() -> String {
    format!("{MARK}{}", std::process::id())
}

const MARK: &str = "tadpool.";

#[cfg(unix)]
mod unix {
    use std::collections::BTreeSet;
    use std::io;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};
    use std::sync::atomic::Ordering;
    use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError, mpsc};
    use std::thread;

    use rustix::process::{Pid, Signal};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    use super::{LEAVES_SIGNALS, MARK};

    /// The emulators that run.
    static OWNED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

    fn owned() -> MutexGuard<'static, BTreeSet<u32>> {
        OWNED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program to be started, and who waits for it.
    type Order = (Command, mpsc::Sender<io::Result<Child>>);

    pub(super) fn spawn(mut command: Command) -> io::Result<Child> {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            end_leftovers();
            if !LEAVES_SIGNALS.load(Ordering::Relaxed) {
                end_with_signals();
            }
        });
        // A Ctrl-C in the terminal is this process' to handle.
        command.process_group(0);
        #[cfg(target_os = "linux")]
        die_with_parent(&mut command);
        let (sender, receiver) = mpsc::channel();
        let gone = || io::Error::other("the thread that starts emulators has ended");
        lasting_thread()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((command, sender))
            .map_err(|_| gone())?;
        let child = receiver.recv().map_err(|_| gone())??;
        owned().insert(child.id());
        Ok(child)
    }

    /// Starts programs in a thread that lasts as long as this process: Linux takes a thread's
    /// end for its parent's.
    fn lasting_thread() -> &'static Mutex<mpsc::Sender<Order>> {
        static THREAD: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
        THREAD.get_or_init(|| {
            let (sender, receiver) = mpsc::channel::<Order>();
            thread::spawn(move || {
                for (mut command, answer) in receiver {
                    answer.send(command.spawn()).ok(); // somebody waits for it
                }
            });
            Mutex::new(sender)
        })
    }

    /// Has the system end the program when this process ends.
    #[cfg(target_os = "linux")]
    #[expect(
        unsafe_code,
        reason = "between fork and exec there is no safe interface"
    )]
    fn die_with_parent(command: &mut Command) {
        let parent = rustix::process::getpid();
        let hook = move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have ended just before.
            match rustix::process::getppid() == Some(parent) {
                true => Ok(()),
                false => Err(io::ErrorKind::BrokenPipe.into()),
            }
        };
        // SAFETY: between fork and exec only async-signal-safe functions may be called. The
        // hook does two system calls, and neither allocates nor locks.
        unsafe {
            command.pre_exec(hook);
        }
    }

    /// Ends the emulators when a signal ends this process.
    fn end_with_signals() {
        let ignored = ignored();
        let wanted = [SIGHUP, SIGINT, SIGTERM];
        let wanted = wanted
            .iter()
            .filter(|&&signal| ignored & 1 << (signal - 1) == 0);
        let Ok(mut signals) = Signals::new(wanted) else {
            return; // the parent-death signal remains
        };
        thread::spawn(move || {
            for signal in signals.forever() {
                for &id in owned().iter() {
                    end(id);
                }
                emulate_default_handler(signal).ok(); // it ends this process
            }
        });
    }

    /// The signals that this process was started to ignore, as `nohup` does; a bit each.
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    }

    /// Ends an emulator and its process group.
    pub(super) fn end(id: u32) {
        if let Some(id) = pid(id) {
            rustix::process::kill_process_group(id, Signal::KILL).ok(); // it may have ended
        }
    }

    pub(super) fn forget(id: u32) {
        owned().remove(&id);
    }

    /// Ends emulators whose process has ended without them.
    fn end_leftovers() {
        for (id, arguments) in processes() {
            let owner = arguments
                .iter()
                .find_map(|one| one.strip_prefix(MARK)?.parse().ok());
            let is_left = |owner| {
                let test = pid(owner).map(rustix::process::test_kill_process);
                matches!(test, Some(Err(rustix::io::Errno::SRCH)))
            };
            if owner.is_some_and(is_left) {
                end(id);
            }
        }
    }

    fn pid(id: u32) -> Option<Pid> {
        Pid::from_raw(i32::try_from(id).ok()?)
    }

    /// The processes whose arguments can be read.
    #[cfg(target_os = "linux")]
    fn processes() -> Vec<(u32, Vec<String>)> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let arguments = |entry: std::fs::DirEntry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let words = line.split(|&byte| byte == 0);
            Some((
                id,
                words
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect(),
            ))
        };
        entries.flatten().filter_map(arguments).collect()
    }

    #[cfg(not(target_os = "linux"))]
    fn processes() -> Vec<(u32, Vec<String>)> {
        let Ok(output) = Command::new("ps").args(["-axo", "pid=,args="]).output() else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let process = |line: &str| {
            let mut words = line.split_whitespace();
            let id = words.next()?.parse().ok()?;
            Some((id, words.map(str::to_owned).collect()))
        };
        text.lines().filter_map(process).collect()
    }
}
