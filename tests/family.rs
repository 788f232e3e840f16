//! Every network of the family, from every exporter, as integers.

mod support;

use support::integer::{Quantized, images, normalised, quantized_file};
use tadpool::float::{self, View};
use tadpool::ir::MetaFormer;
use tadpool::precision::Precision;
use tadpool::program::{Arena, program};
use tadpool::quant_model::Stream;
use tadpool::schedule::ScheduleConfig;
use tadpool_kernels::Observer;

/// What every step writes.
#[derive(Default)]
struct Outputs(Vec<Vec<u8>>);

impl Observer for Outputs {
    fn step(&mut self, _step: usize, output: &[u8]) {
        self.0.push(output.to_vec());
    }
}

fn streams(stream: Stream) -> impl Fn(&MetaFormer) -> Precision {
    move |network| {
        let mut precision = Precision::int8(network);
        let last = precision.layers.len() - 1;
        for layer in &mut precision.layers[..last] {
            layer.stream = stream;
        }
        precision
    }
}

/// Signal over noise of each step, in decibels, over some images.
fn step_sqnr(quantized: &Quantized) -> Vec<(String, f64)> {
    let Quantized {
        network,
        model,
        schedule,
        memory,
    } = quantized;
    let program = program(model, schedule, memory);
    let mut arena = Arena::default();
    let mut sums = vec![[0.0; 2]; network.layers.len()];
    for pixels in images(network, 12) {
        let mut outputs = Outputs::default();
        program.infer(&pixels, &mut arena, &mut outputs).unwrap();
        float::run(network, &normalised(&pixels), |view| {
            if view.kind == View::Output {
                let [signal, noise] = &mut sums[view.index];
                let integers = model.layers[view.index].real_values(&outputs.0[view.index]);
                for (integer, &real) in integers.zip(view.values) {
                    *signal += f64::from(real).powi(2);
                    *noise += (integer - f64::from(real)).powi(2);
                }
            }
        });
    }
    let names = network.layers.iter().map(|layer| layer.name.clone());
    names
        .zip(sums)
        .map(|(name, [signal, noise])| (name, 10.0 * (signal / noise).log10()))
        .collect()
}

#[test]
fn print() {
    let folder = support::fixtures().join("../family");
    for member in support::family().model {
        for stream in [Stream::Int8, Stream::Int16] {
            let file = folder.join(&member.file);
            match quantized_file(&file, &ScheduleConfig::default(), streams(stream)) {
                Ok(quantized) => {
                    println!("{} {stream:?}", member.file);
                    for (name, db) in step_sqnr(&quantized) {
                        println!("    {name} {db:.1}");
                    }
                }
                Err(error) => println!("{} {stream:?} {error}", member.file),
            }
        }
    }
}
