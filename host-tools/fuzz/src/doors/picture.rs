//! Images.

use std::path::Path;

use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml::{Channels, Feed, InputDescription};

/// Of the fixtures.
const HEIGHT: usize = 14;
const WIDTH: usize = 19;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let ends = [".jpg", ".png", ".bmp", ".ppm"];
    let files = ends.map(|end| super::files("tests/fixtures/pictures", end, 1 << 12));
    files.concat()
}

pub(super) fn check(bytes: &[u8]) {
    for channels in [Channels::Rgb, Channels::Gray] {
        let count = channels.count();
        let input = InputDescription {
            height: HEIGHT,
            width: WIDTH,
            channels,
            mean: vec![0.0; count],
            std: vec![1.0; count],
            feed: Feed::Image,
        };
        match images::decode(bytes, Path::new("image"), &input) {
            Ok(pixels) => assert_eq!(pixels.len(), HEIGHT * WIDTH * count),
            Err(error) => super::check_error(&error),
        }
    }
}
