//! Generated crates in a stranger's hands: in folders of one's own, on the host, and two in
//! one firmware on an emulated board.

use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tadpool_boards::KernelVariant;
use tadpool_compiler::generate::{
    About, Choices, Generated, Golden, Package, PackageError, generate, layout, readme,
};
use tadpool_compiler::given::model_toml::Feed;
use tadpool_compiler::place::program::{Arena, Program, program};
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_kernels::checksum::fnv1a;
use tadpool_kernels::{Fault, Memory, Observer, Status};

use crate::support;
use crate::support::emulated::description;
use crate::support::integer::{Quantized, images, quantized};

const TARGET: &str = "thumbv7em-none-eabihf";

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/kernels")
}

/// Network number `number` of the fixtures.
fn network(number: usize, feed: Feed) -> Quantized {
    let config = ScheduleConfig {
        feed,
        ..ScheduleConfig::default()
    };
    quantized(&support::manifest().model[number], &config)
}

/// The crate of a program, in `folder`.
fn write(
    folder: &Path,
    name: &str,
    program: &Program<'_>,
    kernels: KernelVariant,
    golden: &[Golden],
    section: Option<&str>,
) -> Generated {
    let description = description(program);
    let choices = Choices {
        layout: layout(kernels),
        section: section.map(str::to_owned),
        slots: false,
    };
    let generated = generate(program, &description, choices);
    let about = About {
        crate_name: name,
        kernels,
        section,
        has_golden: !golden.is_empty(),
    };
    let package = Package {
        name,
        description: &description,
        kernels: Package::dependency(kernels, &self::kernels()),
        own_workspace: true,
        readme: Some(readme(program, &description, &about)),
        golden,
        kernel_files: Vec::new(),
        is_forced: false,
    };
    generated.write_package(folder, &package).unwrap();
    generated
}

fn golden(program: &Program<'_>, pictures: &[Vec<u8>]) -> Vec<Golden> {
    let of = |(number, pixels): (usize, &Vec<u8>)| {
        let name = format!("picture {number}");
        Golden::of(program, &name, pixels.clone(), &mut Arena::default()).unwrap()
    };
    pictures.iter().enumerate().map(of).collect()
}

fn succeeds(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{errors}");
}

/// Every example of its README runs on the host, and its golden vectors with them; so does
/// the crate of a network whose image comes in rows, with the weights in a section.
#[test]
fn a_crate_builds_alone_and_its_readme_holds() {
    let folder = tempfile::tempdir().unwrap();
    // A workspace that would take it for a stray part.
    std::fs::write(
        folder.path().join("Cargo.toml"),
        "[workspace]\nmembers = []\n",
    )
    .unwrap();
    for (number, feed, name) in [(0, Feed::Image, "whole-image"), (1, Feed::Rows, "by_rows")] {
        let network = network(number, feed);
        let program = program(&network.model, &network.schedule, &network.memory);
        let golden = golden(&program, &images(&network.network, 2));
        let folder = folder.path().join(name);
        write(
            &folder,
            name,
            &program,
            KernelVariant::Dsp,
            &golden,
            Some(".qspi"),
        );
        let mut test = Command::new("cargo");
        test.args(["test", "--offline", "--quiet", "--doc"]);
        succeeds(
            &test
                .current_dir(&folder)
                .env("CARGO_TARGET_DIR", target())
                .output()
                .unwrap(),
        );
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(text.contains("features = [\"dsp\"]"), "{text}");
    }
}

/// Where these tests build, so that the kernels are built once.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated")
}

/// A crate is written again, over itself but over nothing else.
#[test]
fn a_crate_is_written_over_itself_only() {
    let network = network(0, Feed::Image);
    let program = program(&network.model, &network.schedule, &network.memory);
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    for _ in 0..2 {
        write(&own, "own", &program, KernelVariant::Portable, &[], None);
    }
    std::fs::write(own.join("src/extra.rs"), "mine").unwrap();
    write(&own, "own", &program, KernelVariant::Portable, &[], None);
    assert_eq!(std::fs::read(own.join("src/extra.rs")).unwrap(), b"mine");

    let theirs = folder.path().join("theirs");
    std::fs::create_dir_all(theirs.join("src")).unwrap();
    let files = [("Cargo.toml", "[package]"), ("src/lib.rs", "// theirs")];
    for (file, text) in files {
        std::fs::write(theirs.join(file), text).unwrap();
    }
    let description = description(&program);
    let generated = generate(&program, &description, layout(KernelVariant::Portable));
    let error = generated
        .write_crate(&theirs, &description, "\"0.1\"")
        .unwrap_err();
    assert!(
        matches!(error, PackageError::NotGenerated { .. }),
        "{error}"
    );
    for (file, text) in files {
        assert_eq!(std::fs::read(theirs.join(file)).unwrap(), text.as_bytes());
    }
    assert_eq!(std::fs::read_dir(theirs.join("src")).unwrap().count(), 1);
}

