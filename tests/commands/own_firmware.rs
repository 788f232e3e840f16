//! `tadpool run --elf`: a firmware of the user's own, that answers by `tadpool-link`.

use std::path::Path;
use std::process::Command;

use super::{Project, repository, tadpool};

const MAIN: &str = r#"
#![no_std]
#![no_main]

use cortex_m as _; // has the critical section
use small::{Arena, STEPS};
use static_cell::ConstStaticCell;
use tadpool_link::measure::Clock;
use tadpool_link::rtt::Rtt;
use tadpool_link::run::{Board, Buffers, serve};

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());
static BUFFERS: ConstStaticCell<Buffers<STEPS>> = ConstStaticCell::new(Buffers::new());

struct SysTick;

impl Clock for SysTick {
    const FREQUENCY_HZ: u32 = 25_000_000;

    fn now(&self) -> u64 {
        (0xff_ffff - cortex_m::peripheral::SYST::get_current()).into()
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut board = Board::new("a board of my own", Rtt::open(), SysTick);
    serve(&mut board, ARENA.take(), BUFFERS.take());
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
"#;

#[test]
fn a_firmware_of_ones_own_is_run_and_checked() {
    let project = Project::new();
    let model = project.path("model.toml");
    let (network, app) = (project.path("small"), project.path("app"));
    let kernels = repository().join("firmware/kernels");
    let generated = tadpool(&[
        "generate",
        &model,
        "--kernels",
        "dsp",
        "--kernels-path",
        kernels.to_str().unwrap(),
        "--output",
        &network,
    ]);
    let errors = String::from_utf8_lossy(&generated.stderr);
    assert!(generated.status.success(), "{errors}");

    let target = "thumbv7em-none-eabihf";
    std::fs::create_dir_all(format!("{app}/src")).unwrap();
    std::fs::write(format!("{app}/src/main.rs"), MAIN).unwrap();
    let memory =
        "MEMORY { FLASH : ORIGIN = 0, LENGTH = 4M\n  RAM : ORIGIN = 0x20000000, LENGTH = 4M }\n";
    std::fs::write(format!("{app}/memory.x"), memory).unwrap();
    let script = "fn main() { let folder = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();\n\
                  println!(\"cargo::rustc-link-search={folder}\");\n\
                  println!(\"cargo::rustc-link-arg=-Tlink.x\");\n\
                  println!(\"cargo::rustc-link-arg=--nmagic\"); }\n";
    std::fs::write(format!("{app}/build.rs"), script).unwrap();
    let link = toml::Value::from(
        repository()
            .join("firmware/link")
            .to_string_lossy()
            .into_owned(),
    );
    let manifest = format!(
        "[workspace]\n[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\nsmall.path = \"../small\"\ncortex-m-rt = \"0.7\"\nstatic_cell = \"2\"\n\
         tadpool-link = {{ path = {link}, features = [\"rtt\"] }}\n\
         cortex-m = {{ version = \"0.7\", features = [\"critical-section-single-core\"] }}\n"
    );
    std::fs::write(format!("{app}/Cargo.toml"), manifest).unwrap();
    let lock = repository().join("firmware/Cargo.lock");
    std::fs::copy(lock, format!("{app}/Cargo.lock")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-firmware");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--target", target])
        .current_dir(&app)
        .env("CARGO_TARGET_DIR", &folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");

    let elf = folder.join(target).join("release/app");
    let picture = std::fs::read_dir(project.path("evaluation/cat")).unwrap();
    let picture = picture.map(|entry| entry.unwrap().path()).next().unwrap();
    let rest = ["--elf", elf.to_str().unwrap(), picture.to_str().unwrap()];
    let own = project.says("run", "qemu-mps2-an386", &rest);
    let ours = project.says("run", "qemu-mps2-an386", &rest[2..]);
    assert_eq!(own["images"][0]["logits"], ours["images"][0]["logits"]);
    assert_eq!(own["steps"], ours["steps"]);

    // Another model than the one in it.
    let line = [
        "run",
        &model,
        "--board",
        "qemu-mps2-an386",
        "--weights",
        "int4",
    ];
    let other = tadpool(&[&line, &rest[..]].concat());
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success());
    assert!(said.contains("holds the model `small`"), "{said}");
}
