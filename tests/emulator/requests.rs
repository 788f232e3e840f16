//! Requests that are refused, and images that are not the ones asked for.

use std::path::Path;
use std::time::Duration;

use tadpool_boards::Board;
use tadpool_probe::session::{SessionError, Transport as _};
use tadpool_protocol::{MAX_FRAME, Refusal, Request, encode};

use super::{TIMEOUT, image, picture, start, start_image};

#[test]
fn broken_and_wrong_frames_are_refused_and_forgotten() {
    let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
    let mut refusal = |bytes: &[u8]| {
        session.transport_mut().send(bytes).unwrap();
        match session.wait(Duration::ZERO) {
            Err(SessionError::Refused { refusal, .. }) => {
                // The answer to the wait itself.
                session.discard_response().unwrap();
                refusal
            }
            other => panic!("{other:?}"),
        }
    };
    let frame = |request: &Request<'_>| encode(request, &mut [0; MAX_FRAME]).unwrap().to_vec();
    assert_eq!(refusal(&[1, 2, 3, 0]), Refusal::BrokenFrame);
    assert_eq!(
        refusal(&[&[7; 5000][..], &[0]].concat()),
        Refusal::BrokenFrame
    );
    let late = frame(&Request::Pixels {
        offset: 512,
        bytes: &[0; 16],
    });
    assert_eq!(
        refusal(&late),
        Refusal::BadOffset {
            expected: 0,
            found: 512
        }
    );
    let infer = frame(&Request::Infer { checksum: 0 });
    let expected = tadpool_model::INPUT_BYTES as u32;
    assert_eq!(
        refusal(&infer),
        Refusal::Incomplete {
            received: 0,
            expected
        }
    );
    let pixels = frame(&Request::Pixels {
        offset: 0,
        bytes: &[9; 100],
    });
    let infer = [pixels, infer].concat();
    assert_eq!(
        refusal(&infer),
        Refusal::Incomplete {
            received: 100,
            expected
        }
    );
    session.infer(&picture(4)).unwrap();
}

#[test]
fn a_picture_of_the_wrong_size_is_not_sent() {
    let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
    let error = session.infer(&[0; 5]).unwrap_err();
    assert!(
        matches!(error, SessionError::WrongSize { found: 5, .. }),
        "{error}"
    );
}

#[test]
fn an_image_that_is_not_there_or_not_the_right_one_is_told() {
    let (board, image) = image(tadpool_boards::DEFAULT_BOARD);
    let start = |path: &Path, hash| {
        let error = start_image(&board, path, hash, TIMEOUT).unwrap_err();
        error.to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.elf");
    std::fs::write(&garbage, [0; 64]).unwrap();
    let garbage = start(&garbage, None).replace(folder.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!("no_image", start(Path::new("missing.elf"), None));
    insta::assert_snapshot!("garbage_image", garbage);

    let error = start(&image.path, Some(!tadpool_model::MODEL_HASH));
    assert!(error.contains("the image holds the model"), "{error}");
    let other = Board {
        name: "other".into(),
        ..board.clone()
    };
    let error = start_image(&other, &image.path, None, TIMEOUT)
        .unwrap_err()
        .to_string();
    let expected = "the image was built for board `qemu-mps2-an386`, not `other`";
    assert!(error.starts_with(expected), "{error}");
}