/// The firmware with two networks: both by turns in one memory, as a whole and in
/// pieces; as crates and as modules of a build script.
const MAIN: &str = r#"
#![no_std]
#![no_main]

use cortex_m as _; // has the critical section
use cortex_m_semihosting::{debug, hprintln};
use static_cell::ConstStaticCell;
use tadpool_kernels::{Arena, Fault, Golden, Memory, Network, Status, larger};

MODULES

const BYTES: usize = larger(first::Arena::BYTES, second::Arena::BYTES);
static MEMORY: ConstStaticCell<Memory<BYTES>> = ConstStaticCell::new(Memory::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    let memory = MEMORY.take();
    for _ in 0..2 {
        check(first::Arena::in_memory(memory), &FIRST);
        check(second::Arena::in_memory(memory), &SECOND);
    }
    let second = second::Arena::from_bytes(memory.as_bytes_mut()).ok();
    if let Some(second) = second {
        check(second, &SECOND);
    }
    loop {
        debug::exit(debug::EXIT_SUCCESS);
    }
}

/// Any network, against what the host says.
fn check<N: Network>(arena: &mut Arena<N>, golden: &[Golden]) {
    for golden in golden {
        match whole_and_in_pieces(arena, golden) {
            Ok(pieces) => hprintln!("{}: {} in {}", N::NAME, golden.name, pieces),
            Err(fault) => hprintln!("{}: {:?}", N::NAME, fault),
        }
    }
}

fn whole_and_in_pieces<N: Network>(arena: &mut Arena<N>, golden: &Golden) -> Result<usize, Fault> {
    arena.put_pixels(0, golden.pixels)?;
    if arena.infer()?.logits() != golden.logits {
        return Err(Fault::Geometry);
    }
    if arena.infer() != Err(Fault::NoImage) {
        return Err(Fault::Buffer);
    }
    arena.put_pixels(0, golden.pixels)?;
    let mut inference = arena.begin()?;
    let mut pieces = 1;
    while inference.advance()? == Status::Running {
        pieces += 1;
    }
    match inference.finish()?.logits() == golden.logits {
        true => Ok(pieces),
        false => Err(Fault::Geometry),
    }
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
"#;

const MEMORY: &str = "MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 2M
  QSPI : ORIGIN = 0x00200000, LENGTH = 2M
  RAM : ORIGIN = 0x20000000, LENGTH = 4M
}
SECTIONS { .qspi : ALIGN(8) { *(.qspi .qspi.*); } > QSPI } INSERT AFTER .rodata;
";

