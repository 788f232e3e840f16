//! The shapes of a model's steps, from which [`tadpool_latency::cost`] tells cycles.

use tadpool_boards::Board;
use tadpool_compiler::generate::{self, Generated};
use tadpool_compiler::place::program::{Program, ProgramStep};
use tadpool_compiler::quantize::quant_model::Stream;
use tadpool_kernels::visit::{Field, Fields, Visitor};
use tadpool_latency::cost::{Product, Shape, Weights};

use super::placement;

/// Places of the window of a pooling mixer that does not say.
const POOLED_PLACES: u32 = 9;

/// The shape of each step of `program`, which was `generated` for the kernels of `board`.
pub fn shapes(program: &Program<'_>, generated: &Generated, board: &Board) -> Vec<Shape> {
    let copied = placement::copied(board, generated);
    let layout = generate::layout(board.kernels);
    let shape = |step: &ProgramStep<'_>| {
        let (path, layout) = generate::function(program, step, layout);
        let mut seen = Seen::default();
        step.kernel.visit(&mut seen);
        let name = generate::weights_name(step);
        let weights = generated.step_weights.iter().find(|it| it.name == name);
        Shape {
            kernel: seen.kernel(path, layout.name(), [step.input, step.output]),
            weights_bytes: weights.map_or(0, |weights| number(weights.bytes)),
            weights: match copied.contains(&&*name) {
                true => Weights::Copied,
                false => Weights::InPlace,
            },
            ..seen.shape(step)
        }
    };
    program.steps.iter().map(shape).collect()
}

/// The values of a step's fields.
#[derive(Debug, Default)]
struct Seen {
    /// Integers and sizes, by name.
    sizes: Vec<(&'static str, Vec<u32>)>,
    /// Outputs and inputs of the matrices.
    matrices: Vec<[u32; 2]>,
    /// The names that tell variants of a kernel apart.
    variants: Vec<String>,
    /// How deep the field lies.
    depth: usize,
}

impl Visitor for Seen {
    fn field(&mut self, name: &'static str, field: Field<'_>) {
        match field {
            Field::Integer(value) => self.size(name, vec![number(value)]),
            Field::Sizes(sizes) => self.size(name, sizes.iter().map(|&it| number(it)).collect()),
            Field::Variant(variant) => self.variants.push(variant.name.to_lowercase()),
            Field::Matrix(matrix) => {
                let sizes = [matrix.outputs, matrix.inputs()].map(number);
                self.matrices.push(sizes);
            }
            Field::Part(part) | Field::Layer(part) => self.inside(part),
            Field::Option(Some(part)) => {
                if self.depth == 0 {
                    self.variants.push(name.to_owned());
                }
                self.depth += 1;
                self.field(name, part.field());
                self.depth -= 1;
            }
            Field::Buffer(_)
            | Field::I8s(_)
            | Field::U8s(_)
            | Field::I32s(_)
            | Field::Option(None) => {}
        }
    }
}

impl Seen {
    fn inside(&mut self, part: &dyn Fields) {
        self.depth += 1;
        part.visit(self);
        self.depth -= 1;
    }

    fn size(&mut self, name: &'static str, sizes: Vec<u32>) {
        self.sizes.push((name, sizes));
    }

    fn get(&self, name: &str) -> Option<&[u32]> {
        let found = self.sizes.iter().find(|(it, _)| *it == name);
        found.map(|(_, sizes)| &sizes[..])
    }

    fn kernel(&self, path: &str, layout: &str, streams: [Stream; 2]) -> String {
        let mut parts = vec![path.to_owned(), layout.to_lowercase()];
        if streams.contains(&Stream::Int16) {
            let of = |stream: Stream| 8 * stream.value_bytes();
            parts.push(format!("{}-{}", of(streams[0]), of(streams[1])));
        }
        parts.extend(self.variants.iter().cloned());
        parts.join("/")
    }

    /// All but the kernel's name and the weights.
    fn shape(&self, step: &ProgramStep<'_>) -> Shape {
        let one = |name: &str| self.get(name).and_then(|sizes| sizes.first().copied());
        let value_bytes = number(step.input.value_bytes());
        let map = number(step.kernel.output().size) / number(step.output.value_bytes()).max(1);
        let [rows, columns, channels] = match self.get("output_shape").or(self.get("shape")) {
            Some(&[rows, columns, channels]) => [rows, columns, channels],
            _ => {
                let last = self.matrices.last().map(|[outputs, _]| *outputs);
                let channels = one("channels").or(last).unwrap_or(1).max(1);
                let tokens = one("tokens").unwrap_or(map / channels);
                [1, tokens, channels]
            }
        };
        let tokens = rows.saturating_mul(columns);
        let name = step.kernel.name();
        let is_head = name.contains("Head");
        let products = self.matrices.iter().map(|&[outputs, inputs]| Product {
            times: match name {
                _ if is_head => 1,
                // Each channel is a vector of tokens.
                "RandomMixing" => channels,
                _ => tokens,
            },
            inputs,
            outputs,
        });
        let window = self.get("window").map(|sizes| match sizes {
            [side] => side * side,
            sizes => sizes.iter().product(),
        });
        let is_pooling = name.contains("Pooling");
        Shape {
            kernel: String::new(),
            tokens,
            rows,
            channels,
            value_bytes,
            products: products.collect(),
            places: window.unwrap_or(if is_pooling { POOLED_PLACES } else { 0 }),
            heads: one("heads").unwrap_or(0),
            tile_tokens: one("tile_tokens").unwrap_or(1),
            weights_bytes: 0,
            weights: Weights::InPlace,
        }
    }
}

/// Sizes of what fits a microcontroller fit 32 bits.
fn number<T: TryInto<u32>>(value: T) -> u32 {
    value.try_into().unwrap_or(u32::MAX)
}
