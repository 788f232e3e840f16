//! Bytes of the firmware's protocol, in both directions.

use tadpool_protocol::{
    FaultKind, FaultReport, FrameReader, Hello, LogitsPiece, MAX_FRAME, Refusal, Request, Response,
    encode,
};

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let pixels = [7; 100];
    let requests = [
        Request::Hello,
        Request::Pixels {
            offset: 300,
            bytes: &pixels,
        },
        Request::Infer { checksum: 0x1234 },
        Request::Shutdown,
    ];
    let message = "a panic".chars().collect();
    let responses = [
        Response::Hello(Hello::default()),
        Response::Step {
            step: 3,
            checksum: 77,
            ticks: 1 << 40,
        },
        Response::Logits(LogitsPiece {
            offset: 0,
            values: [1, -1, i32::MAX].into_iter().collect(),
        }),
        Response::Refused(Refusal::Incomplete {
            received: 1,
            expected: 2,
        }),
        Response::Fault(FaultReport {
            kind: FaultKind::Panic,
            step: Some(1),
            message,
            registers: None,
        }),
    ];
    let mut frame = [0; MAX_FRAME];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for request in &requests {
        seeds.push(encode(request, &mut frame).expect("it fits").to_vec());
    }
    for response in &responses {
        seeds.push(encode(response, &mut frame).expect("it fits").to_vec());
    }
    seeds.push(seeds.concat());
    seeds
}

/// A frame is read, no matter which bytes come before it.
pub(super) fn check(bytes: &[u8]) {
    let mut of_requests = FrameReader::new();
    let mut of_responses = FrameReader::new();
    for &byte in bytes {
        if of_requests.push(byte) {
            let _ = of_requests.message::<Request<'_>>();
        }
        if of_responses.push(byte) {
            let _ = of_responses.message::<Response>();
        }
    }
    let good = Response::Ticks(7);
    let mut frame = [0; MAX_FRAME];
    let sent = encode(&good, &mut frame).expect("it fits");
    // A zero ends what was sent before.
    if of_responses.push(0) {
        let _ = of_responses.message::<Response>();
    }
    let complete = sent.iter().filter(|&&byte| of_responses.push(byte)).count();
    assert_eq!(complete, 1);
    assert_eq!(of_responses.message::<Response>(), Ok(good));
}
