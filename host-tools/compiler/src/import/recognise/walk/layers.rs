//! Layers: found in a sum that is read as a feature map, and added to the network.

use std::rc::Rc;

use super::Walk;
use crate::import::graph::{Node, NodeId};
use crate::import::recognise::form::{Form, NormTerm, StreamId, Sum, Term};
use crate::import::recognise::{Branch, Problem};
use crate::layers::depthwise_mixer::recognise as depthwise_mixer;
use crate::layers::{Part, RESIDUAL_LAYERS};
use crate::network::{Layer, NormScope, Op, Shape};

impl Walk<'_> {
    /// The feature map that the first input of `node` is, found as a layer's
    /// output if need be.
    pub(crate) fn stream(&mut self, node: &Node, sum: &Sum) -> StreamId {
        if let Some(Term::Stream(id)) = sum.plain() {
            return *id;
        }
        let producer = node.input(0).and_then(|id| self.graph.value(id).producer);
        if !sum.is_unknown() {
            if let Some(id) = self.post_norm(producer, sum) {
                return id;
            }
            if let (Some(norm), Some((Term::Stream(source), _))) = (sum.as_fixed(), sum.single()) {
                // A factor and a term of each channel that no layer has a place for.
                let op = Op::Norm(norm.norm.clone());
                return self.push(producer, *source, sum.shape, op, Some(sum));
            }
            match self.residual(sum) {
                Ok((op, source)) => {
                    let shape = self.streams[source.0];
                    return self.push(producer, source, shape, op, Some(sum));
                }
                Err(_) if self.is_behind_report(sum) => {}
                Err(problem) => {
                    let culprit = producer.map_or(node, |id| self.graph.node(id));
                    self.report(culprit, problem);
                }
            }
        }
        let id = StreamId(self.streams.len());
        self.streams.push(sum.shape);
        self.settled.push((Rc::new(sum.clone()), id));
        self.reported.push(id);
        id
    }

    /// Whether a sum is made of a map that stands for something reported.
    pub(super) fn is_behind_report(&self, sum: &Sum) -> bool {
        let mut terms = sum.terms.iter();
        terms.any(|(term, _)| match term {
            Term::Stream(id) => self.reported.contains(id),
            _ => false,
        })
    }

    /// Adds a layer that reads `source`; the feature map it writes.
    pub(crate) fn push(
        &mut self,
        last_node: Option<NodeId>,
        source: StreamId,
        output: Shape,
        op: Op,
        sum: Option<&Sum>,
    ) -> StreamId {
        let culprit = last_node.map(|id| self.graph.node(id));
        if let Some(node) = culprit {
            if source.0 + 1 != self.streams.len() && self.reported.is_empty() {
                self.report(node, Problem::new(
                    "it reads a feature map of an earlier layer than the one before it",
                    "connect the layers in a chain; skip connections across blocks have no place in this family",
                ));
            }
            if !is_finite(&op) {
                self.report(
                    node,
                    Problem::new(
                        "a parameter of its layer is infinite or not a number",
                        "train again, with a lower learning rate",
                    ),
                );
            }
            if self.layers.is_empty() && op.part() != Part::Embedding {
                self.report(
                    node,
                    Problem::new(
                        "a layer comes before the first patch embedding",
                        "let the network begin with a convolution",
                    ),
                );
            }
        }
        let name = self.names.next(&op);
        if let Some(node) = culprit
            && self.layers.iter().any(|layer| layer.name == name)
        {
            self.report(
                node,
                Problem::new(
                    format!("it is a second {} at one place (`{name}`)", op.kind()),
                    "fold the two into one before the export",
                ),
            );
        }
        let nodes = last_node.map_or(Vec::new(), |id| self.claim(id));
        let mut input = self.streams[source.0];
        if let Op::Head(head) = &op
            && head.reads() == input.elements()
        {
            // All of the map as one token.
            input = Shape {
                height: 1,
                width: 1,
                channels: head.reads(),
            };
        }
        self.layers.push(Layer {
            name,
            nodes,
            input,
            output,
            op,
        });
        let id = StreamId(self.streams.len());
        self.streams.push(output);
        if self.reported.contains(&source) {
            self.reported.push(id);
        }
        if let Some(sum) = sum {
            self.settled.push((Rc::new(sum.clone()), id));
        }
        id
    }

    /// Whether a sum is a norm right behind a patch embedding.
    pub(crate) fn is_post_norm(&self, sum: &Sum) -> bool {
        let behind_embedding = self
            .layers
            .last()
            .is_some_and(|layer| layer.op.part() == Part::Embedding);
        let newest = |norm: &NormTerm| match norm.source {
            Term::Stream(id) => id.0 + 1 == self.streams.len(),
            _ => false,
        };
        behind_embedding && sum.as_norm().is_some_and(|norm| newest(&norm))
    }

    /// The feature map that a norm of another one is, as a layer of its own.
    pub(crate) fn normed(&mut self, node: &Node, sum: &Sum) -> Option<StreamId> {
        let norm = sum.as_norm()?;
        let Term::Stream(source) = norm.source else {
            return None;
        };
        let producer = node.input(0).and_then(|id| self.graph.value(id).producer);
        let op = Op::Norm(norm.norm.clone());
        Some(self.push(producer, source, sum.shape, op, Some(sum)))
    }

    /// The feature map that a norm right behind a patch embedding is.
    fn post_norm(&mut self, producer: Option<NodeId>, sum: &Sum) -> Option<StreamId> {
        let own = sum.as_norm().filter(|_| self.is_post_norm(sum))?;
        let NormTerm {
            source: Term::Stream(source),
            norm,
        } = &*own
        else {
            return None;
        };
        let op = Op::Norm(norm.clone());
        let id = self.push(producer, *source, sum.shape, op, Some(sum));
        self.post_norms.push((Term::Norm(own.clone()), id));
        Some(id)
    }

    /// The layer that writes a feature map.
    pub(crate) fn writer(&self, id: StreamId) -> Option<usize> {
        id.0.checked_sub(1)
    }

    /// The residual layer that computes a sum, and the feature map it reads.
    pub(super) fn residual(&self, sum: &Sum) -> Result<(Op, StreamId), Problem> {
        let mut streams = sum.terms.iter().filter_map(|(term, factors)| match term {
            Term::Stream(id) => Some((*id, factors)),
            _ => None,
        });
        let nothing = vec![0.0; sum.shape.channels];
        let (source, factors) = match (streams.next(), streams.next()) {
            (Some(stream), None) => stream,
            (Some(_), Some(_)) => {
                return Err(Problem::new(
                    "it adds two feature maps",
                    "connect the layers in a chain; skip connections across blocks have no place in this family",
                ));
            }
            (None, _) => match replaced(sum) {
                Some(id) => (id, &nothing),
                None => {
                    return Err(Problem::new(
                        format!(
                            "{} is used as feature map without a residual add",
                            sum.describe()
                        ),
                        "add every branch to its input, as in `x + mixer(norm(x))`",
                    ));
                }
            },
        };
        let terms: Vec<_> = sum
            .terms
            .iter()
            .filter(|(term, _)| !matches!(term, Term::Stream(_)))
            .collect();
        let branch = Branch {
            source,
            terms: &terms,
            bias: &sum.bias,
            res_scale: factors,
        };
        for layer in RESIDUAL_LAYERS {
            if let Some(op) = (layer.recognise)(&branch) {
                return Ok((op?, source));
            }
        }
        Err(Problem::new(
            format!(
                "{} is neither a token mixer nor a channel MLP",
                sum.describe()
            ),
            "use a token mixer of the papers, and linear, activation, linear as channel MLP",
        ))
    }

    /// The feature map that takes the place of another one, where the sum or the difference
    /// of two parts has nothing left of it: `x + (depthwise(x) - x)`.
    pub(crate) fn in_place_of(
        &mut self,
        node: &Node,
        parts: [&Sum; 2],
        sum: &Sum,
    ) -> Option<Result<Form, Problem>> {
        let (Term::Depthwise(conv), _) = sum.terms.first()? else {
            return None;
        };
        let source @ Term::Stream(id) = &conv.input else {
            return None;
        };
        let reads_it = |(term, _): &(Term, _)| match term {
            Term::Depthwise(conv) => conv.input == *source,
            _ => false,
        };
        if !sum.terms.iter().all(reads_it) {
            return None;
        }
        let mut terms = parts.iter().flat_map(|part| &part.terms);
        if !terms.any(|(term, _)| term == source) {
            return None;
        }
        let branch = Branch {
            source: *id,
            terms: &sum.terms.iter().collect::<Vec<_>>(),
            bias: &sum.bias,
            res_scale: &vec![0.0; sum.shape.channels],
        };
        let op = depthwise_mixer::layer(&branch)?;
        let producer = node.output().and_then(|id| self.graph.value(id).producer);
        // The branch alone is the same sum, so this one is no name of the map.
        let map = op.map(|op| self.push(producer, *id, sum.shape, op, None));
        Some(map.map(|map| Form::of(Term::Stream(map), sum.shape, sum.order)))
    }

    /// Names of the nodes that `last` depends on and that no layer has yet.
    fn claim(&mut self, last: NodeId) -> Vec<String> {
        let mut found = Vec::new();
        let mut stack = vec![last];
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut self.claimed[id.0], true) {
                continue;
            }
            let node = self.graph.node(id);
            if node
                .output()
                .is_none_or(|output| self.graph.constant(output).is_none())
            {
                found.push(id);
            }
            let inputs = node.inputs.iter().flatten();
            stack.extend(inputs.filter_map(|&input| self.graph.value(input).producer));
        }
        found.sort_unstable();
        found
            .into_iter()
            .map(|id| self.graph.node(id).name.clone())
            .collect()
    }
}

/// The feature map that its own pool takes the place of: `x + (pool(x) - x)`.
pub(in crate::import::recognise) fn replaced(sum: &Sum) -> Option<StreamId> {
    match sum.single()? {
        (Term::Pool(norm, _), _) if norm.norm.scope == NormScope::Fixed => match norm.source {
            Term::Stream(id) => Some(id),
            _ => None,
        },
        _ => None,
    }
}

/// Whether every parameter of a layer is a finite number.
pub(super) fn is_finite(op: &Op) -> bool {
    op.values()
        .iter()
        .all(|list| list.iter().all(|v| v.is_finite()))
}
