//! Classifies in one task of embassy's executor while another takes the next
//! picture.
#![no_std]
#![no_main]

mod board;

use camera::{AsyncSpiCamera, Frame, classify};
use embassy_executor::{Executor, Spawner};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::zerocopy_channel::{Channel, Receiver, Sender};
use static_cell::{ConstStaticCell, StaticCell};
use tadpool_model::{Arena, INPUT_BYTES};

type Frames = Channel<'static, NoopRawMutex, Frame>;

/// One frame is classified while the next one arrives.
static FRAMES: ConstStaticCell<[Frame; 2]> = ConstStaticCell::new([[0; INPUT_BYTES]; 2]);
static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    static CHANNEL: StaticCell<Frames> = StaticCell::new();
    let channel = CHANNEL.init(Channel::new(FRAMES.take()));
    let (sender, receiver) = channel.split();
    let executor = EXECUTOR.init(Executor::new());
    executor.run(|spawner| start(spawner, sender, receiver))
}

fn start(
    spawner: Spawner,
    sender: Sender<'static, NoopRawMutex, Frame>,
    receiver: Receiver<'static, NoopRawMutex, Frame>,
) {
    match (watch(sender), look(receiver)) {
        (Ok(watch), Ok(look)) => {
            spawner.spawn(watch);
            spawner.spawn(look);
        }
        _ => board::fail(&"a task runs already"),
    }
}

/// Takes pictures as long as there is room for one.
#[embassy_executor::task]
async fn watch(mut frames: Sender<'static, NoopRawMutex, Frame>) {
    let mut camera = AsyncSpiCamera::new(board::camera());
    loop {
        let frame = frames.send().await;
        if let Err(problem) = camera.take(frame).await {
            board::fail(&problem);
        }
        frames.send_done();
    }
}

/// Says what is on them.
#[embassy_executor::task]
async fn look(mut frames: Receiver<'static, NoopRawMutex, Frame>) {
    let arena = ARENA.take();
    loop {
        let frame = frames.receive().await;
        match classify(frame, arena) {
            Ok(prediction) => board::show(&prediction),
            Err(fault) => board::fail(&fault),
        }
        frames.receive_done();
    }
}
