//! What a head gives to whoever learns another one: its features, weights and biases have to
//! make its logits.

use tadpool_kernels::TrainedHead;

/// Checks it after a run of the head that has left `arena` and `logits`, 32 bits each. Logits
/// of weights or features at the ends of their ranges are not looked at.
pub(crate) fn check(head: TrainedHead<'_>, arena: &[u8], logits: &[u8]) {
    let mut features = vec![0i16; head.features()];
    head.read(arena, &mut features).unwrap();
    assert!(head.read(arena, &mut features[1..]).is_err());
    assert_eq!(head.weight(0, features.len()), None);
    assert_eq!(head.weight(head.classes(), 0), None);
    assert_eq!(head.bias(head.classes()), None);
    assert_eq!(logits.len(), 4 * head.classes());
    if features.iter().any(|f| [i16::MIN, i16::MAX].contains(f)) {
        return;
    }
    let unit = f64::from(1 << TrainedHead::FRACTION);
    for (class, logit) in logits.as_chunks::<4>().0.iter().enumerate() {
        let logit = i32::from_le_bytes(*logit);
        let weights: Vec<i32> = (0..features.len())
            .map(|feature| head.weight(class, feature).unwrap())
            .collect();
        let is_cut = weights.iter().any(|w| [i32::MIN, i32::MAX].contains(w));
        if is_cut || [i32::MIN, i32::MAX].contains(&logit) {
            continue;
        }
        let real = |weight: i32| f64::from(weight) / f64::from(1 << TrainedHead::WEIGHT_FRACTION);
        let terms = weights.iter().zip(&features);
        let product: f64 = terms.map(|(&w, &f)| real(w) * f64::from(f) / unit).sum();
        let found = f64::from(head.bias(class).unwrap()) / 65_536.0 + product;
        // Half a step of each feature, of each weight, and of the logit; the norm's scale has
        // 24 bits.
        let sum = |of: &dyn Fn(usize) -> f64| (0..features.len()).map(of).sum::<f64>();
        let most = sum(&|at| real(weights[at]).abs() / unit)
            + sum(&|at| f64::from(features[at]).abs() / unit / f64::from(1 << 28))
            + sum(&|at| (real(weights[at]) * f64::from(features[at]) / unit).abs() / 1e4);
        let logit = f64::from(logit) / 65_536.0;
        assert!(
            (found - logit).abs() <= most + 2.0 / 65_536.0,
            "class {class}: {found} instead of {logit}, {most}"
        );
    }
}
