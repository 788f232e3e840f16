//! QEMU's side: the functions that it calls, and those of it that are called.
//!
//! By `include/qemu/qemu-plugin.h` of QEMU; versions 1 to 4 of its interface differ, for
//! what is used here, in how the bytes of an instruction are read.

#![expect(unsafe_code, reason = "QEMU's interface is one of C")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::arguments::Arguments;
use super::recorder::Recorder;
use super::window::Window;

/// The version of QEMU's interface that this plugin is built for.
const VERSION: c_int = match option_env!("TADPOOL_QEMU_PLUGIN_VERSION") {
    Some(version) => match version.as_bytes() {
        b"1" => 1,
        b"2" => 2,
        b"3" => 3,
        b"4" => 4,
        _ => panic!("TADPOOL_QEMU_PLUGIN_VERSION is none of 1, 2, 3, 4"),
    },
    None => 1,
};
/// The first version in which bytes are copied, where before a pointer was returned.
const COPIES: c_int = 3;
/// Most bytes of an instruction.
const MOST_BYTES: usize = 4;

/// The version of the interface, which QEMU checks before it calls [`install`].
// SAFETY: a plugin has one definition of this name, of this type.
#[unsafe(export_name = "qemu_plugin_version")]
static EXPORTED: c_int = VERSION;

/// The recorder, from installation on. QEMU translates and executes in one thread a core.
static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);
/// Whether accesses are wanted now.
static IS_WANTED: AtomicBool = AtomicBool::new(false);
/// Whether nothing is wanted any more.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// The interface of the QEMU that runs.
static INTERFACE: AtomicI32 = AtomicI32::new(VERSION);

#[repr(C)]
struct Info {
    target_name: *const c_char,
    oldest: c_int,
    current: c_int,
    // More fields follow, which are not read.
}

#[repr(C)]
struct Block {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Instruction {
    _opaque: [u8; 0],
}

type Id = u64;

const NO_REGISTERS: c_int = 0;
const READ_AND_WRITE: c_int = 3;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: extern "C" fn(Id, *mut Block));
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        block: *mut Block,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, u32, u64, *mut c_void),
        flags: c_int,
        kinds: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_atexit_cb(
        id: Id,
        callback: extern "C" fn(Id, *mut c_void),
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_vaddr(block: *const Block) -> u64;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
    // To version 2 it takes the first argument only, and returns a pointer.
    fn qemu_plugin_insn_data(
        instruction: *const Instruction,
        bytes: *mut c_void,
        length: usize,
    ) -> usize;
    fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
    fn qemu_plugin_mem_is_store(info: u32) -> bool;
}

/// Begins to trace. QEMU ends if this is not 0.
///
/// # Safety
/// QEMU calls it once, with its description and an array of `count` strings.
// SAFETY: a plugin has one definition of this name, with these arguments.
#[unsafe(export_name = "qemu_plugin_install")]
unsafe extern "C" fn install(
    id: Id,
    info: *const Info,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU's description lives while this runs; it has had these fields first since
    // version 0.
    INTERFACE.store(unsafe { (*info).current }, Ordering::Relaxed);
    let count = usize::try_from(count).unwrap_or(0);
    let words: Vec<String> = (0..count)
        .map(|at| {
            // SAFETY: there are `count` pointers to strings that end with a zero.
            let word = unsafe { CStr::from_ptr(*words.add(at)) };
            word.to_string_lossy().into_owned()
        })
        .collect();
    let recorder = match recorder(&words) {
        Ok(recorder) => recorder,
        Err(problem) => {
            eprintln!("tadpool-trace: {problem}");
            return 1;
        }
    };
    *RECORDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(recorder);
    // SAFETY: `id` is this plugin's, and the functions live as long as it is loaded.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
        qemu_plugin_register_atexit_cb(id, exit, std::ptr::null_mut());
    }
    0
}