#[test]
fn two_networks_share_one_firmware_and_one_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let first = network(0, Feed::Image);
    let second = network(1, Feed::Rows);
    let mut sources = Vec::new();
    for (name, network, section) in [("first", &first, None), ("second", &second, Some(".qspi"))] {
        let program = program(&network.model, &network.schedule, &network.memory);
        let golden = golden(&program, &images(&network.network, 2));
        let generated = write(
            &path(name),
            name,
            &program,
            KernelVariant::Dsp,
            &golden,
            section,
        );
        sources.push(generated);
    }
    std::fs::create_dir_all(path("src/bin")).unwrap();
    // As crates; and as modules, as a build script writes them.
    for (name, generated) in ["first", "second"].iter().zip(&sources) {
        generated
            .write_module(&path("modules").join(name), &[])
            .unwrap();
    }
    let vectors = "use first::GOLDEN as FIRST; use second::GOLDEN as SECOND;";
    std::fs::write(path("src/bin/crates.rs"), MAIN.replace("MODULES", vectors)).unwrap();
    let modules = "#[allow(dead_code)] mod first { include!(\"../../modules/first/model.rs\"); }\n\
                   #[allow(dead_code)] mod second { include!(\"../../modules/second/model.rs\"); }\n\
                   use ::first::GOLDEN as FIRST; use ::second::GOLDEN as SECOND;";
    std::fs::write(path("src/bin/modules.rs"), MAIN.replace("MODULES", modules)).unwrap();
    std::fs::write(path("memory.x"), MEMORY).unwrap();
    std::fs::write(
        path("build.rs"),
        "fn main() {\n    println!(\"cargo::rustc-link-search={}\", \
         std::env::var(\"CARGO_MANIFEST_DIR\").unwrap());\n    \
         println!(\"cargo::rustc-link-arg-bins=-Tlink.x\");\n    \
         println!(\"cargo::rustc-link-arg-bins=--nmagic\");\n}\n",
    )
    .unwrap();
    let kernels = toml::Value::from(kernels().to_string_lossy().into_owned());
    std::fs::write(
        path("Cargo.toml"),
        format!(
            "[workspace]\nexclude = [\"first\", \"second\"]\n[package]\nname = \"two\"\n\
             version = \"0.1.0\"\nedition = \"2024\"\n\
             [dependencies]\nfirst.path = \"first\"\nsecond.path = \"second\"\n\
             tadpool-kernels.path = {kernels}\ncortex-m-rt = \"0.7\"\n\
             cortex-m = {{ version = \"0.7\", features = [\"critical-section-single-core\"] }}\n\
             cortex-m-semihosting = \"0.6\"\nstatic_cell = \"2\"\n\
             [profile.release]\nopt-level = \"s\"\nlto = true\n"
        ),
    )
    .unwrap();
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/Cargo.lock");
    std::fs::copy(lock, path("Cargo.lock")).unwrap();

    let toolchain = tadpool_toolchain::for_target(TARGET).unwrap();
    let mut build = toolchain.command("build", TARGET);
    build.args(["--release", "--offline", "--quiet", "--target-dir"]);
    build.arg(target()).current_dir(folder.path());
    succeeds(&build.output().unwrap());
    for program in ["crates", "modules"] {
        let elf = target().join(TARGET).join("release").join(program);
        let output = tadpool_toolchain::emulator::qemu()
            .args([
                "-machine",
                "mps2-an386",
                "-icount",
                "shift=6",
                "-nic",
                "none",
            ])
            .args(["-display", "none", "-monitor", "none", "-serial", "none"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(elf)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.lines().count(), 10, "{program}: {said}");
        let holds = |line: &str| line.contains(": picture ") && line.contains(" in ");
        assert!(said.lines().all(holds), "{program}: {said}");
        succeeds(&output);
    }
}

/// The map of each step, and how often it was asked whether to go on.
#[derive(Default)]
struct Checksums {
    steps: Vec<u32>,
    asked: usize,
    /// The step before which it ends the inference.
    last: Option<usize>,
}

impl Observer for Checksums {
    fn step(&mut self, step: usize, output: &[u8]) {
        assert_eq!(step, self.steps.len());
        self.steps.push(fnv1a(output));
    }

