//! The end of the network: scores of a classifier, or a feature map.

use super::Walk;
use crate::import::graph::Node;
use crate::import::recognise::form::{Form, Order, Sum, Term};
use crate::import::recognise::{Problem, Unsupported, qdq};
use crate::import::trained_scales::TrainedScales;
use crate::layers::head;
use crate::network::{MetaFormer, Op};

impl Walk<'_> {
    /// The network, or everything that stood in the way.
    pub(crate) fn finish(
        mut self,
    ) -> Result<(MetaFormer, Option<TrainedScales>), Vec<Unsupported>> {
        let producer = self.graph.value(self.graph.output).producer;
        let form = self.forms[self.graph.output.0].clone();
        let scores = match &form {
            Some(Form::Map(sum)) => head::recognise::of_scores(sum),
            _ => None,
        };
        match (scores, form) {
            (Some((op, source)), Some(Form::Map(sum))) => {
                self.push(producer, source, sum.shape, op, None);
            }
            (None, Some(Form::Map(sum))) if self.is_feature_map(&sum) => {
                if let Some(node) = producer.map(|id| self.graph.node(id)) {
                    self.output_map(node, &sum);
                }
            }
            _ if !self.problems.is_empty() => {}
            (_, form) => {
                let what = form.map_or("nothing".to_owned(), |form| form.describe());
                let problem = Problem::new(
                    format!(
                        "the graph's output is {what}, neither the scores of a classifier nor a \
                         feature map"
                    ),
                    "export the whole network, with its head or ending behind a block",
                );
                match producer {
                    Some(id) => self.report(self.graph.node(id), problem),
                    None => self.problems.push(Unsupported {
                        node: self.graph.value(self.graph.output).name.clone(),
                        op: "output".to_owned(),
                        what: problem.what,
                        remedy: problem.remedy,
                    }),
                }
            }
        }
        let channels = self.streams[0].channels;
        if !matches!(channels, 1 | 3 | 4) && self.problems.is_empty() {
            self.problems.push(Unsupported {
                node: self.graph.value(self.graph.input).name.clone(),
                op: "input".to_owned(),
                what: format!("the image has {channels} channels"),
                remedy: "use one channel (gray), three (colour) or four".to_owned(),
            });
        }
        match self.problems.is_empty() {
            true => {
                let scales = qdq::scales(&self);
                let network = MetaFormer {
                    input: self.streams[0],
                    layers: self.layers,
                };
                Ok((network, scales))
            }
            false => Err(self.problems),
        }
    }

    /// Whether a sum is a feature map or a residual layer.
    fn is_feature_map(&self, sum: &Sum) -> bool {
        let is_stream = |(term, _): &(Term, _)| match term {
            Term::Norm(norm) => matches!(norm.source, Term::Stream(_)),
            term => matches!(term, Term::Stream(_)),
        };
        !sum.is_unknown() && !self.layers.is_empty() && sum.terms.iter().any(is_stream)
    }

    /// Ends a network without a head with a feature map.
    fn output_map(&mut self, node: &Node, sum: &Sum) {
        let producer = node.output().and_then(|id| self.graph.value(id).producer);
        if let Some(norm) = sum.as_norm()
            && let Term::Stream(source) = norm.source
        {
            // The norm that ends a stage.
            self.push(
                producer,
                source,
                sum.shape,
                Op::Norm(norm.norm.clone()),
                Some(sum),
            );
        } else if !matches!(sum.plain(), Some(Term::Stream(_))) {
            match self.residual(sum) {
                Ok((op, source)) => {
                    self.push(producer, source, self.streams[source.0], op, Some(sum));
                }
                Err(_) if self.is_behind_report(sum) => {}
                Err(problem) => self.report(node, problem),
            }
        }
        if sum.order == Order::ChannelsLast && !sum.has_one_axis() {
            self.report(
                node,
                Problem::new(
                    "the feature map that the network ends with has its channels innermost",
                    "export it with channels first",
                ),
            );
        }
    }
}
