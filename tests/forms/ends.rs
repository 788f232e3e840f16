//! Heads, and what a file does with its scores.

use super::check_end;
use crate::support::proto::{int, ints};
use crate::support::written::{CHANNELS, CLASSES, SIDE, Written};
use tadpool_compiler::network::Op;

#[test]
fn tails_behind_the_scores() {
    let scores = |w: &mut Written, x: &str| {
        let mean = w.mean(x);
        w.scores(&mean, CHANNELS)
    };
    type Tail = fn(&mut Written, &str) -> String;
    let tails: [(&str, Tail); 7] = [
        ("softmax", |w, scores| {
            w.op("Softmax", &[scores], vec![int("axis", 1)])
        }),
        ("log-softmax", |w, scores| {
            w.op("LogSoftmax", &[scores], vec![int("axis", -1)])
        }),
        ("sigmoid", |w, scores| w.op("Sigmoid", &[scores], vec![])),
        ("argmax", |w, scores| {
            let best = w.op(
                "ArgMax",
                &[scores],
                vec![int("axis", 1), int("keepdims", 0)],
            );
            w.op("Cast", &[&best], vec![int("to", 6)])
        }),
        ("softmax, then the best", |w, scores| {
            let shares = w.op("Softmax", &[scores], vec![int("axis", 1)]);
            w.op("ArgMax", &[&shares], vec![int("axis", 1)])
        }),
        ("softmax, then its largest", |w, scores| {
            let shares = w.op("Softmax", &[scores], vec![int("axis", 1)]);
            w.reduce("ReduceMax", &shares, &[1])
        }),
        ("softmax by hand", |w, scores| {
            let largest = match w.opset {
                18.. => {
                    let axes = w.integers(&[1], &[1]);
                    w.op("ReduceMax", &[scores, &axes], vec![])
                }
                _ => w.op("ReduceMax", &[scores], vec![ints("axes", &[1])]),
            };
            let below = w.op("Sub", &[scores, &largest], vec![]);
            let powers = w.op("Exp", &[&below], vec![]);
            let axes = w.integers(&[1], &[1]);
            let sum = w.op("ReduceSum", &[&powers, &axes], vec![]);
            w.op("Div", &[&powers, &sum], vec![])
        }),
    ];
    for (name, tail) in tails {
        for imported in check_end(name, |w, x| {
            let scores = scores(w, x);
            vec![tail(w, &scores)]
        }) {
            assert_eq!(imported.model.classes(), CLASSES, "{name}");
            assert!(!imported.notes.is_empty(), "{name}");
        }
    }
    let several = check_end("several outputs", |w, x| {
        let (first, second) = (scores(w, x), scores(w, x));
        vec![x.to_owned(), first, second]
    });
    for imported in several {
        assert_eq!(imported.model.classes(), CLASSES);
        assert_eq!(imported.notes.len(), 1, "{:?}", imported.notes);
    }
}

#[test]
fn heads_of_every_kind() {
    check_end("mean in two steps", |w, x| {
        let rows = w.reduce("ReduceMean", x, &[3]);
        let both = w.reduce("ReduceMean", &rows, &[2]);
        let vector = w.op("Flatten", &[&both], vec![]);
        vec![w.scores(&vector, CHANNELS)]
    });
    check_end("mean as a sum and a quotient", |w, x| {
        let sum = w.reduce("ReduceSum", x, &[2, 3]);
        let count = w.number((SIDE * SIDE) as f32);
        let mean = w.op("Div", &[&sum, &count], vec![]);
        let vector = w.op("Flatten", &[&mean], vec![]);
        vec![w.scores(&vector, CHANNELS)]
    });
    check_end("mean of pools", |w, x| {
        let attributes = vec![ints("kernel_shape", &[2, 3]), ints("strides", &[2, 3])];
        let x = w.op("AveragePool", &[x], attributes);
        let mean = w.mean(&x);
        vec![w.scores(&mean, CHANNELS)]
    });
    let averaged = check_end("two heads", |w, x| {
        let mean = w.mean(x);
        let (first, second) = (w.scores(&mean, CHANNELS), w.scores(&mean, CHANNELS));
        let sum = w.either("Add", &first, &second);
        let two = w.number(2.0);
        vec![w.op("Div", &[&sum, &two], vec![])]
    });
    let embedded = check_end("pooled embedding", |w, x| {
        let n = w.norm(x);
        vec![w.mean(&n)]
    });
    let flat = check_end("flat map", |w, x| {
        let flat = w.op("Flatten", &[x], vec![]);
        vec![w.scores(&flat, CHANNELS * SIDE * SIDE)]
    });
    check_end("flat norm", |w, x| {
        let n = w.norm(x);
        let flat = w.op("Flatten", &[&n], vec![]);
        vec![w.scores(&flat, CHANNELS * SIDE * SIDE)]
    });
    for (imported, classes) in averaged
        .iter()
        .map(|imported| (imported, CLASSES))
        .chain(embedded.iter().map(|imported| (imported, CHANNELS)))
        .chain(flat.iter().map(|imported| (imported, CLASSES)))
    {
        let last = imported.model.layers.last().unwrap();
        assert!(matches!(last.op, Op::Head(_)));
        assert_eq!(imported.model.classes(), classes);
    }
}