    fn goes_on(&mut self, step: usize) -> ControlFlow<()> {
        self.asked += 1;
        match self.last {
            Some(last) if last == step => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn noise() -> Vec<u8> {
    (0..tadpool_model::INPUT_BYTES)
        .map(|i| (i * 31 % 251) as u8)
        .collect()
}

/// Pieces are many and small, and change no byte of any step.
#[test]
fn pieces_change_no_byte() {
    let mut arena = Box::new(tadpool_model::Arena::new());
    arena.put_pixels(0, &noise()).unwrap();
    let mut whole = Checksums::default();
    let prediction = arena.infer_observed(&mut whole).unwrap();
    let logits = prediction.logits().to_vec();
    assert_eq!(whole.asked, tadpool_model::STEPS);

    arena.put_pixels(0, &noise()).unwrap();
    let mut pieces = Checksums::default();
    let mut inference = arena.begin().unwrap();
    while inference.advance_observed(&mut pieces).unwrap() == Status::Running {}
    assert_eq!(inference.step(), tadpool_model::STEPS);
    assert_eq!(inference.finish().unwrap().logits(), logits);
    assert_eq!(pieces.steps, whole.steps);
    assert!((80..200).contains(&pieces.asked), "{} pieces", pieces.asked);

    arena.put_pixels(0, &noise()).unwrap();
    let mut inference = arena.begin().unwrap();
    let mut steps = 1;
    while inference.advance_step().unwrap() == Status::Running {
        steps += 1;
        assert_eq!(inference.step(), steps - 1);
    }
    assert_eq!(steps, tadpool_model::STEPS);
    assert_eq!(inference.finish().unwrap().logits(), logits);
}

/// An inference that was ended or given up leaves no image behind.
#[test]
fn an_observer_ends_an_inference() {
    let mut arena = Box::new(tadpool_model::Arena::new());
    for last in [0, 3] {
        arena.put_pixels(0, &noise()).unwrap();
        let mut observer = Checksums {
            last: Some(last),
            ..Checksums::default()
        };
        let ended = arena.infer_observed(&mut observer);
        assert_eq!(ended, Err(Fault::Stopped));
        assert_eq!(observer.steps.len(), last);
        assert_eq!(arena.infer(), Err(Fault::NoImage));
    }
    arena.put_pixels(0, &noise()).unwrap();
    let mut inference = arena.begin().unwrap();
    let _ = inference.advance().unwrap();
    drop(inference);
    assert_eq!(arena.infer(), Err(Fault::NoImage));
}

/// An image has to be whole and new, however it comes.
#[test]
fn an_image_serves_once() {
    let mut arena = Box::new(tadpool_model::Arena::new());
    assert_eq!(arena.infer(), Err(Fault::NoImage));
    let (head, tail) = (&noise()[..100], &noise()[100..]);
    arena.put_pixels(0, head).unwrap();
    assert_eq!(arena.put_pixels(99, tail), Err(Fault::Geometry));
    assert_eq!(arena.begin().map(drop), Err(Fault::NoImage));
    arena.put_pixels(0, head).unwrap();
    assert_eq!(arena.received_bytes(), 100);
    arena.put_pixels(100, tail).unwrap();
    assert_eq!(
        arena.put_pixels(tadpool_model::INPUT_BYTES, &[1]),
        Err(Fault::Geometry)
    );
    assert!(arena.infer().is_ok());
    arena.input_mut().copy_from_slice(&noise());
    arena.as_bytes_mut().fill(7);
    assert_eq!(arena.infer(), Err(Fault::NoImage));
}

/// An arena lies wherever there is room for it.
#[test]
fn an_arena_lies_in_any_memory() {
    const BYTES: usize = tadpool_model::Arena::BYTES;
    let mut expected = Box::new(tadpool_model::Arena::new());
    expected.put_pixels(0, &noise()).unwrap();
    let expected = expected.infer().unwrap().logits().to_vec();
    let check = |arena: &mut tadpool_model::Arena| {
        assert_eq!(arena.infer(), Err(Fault::NoImage));
        arena.put_pixels(0, &noise()).unwrap();
        assert_eq!(arena.infer().unwrap().logits(), expected);
    };

    let mut memory = Box::new(Memory::<{ BYTES + 8 }>::new());
    let bytes = memory.as_bytes_mut();
    bytes.fill(0xff);
    check(tadpool_model::Arena::from_bytes(bytes).unwrap());
    check(tadpool_model::Arena::from_bytes(&mut bytes[8..]).unwrap());
    let off = tadpool_model::Arena::from_bytes(&mut bytes[4..]);
    assert_eq!(off.map(|_| ()), Err(Fault::Alignment));
    let few = tadpool_model::Arena::from_bytes(&mut bytes[..BYTES - 1]);
    assert_eq!(few.map(|_| ()), Err(Fault::Buffer));
    check(tadpool_model::Arena::in_memory(&mut memory));

    let mut uninit = vec![MaybeUninit::<u64>::uninit(); BYTES.div_ceil(8)];
    let bytes = uninit.as_mut_slice();
    // SAFETY: eight bytes that may be uninitialised for each word.
    #[expect(unsafe_code, reason = "memory that was never written")]
    let bytes = unsafe {
        std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast::<MaybeUninit<u8>>(), BYTES)
    };
    check(tadpool_model::Arena::from_uninit(bytes).unwrap());
}

/// All of it may be moved to another thread, or task.
#[test]
fn everything_is_send() {
    fn is_send<T: Send>() {}
    is_send::<tadpool_model::Arena>();
    is_send::<tadpool_model::Inference<'_>>();
    is_send::<tadpool_model::Prediction<'_>>();
    is_send::<Fault>();
}
