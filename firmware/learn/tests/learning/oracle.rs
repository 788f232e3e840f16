//! The same head in wide integers and in floating point, by the formulas of the documentation.

use tadpool_kernels::{Logit, Prediction};

/// A head whose numbers have 128 bits.
pub(crate) struct Exact {
    pub(crate) weights: Vec<Vec<i128>>,
    pub(crate) biases: Vec<i128>,
}

fn floor_div(value: i128, by: i128) -> i128 {
    value.div_euclid(by)
}

fn saturate(value: i128) -> i128 {
    value.max(i128::from(i32::MIN)).min(i128::from(i32::MAX))
}

impl Exact {
    pub(crate) fn new(features: usize, classes: usize) -> Self {
        Self {
            weights: vec![vec![0; features]; classes],
            biases: vec![0; classes],
        }
    }

    pub(crate) fn logits(&self, features: &[i16]) -> Vec<i32> {
        let rows = self.weights.iter().zip(&self.biases);
        let logit = |(row, &bias): (&Vec<i128>, &i128)| {
            let mut sum = 0;
            for (&weight, &feature) in row.iter().zip(features) {
                sum += floor_div(weight, 65_536) * i128::from(feature);
            }
            // Steps of 2^-22 as steps of 2^-16, to the nearest; 2^-30 ones, down.
            saturate(floor_div(sum + 32, 64) + floor_div(bias, 16_384)) as i32
        };
        rows.map(logit).collect()
    }

    pub(crate) fn step(&mut self, features: &[i16], class: usize, rate: u16) {
        let logits: Vec<Logit> = self
            .logits(features)
            .into_iter()
            .map(Logit::from_q16)
            .collect();
        let probabilities = Prediction::new(&logits, &[]).probabilities();
        let squares: i128 = features
            .iter()
            .map(|&f| i128::from(f) * i128::from(f))
            .sum();
        let length = (squares / 4096 + 256).min(i128::from(u32::MAX));
        let pace = i128::from(rate) * 16_384 / length;
        for (number, probability) in probabilities.enumerate() {
            let right = if number == class { 65_536 } else { 0 };
            let slope = floor_div(pace * (right - i128::from(probability.to_q16())), 256);
            for (weight, &feature) in self.weights[number].iter_mut().zip(features) {
                let by = floor_div(slope * i128::from(feature) + 2048, 4096);
                *weight = saturate(*weight + by);
            }
            self.biases[number] += slope;
        }
    }
}

/// A head of real numbers.
pub(crate) struct Real {
    weights: Vec<Vec<f64>>,
    biases: Vec<f64>,
}

impl Real {
    pub(crate) fn new(features: usize, classes: usize) -> Self {
        Self {
            weights: vec![vec![0.0; features]; classes],
            biases: vec![0.0; classes],
        }
    }

    pub(crate) fn logits(&self, features: &[i16]) -> Vec<f64> {
        let rows = self.weights.iter().zip(&self.biases);
        rows.map(|(row, bias)| {
            let products = row.iter().zip(features);
            let product: f64 = products.map(|(w, &f)| w * f64::from(f) / 1024.0).sum();
            product + bias
        })
        .collect()
    }

    pub(crate) fn step(&mut self, features: &[i16], class: usize, rate: u16) {
        let exponentials: Vec<f64> = self.logits(features).iter().map(|l| l.exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        let squares: f64 = features
            .iter()
            .map(|&f| (f64::from(f) / 1024.0).powi(2))
            .sum();
        let pace = f64::from(rate) / 65_536.0 / (1.0 + squares);
        for (number, exponential) in exponentials.iter().enumerate() {
            let error = exponential / sum - f64::from(u8::from(number == class));
            for (weight, &feature) in self.weights[number].iter_mut().zip(features) {
                *weight -= pace * error * f64::from(feature) / 1024.0;
            }
            self.biases[number] -= pace * error;
        }
    }
}