fn recorder(words: &[String]) -> Result<Recorder, String> {
    let arguments = Arguments::read(words.iter().map(String::as_str))?;
    let out = arguments.open();
    let out = out.map_err(|error| format!("cannot write `{}`: {error}", arguments.out))?;
    let window = Window::new(arguments.from, arguments.to, arguments.calls);
    Ok(Recorder::new(window, out))
}

fn with<T>(then: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
    let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    recorder.as_mut().map(then)
}

/// QEMU has translated a block.
extern "C" fn translate(_: Id, block: *mut Block) {
    if IS_OVER.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the block lives while this runs.
    let (address, count) = unsafe { (qemu_plugin_tb_vaddr(block), qemu_plugin_tb_n_insns(block)) };
    let mut code = Vec::new();
    for index in 0..count {
        // SAFETY: the index is below the number of instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        let (bytes, length) = bytes(instruction);
        let halfwords = bytes[..length].chunks_exact(2);
        code.extend(halfwords.map(|pair| u16::from_le_bytes([pair[0], pair[1]])));
        // SAFETY: the instruction lives while this runs; its index is no pointer, and is not
        // used as one.
        unsafe {
            qemu_plugin_register_vcpu_mem_cb(
                instruction,
                access,
                NO_REGISTERS,
                READ_AND_WRITE,
                std::ptr::without_provenance_mut(index),
            );
        }
    }
    let number = with(|recorder| recorder.block(address as u32, code)).unwrap_or(0);
    // SAFETY: as above.
    unsafe {
        qemu_plugin_register_vcpu_tb_exec_cb(
            block,
            execute,
            NO_REGISTERS,
            std::ptr::without_provenance_mut(number),
        );
    }
}

/// The bytes of an instruction, and how many they are.
fn bytes(instruction: *const Instruction) -> ([u8; MOST_BYTES], usize) {
    let mut bytes = [0; MOST_BYTES];
    // SAFETY: the instruction lives while this runs. QEMU writes at most MOST_BYTES; a function
    // of one argument leaves the others alone.
    let (length, returned) = unsafe {
        (
            qemu_plugin_insn_size(instruction).min(MOST_BYTES),
            qemu_plugin_insn_data(instruction, bytes.as_mut_ptr().cast(), MOST_BYTES),
        )
    };
    if INTERFACE.load(Ordering::Relaxed) < COPIES {
        let data: *const u8 = std::ptr::with_exposed_provenance(returned);
        // SAFETY: to version 2 it returns where as many bytes are as the instruction has.
        bytes[..length].copy_from_slice(unsafe { slice::from_raw_parts(data, length) });
    }
    // QEMU 7 adds to a block's last instruction the half of the next one that it has looked
    // at, if that goes on in another page.
    let is_wide = bytes[1] >> 3 > 0b11100;
    let length = length.min(if is_wide { 4 } else { 2 });
    (bytes, length)
}

/// QEMU is about to execute a block.
extern "C" fn execute(_: c_uint, number: *mut c_void) {
    if IS_OVER.load(Ordering::Relaxed) {
        return;
    }
    if let Some(next) = with(|recorder| recorder.execute(number.addr())) {
        IS_WANTED.store(next.is_wanted, Ordering::Relaxed);
        IS_OVER.store(next.is_over, Ordering::Relaxed);
    }
}

/// An instruction has accessed memory.
extern "C" fn access(_: c_uint, info: u32, address: u64, index: *mut c_void) {
    if !IS_WANTED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: these functions read their argument only.
    let (log2, is_store) = unsafe {
        (
            qemu_plugin_mem_size_shift(info),
            qemu_plugin_mem_is_store(info),
        )
    };
    with(|recorder| recorder.access(index.addr() as u16, address as u32, log2 as u8, is_store));
}

/// QEMU ends.
extern "C" fn exit(_: Id, _: *mut c_void) {
    with(Recorder::flush);
}
