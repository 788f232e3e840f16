//! Load: many images on two emulated boards at once, with emulators that are killed and
//! links that are cut, and whether anything is lost or left behind.
//!
//! `cargo xtask load` runs it, in a process and with a temporary folder of its own:
//! `TADPOOL_LOAD=IMAGES,INTERRUPTIONS,SEED`.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tadpool_image::{Build, Interface};
use tadpool_probe::RttLink;
use tadpool_probe::session::{Session, Transport as _};

use super::{TIMEOUT, on_host, picture, start_image};

const BOARDS: [&str; 2] = ["qemu-mps2-an386", "qemu-mps2-an385"];
/// The memory that one run may leave allocated: the allocator keeps some of what was freed.
const MEMORY_BYTES: u64 = 64 << 20;

/// The outcome of a run.
#[derive(Debug, Default)]
struct Done {
    /// Answers to each image.
    answers: Vec<u32>,
    /// Emulators that were killed, and links that were cut.
    killed: u32,
    cut: u32,
    /// Requests that failed, each for an emulator that was killed.
    failed: u32,
}

/// A generator of numbers, the same for the same seed.
struct Random(u64);

impl Random {
    /// Seeds that are next to each other begin far apart (splitmix64).
    fn of(seed: u64) -> Self {
        let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((state ^ (state >> 31)).max(1))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

#[test]
#[ignore = "looks at all that its process holds; see `cargo xtask load`"]
#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn every_image_is_answered_once_whatever_is_interrupted() {
    let [images, interruptions, seed] = match std::env::var("TADPOOL_LOAD") {
        Ok(text) => {
            let numbers = text.split(',').map(|number| number.parse().unwrap());
            numbers.collect::<Vec<u32>>().try_into().unwrap()
        }
        Err(_) => [24, 4, 1],
    };
    let built = BOARDS.map(|name| {
        let board = tadpool_boards::find(name).unwrap();
        let build = Build {
            board: &board,
            model: None,
            interface: Interface::Requests,
        };
        let image = tadpool_image::build(&build).unwrap();
        (board, image)
    });
    let run = |images: u32, interruptions: u32| {
        let waiting = Mutex::new((0..images).collect::<VecDeque<u32>>());
        let done = Mutex::new(Done {
            answers: vec![0; images as usize],
            ..Done::default()
        });
        std::thread::scope(|scope| {
            for (worker, (board, image)) in built.iter().enumerate() {
                let (waiting, done) = (&waiting, &done);
                scope.spawn(move || {
                    let mut random = Random::of(u64::from(seed) * 2 + worker as u64);
                    let mut session: Option<Session<RttLink>> = None;
                    // Its share, at random among its share of the images.
                    let share = interruptions / 2 + interruptions % 2 * (worker as u32 ^ 1);
                    let mut left = share;
                    let mut taken = 0;
                    while let Some(number) = { waiting.lock().unwrap().pop_front() } {
                        taken += 1;
                        let hash = Some(tadpool_model::MODEL_HASH);
                        let opened = match session.take() {
                            Some(open) => Ok(open),
                            None => start_image(board, &image.path, hash, TIMEOUT),
                        };
                        let Ok(mut open) = opened else {
                            done.lock().unwrap().failed += 1;
                            waiting.lock().unwrap().push_back(number);
                            continue;
                        };
                        let remaining = u64::from((images / 2).saturating_sub(taken)).max(1);
                        let is_interrupted = left > 0 && random.below(remaining) < u64::from(left);
                        let mut killer = None;
                        if is_interrupted {
                            left -= 1;
                            if random.below(2) == 0 {
                                killer = kill_soon(&mut random);
                                done.lock().unwrap().killed += u32::from(killer.is_some());
                            } else {
                                cut(open, &mut random, &picture(number));
                                done.lock().unwrap().cut += 1;
                                waiting.lock().unwrap().push_back(number);
                                continue;
                            }
                        }
                        let found = open.infer(&picture(number));
                        if let Some(mut killer) = killer {
                            killer.wait().unwrap();
                        }
                        let Ok(found) = found else {
                            done.lock().unwrap().failed += 1;
                            waiting.lock().unwrap().push_back(number);
                            continue;
                        };
                        let (logits, checksums) = on_host(&picture(number));
                        assert_eq!(found.logits, logits, "image {number}");
                        let steps = found.steps.iter().map(|step| step.checksum);
                        assert!(steps.eq(checksums), "image {number}");
                        done.lock().unwrap().answers[number as usize] += 1;
                        session = Some(open);
                    }
                });
            }
        });
        done.into_inner().unwrap()
    };
    // What is set up once is there afterwards.
    run(4, 2);
    settle();
    let (before, began) = (Held::now(), Instant::now());
    let done = run(images, interruptions);
    settle();
    let (after, took) = (Held::now(), began.elapsed());
    assert!(done.answers.iter().all(|&count| count == 1), "{done:?}");
    assert!(done.failed <= done.killed, "nothing else fails: {done:?}");
    assert_eq!(after.emulators, BTreeSet::new(), "emulators that are left");
    assert_eq!(after.handles, before.handles, "file handles");
    assert_eq!(after.folders, before.folders, "temporary files");
    let grown = after.memory_bytes.saturating_sub(before.memory_bytes);
    assert!(grown < MEMORY_BYTES, "{grown} bytes of memory are kept");
    println!(
        "{images} images on {} boards in {:.0} s, {} emulators killed, {} links cut, seed \
         {seed}: each answered once, all as on the host; {grown} bytes of memory kept, no \
         process, handle or file",
        BOARDS.len(),
        took.as_secs_f64(),
        done.killed,
        done.cut,
    );
}

/// Kills an emulator, this worker's or another's, within the time of an answer or so.
fn kill_soon(random: &mut Random) -> Option<Child> {
    let all = emulators();
    let pid = all.iter().nth(random.below(all.len() as u64) as usize)?;
    let delay = random.below(300);
    let script = format!("sleep 0.{delay:03}; kill -KILL {pid}");
    Some(Command::new("sh").args(["-c", &script]).spawn().unwrap())
}

/// Sends a part of what is to be sent, and lets go of the link.
fn cut(mut session: Session<RttLink>, random: &mut Random, picture: &[u8]) {
    let bytes = &picture[..random.below(picture.len() as u64) as usize];
    session.transport_mut().send(bytes).ok();
}

/// The resources of this process.
#[derive(Debug)]
struct Held {
    emulators: BTreeSet<String>,
    handles: usize,
    folders: BTreeSet<String>,
    memory_bytes: u64,
}

impl Held {
    fn now() -> Self {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        let names = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        Self {
            emulators: emulators(),
            handles: fs::read_dir("/proc/self/fd").unwrap().count(),
            folders: names.collect(),
            memory_bytes: resident * 4096,
        }
    }
}

/// The emulators that this process started.
fn emulators() -> BTreeSet<String> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(") ") else {
            return false;
        };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next(), fields.next());
        name.contains("(qemu-system") && state != Some("Z") && parent == Some(&own)
    })
    .collect()
}

/// Waits until what was let go of is gone.
fn settle() {
    let end = Instant::now() + Duration::from_secs(10);
    while !emulators().is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
}
