//! Nodes behind the scores of a file: cut off, for the scores tell as much.

use crate::import::graph::{Graph, Node, ValueId};

/// Lets the graph end with its scores; what was left out, a sentence each.
pub(super) fn cut(graph: &mut Graph) -> Vec<String> {
    let mut notes = Vec::new();
    let mut ends: Vec<(ValueId, ValueId)> = Vec::new();
    let given: Vec<ValueId> = [graph.output]
        .into_iter()
        .chain(graph.others.iter().copied())
        .collect();
    for output in given {
        let end = scores(graph, output, &mut notes);
        if !ends.iter().any(|(known, _)| *known == end) {
            ends.push((end, output));
        }
    }
    // A vector of scores before a map, and the first one before the others.
    let has_one_axis = |id: ValueId| graph.shape(id).is_some_and(is_vector);
    let chosen = ends.iter().position(|(end, _)| has_one_axis(*end));
    let chosen = chosen.unwrap_or_else(|| deepest(graph, &ends));
    let (end, output) = ends[chosen];
    let name = |id: ValueId| format!("`{}`", shown(&graph.value(id).name));
    let left: Vec<String> = ends
        .iter()
        .filter(|(other, _)| *other != end)
        .map(|(_, output)| name(*output))
        .collect();
    if !left.is_empty() {
        notes.push(format!(
            "of the file's outputs {} is taken, {} left out",
            name(output),
            match &left[..] {
                [one] => format!("{one} is"),
                all => format!("{} are", all.join(", ")),
            }
        ));
    }
    graph.output = end;
    graph.others.clear();
    graph.prune();
    notes
}

/// The map that depends on most of the others: the one made last.
fn deepest(graph: &Graph, ends: &[(ValueId, ValueId)]) -> usize {
    let last = |&(_, (end, _)): &(usize, &(ValueId, ValueId))| graph.value(*end).producer;
    ends.iter()
        .enumerate()
        .max_by_key(last)
        .map_or(0, |(index, _)| index)
}

/// The scores that `output` is made of by operators that keep their order, or pick the
/// largest.
fn scores(graph: &Graph, output: ValueId, notes: &mut Vec<String>) -> ValueId {
    let mut end = output;
    let mut at = output;
    while let Some(node) = maker(graph, at)
        && let Some(input) = node.input(0)
    {
        let source = match node.op.as_str() {
            // Handed on, perhaps in another shape: only worth going past for what is below.
            "Identity" | "Cast" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Dropout"
            | "QuantizeLinear" | "DequantizeLinear" => {
                at = input;
                continue;
            }
            "Softmax" | "LogSoftmax" | "Sigmoid" | "HardSigmoid" | "ArgMax" | "TopK"
            | "Hardmax" | "ReduceMax" => Some(input),
            "LpNormalization" => Some(input),
            "Div" if unit_length(graph, node).is_some() => Some(input),
            "Div" | "Mul" | "Log" => softmax(graph, node),
            _ => None,
        };
        let Some(source) = source.filter(|&id| graph.shape(id).is_some_and(is_vector)) else {
            break;
        };
        let is_unit = node.op == "LpNormalization" || unit_length(graph, node).is_some();
        let note = match node.op.as_str() {
            _ if is_unit => "it changes the length of the vector only",
            "ArgMax" | "TopK" | "Hardmax" | "ReduceMax" => "the firmware gives all scores",
            _ => "it keeps the order of the scores",
        };
        let op = match node.op.as_str() {
            "Div" if is_unit => "division by the length",
            "Div" | "Mul" => "softmax",
            op => op,
        };
        notes.push(format!("`{op}` behind the head is left out: {note}"));
        (end, at) = (source, source);
    }
    end
}

/// The vector that is divided by its length, perhaps kept from being zero.
fn unit_length(graph: &Graph, node: &Node) -> Option<ValueId> {
    let x = node.input(0).filter(|_| node.op == "Div")?;
    let mut at = node.input(1)?;
    for _ in 0..MAX_STEPS {
        let length = maker(graph, at)?;
        let mut inputs = length.inputs.iter().flatten();
        at = *inputs.find(|id| graph.constant(**id).is_none())?;
        match length.op.as_str() {
            "ReduceL2" => return (at == x).then_some(x),
            "Identity" | "Expand" | "Clip" | "Max" | "Add" | "Unsqueeze" => {}
            _ => return None,
        }
    }
    None
}

/// Most operators between a vector's length and the division by it.
const MAX_STEPS: usize = 6;

/// The input of a softmax that is written out: `exp(x - max) / sum(exp(x - max))`.
fn softmax(graph: &Graph, node: &Node) -> Option<ValueId> {
    if node.op == "Log" {
        let inner = maker(graph, node.input(0)?)?;
        return match inner.op.as_str() {
            "Softmax" | "Sigmoid" => inner.input(0),
            _ => softmax(graph, inner),
        };
    }
    let (exp, sum) = (node.input(0)?, maker(graph, node.input(1)?)?);
    let sum = match (node.op.as_str(), sum.op.as_str()) {
        ("Div", _) => sum,
        ("Mul", "Reciprocal") => maker(graph, sum.input(0)?)?,
        _ => return None,
    };
    if sum.op != "ReduceSum" || sum.input(0)? != exp {
        return None;
    }
    let exp = maker(graph, exp).filter(|maker| maker.op == "Exp")?;
    let x = exp.input(0)?;
    match maker(graph, x) {
        Some(shift) if shift.op == "Sub" => {
            let largest = maker(graph, shift.input(1)?)?;
            let of_same = largest.op == "ReduceMax" && largest.input(0) == shift.input(0);
            of_same.then(|| shift.input(0)).flatten()
        }
        _ => Some(x),
    }
}

fn maker(graph: &Graph, value: ValueId) -> Option<&Node> {
    Some(graph.node(graph.value(value).producer?))
}

/// Whether a value of these sizes has one axis only.
fn is_vector(shape: &[usize]) -> bool {
    shape.iter().filter(|&&size| size != 1).count() <= 1
}

/// A name out of a file as a sentence can show it.
fn shown(name: &str) -> String {
    name.chars()
        .take(80)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
