//! The real parameters of a layer, as lists.

use super::{Linear, Norm, Op, Residual};

impl Op {
    /// Every list of real parameters of the layer.
    pub fn values(&self) -> Vec<&[f32]> {
        let mut lists = Lists::default();
        match self {
            Self::PatchEmbedding(embedding) => {
                lists.linear(&embedding.linear);
            }
            Self::Norm(norm) => lists.norm(Some(norm)),
            Self::Pooling(pooling) => {
                lists.norm(Some(&pooling.norm));
                lists.residual(&pooling.residual);
            }
            Self::Identity(identity) => {
                lists.norm(Some(&identity.norm));
                lists.residual(&identity.residual);
            }
            Self::RandomMixing(mixing) => {
                lists.norm(Some(&mixing.norm));
                lists.0.push(&mixing.matrix);
                lists.residual(&mixing.residual);
            }
            Self::SepConv(conv) => {
                lists.norm(Some(&conv.norm));
                lists.linear(&conv.fc1);
                lists.0.push(&conv.depthwise.weight);
                lists.0.push(&conv.depthwise.bias);
                lists.linear(&conv.fc2);
                lists.residual(&conv.residual);
            }
            Self::Attention(attention) => {
                lists.norm(Some(&attention.norm));
                lists.linear(&attention.qkv);
                lists.linear(&attention.projection);
                lists.residual(&attention.residual);
            }
            Self::ChannelMlp(mlp) => {
                lists.norm(Some(&mlp.norm));
                lists.linear(&mlp.fc1);
                lists.linear(&mlp.fc2);
                lists.residual(&mlp.residual);
            }
            Self::Head(head) => {
                lists.norm(head.norm.as_ref());
                lists.norm(head.mean_norm.as_ref());
                if let Some(hidden) = &head.hidden {
                    lists.linear(&hidden.fc1);
                    lists.norm(hidden.norm.as_ref());
                }
                lists.linear(&head.linear);
            }
        }
        lists.0
    }
}

/// Collects lists of parameters.
#[derive(Default)]
struct Lists<'a>(Vec<&'a [f32]>);

impl<'a> Lists<'a> {
    fn norm(&mut self, norm: Option<&'a Norm>) {
        if let Some(norm) = norm {
            self.0.extend([&norm.gamma[..], &norm.beta]);
        }
    }

    fn linear(&mut self, linear: &'a Linear) {
        self.0.extend([&linear.weight[..], &linear.bias]);
    }

    fn residual(&mut self, residual: &'a Residual) {
        self.0
            .extend([&residual.layer_scale[..], &residual.res_scale]);
    }
}
