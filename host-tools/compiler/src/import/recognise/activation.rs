//! Activations behind linear layers, as one operator or written out.

use std::rc::Rc;

use super::Problem;
use super::convolution::is_inside;
use super::form::{Form, Shared, Sum, Term, all, close, near};
use super::linear;
use super::walk::Walk;
use crate::import::graph::Node;
use crate::network::Activation;

const OUTSIDE: &str = "use activations behind a linear layer of a channel MLP, a separable convolution or an MLP \
     head, and behind the convolutions of a stem";

/// The remedy for an activation that is none of these.
pub(crate) const ACTIVATIONS: &str = "use GELU, ReLU, squared ReLU, StarReLU, ReLU6, LeakyReLU, ELU, SiLU, Hardswish, Mish, \
     sigmoid, hard sigmoid, tanh or softplus";

/// The cubic term of GELU's approximation by tanh.
const CUBIC: f32 = 0.044_715;

/// An activation that is one operator.
pub(crate) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let activation = match (node.op.as_str(), node.text("approximate")) {
        ("Relu", _) => Activation::Relu,
        ("Clip", _) => Activation::Clip {
            lowest: node.float("min", f32::NEG_INFINITY),
            highest: node.float("max", f32::INFINITY),
        },
        ("Swish", _) => Activation::Swish {
            alpha: node.float("alpha", 1.0),
        },
        ("HardSwish", _) => Activation::HardSwish,
        ("Mish", _) => Activation::Mish,
        ("LeakyRelu", _) => Activation::LeakyRelu {
            slope: node.float("alpha", 0.01),
        },
        ("Elu", _) => Activation::Elu {
            alpha: node.float("alpha", 1.0),
        },
        ("Sigmoid", _) => Activation::Sigmoid,
        ("HardSigmoid", _) => Activation::HardSigmoid {
            slope: node.float("alpha", 0.2),
            offset: node.float("beta", 0.5),
        },
        ("Tanh", _) => Activation::Tanh,
        ("Softplus", _) => Activation::Softplus,
        (_, Some("tanh")) => Activation::GeluTanh,
        (_, None | Some("none")) => Activation::Gelu,
        (_, Some(mode)) => {
            return Err(Problem::new(
                format!("GELU has no approximation `{mode}`"),
                "use GELU in its exact form or with tanh",
            ));
        }
    };
    match walk.form(node)? {
        Form::Opaque => Ok(Form::Opaque),
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        Form::Map(sum) => {
            walk.spend(sum.weights())?;
            if let (Some(Term::Activated(_, Activation::Relu)), Activation::Relu) =
                (sum.plain(), activation)
            {
                return Ok(Form::Map(sum));
            }
            let cuts_off = matches!(
                activation,
                Activation::Relu | Activation::Clip { lowest: 0.0, .. }
            );
            if cuts_off && walk.rectify(node, &sum, activation) {
                return Ok(Form::Map(sum));
            }
            if (!is_inside(&sum) || walk.is_post_norm(&sum)) && !walk.is_read_twice(node) {
                let source = walk.stream(node, &sum);
                let form = walk.activate(node, source, activation);
                return form.ok_or_else(|| outside(&sum.describe()));
            }
            if sum
                .terms
                .iter()
                .any(|(term, _)| matches!(term, Term::Mixed(..)))
            {
                return Err(linear::mixes());
            }
            let argument = argument(&sum).ok_or_else(|| outside(&sum.describe()))?;
            let term = Term::Activated(Shared::new(argument), activation);
            Ok(Form::of(term, sum.shape, sum.order))
        }
        form => Err(outside(&form.describe())),
    }
}

/// The part of a map above zero: of a linear layer its ReLU, and everything of a map
/// that has nothing below.
pub(crate) fn rectified(sum: &Rc<Sum>) -> Form {
    match argument(sum) {
        Some(argument) => {
            let term = Term::Activated(Shared::new(argument), Activation::Relu);
            Form::of(term, sum.shape, sum.order)
        }
        None => Form::Map(sum.clone()),
    }
}

/// The form behind an activation that is a step of its own: behind a convolution of a stem, a
/// feature map.
pub(crate) fn settled(walk: &mut Walk<'_>, node: &Node, form: Form) -> Result<Form, Problem> {
    let Form::Map(sum) = &form else {
        return Ok(form);
    };
    let Some(Term::Activated(argument, activation)) = sum.plain() else {
        return Ok(form);
    };
    let source = match &**argument {
        Term::Stream(source) => *source,
        term @ Term::Norm(_) => {
            let norm = Sum::of(term.clone(), sum.shape, sum.order);
            if !walk.is_post_norm(&norm) {
                return Err(outside(&norm.describe()));
            }
            walk.stream(node, &norm)
        }
        _ => return Ok(form),
    };
    let map = walk.activate(node, source, *activation);
    map.ok_or_else(|| outside("the feature map"))
}

/// `Erf` of `u / sqrt 2`, the first step of a GELU that is written out.
pub(crate) fn erf(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    curve(walk, node, |sum| {
        let (term, factors) = sum.single()?;
        let half = vec![std::f32::consts::FRAC_1_SQRT_2; sum.shape.channels];
        (is_curved(term) && near(factors, &half)).then(|| Term::Erf(Shared::new(term.clone())))
    })
}

/// `Tanh` of `sqrt(2 / pi) (u + 0.044715 u^3)`, a step of the other GELU; or an activation
/// of its own.
pub(crate) fn tanh(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    if let Form::Map(sum) = walk.form(node)?
        && (argument(&sum).is_some() || matches!(sum.plain(), Some(Term::Stream(_))))
    {
        return lower(walk, node);
    }
    curve(walk, node, |sum| {
        let [(first, first_factors), (second, second_factors)] = &sum.terms[..] else {
            return None;
        };
        let (argument, linear, cubic, power) = match (first, second) {
            (Term::Power(argument, power), _) if **argument == *second => {
                (second, second_factors, first_factors, power)
            }
            (_, Term::Power(argument, power)) if **argument == *first => {
                (first, first_factors, second_factors, power)
            }
            _ => return None,
        };
        let root = std::f32::consts::FRAC_2_PI.sqrt();
        let expected = |factor| vec![factor; sum.shape.channels];
        let fits =
            *power == 3 && near(linear, &expected(root)) && near(cubic, &expected(root * CUBIC));
        fits.then(|| Term::Tanh(Shared::new(argument.clone())))
    })
}

fn curve(
    walk: &Walk<'_>,
    node: &Node,
    recognise: impl FnOnce(&Sum) -> Option<Term>,
) -> Result<Form, Problem> {
    let sum = match walk.form(node)? {
        Form::Opaque => return Ok(Form::Opaque),
        Form::Map(sum) if sum.is_unknown() => return Ok(walk.unknown(node)),
        Form::Map(sum) => sum,
        form => return Err(outside(&form.describe())),
    };
    match recognise(&sum) {
        Some(term) if all(&sum.bias, 0.0) => Ok(Form::of(term, sum.shape, sum.order)),
        _ => Err(Problem::new(
            format!(
                "{} of {}, which is no step of GELU",
                node.op,
                sum.describe()
            ),
            ACTIVATIONS,
        )),
    }
}

/// The product of two maps, if it is a step of an activation.
pub(crate) fn product(a: &Sum, b: &Sum) -> Option<Sum> {
    gelu(a, b)
        .or_else(|| gelu(b, a))
        .or_else(|| square(a, b))
        .or_else(|| powers(a, b))
}

/// The square or the cube of a map, if it is a step of an activation.
pub(crate) fn power(sum: &Sum, exponent: f32) -> Option<Sum> {
    let square = product(sum, sum)?;
    match exponent {
        2.0 => Some(square),
        3.0 => product(&square, sum),
        _ => None,
    }
}

/// `a u * (b erf(u / sqrt 2) + b) = 2 a b gelu(u)`, and the same with tanh.
fn gelu(outer: &Sum, inner: &Sum) -> Option<Sum> {
    let (argument, outer_factors) = outer.single()?;
    let (curve, inner_factors) = inner.single()?;
    let (expected, activation) = match curve {
        Term::Erf(expected) => (expected, Activation::Gelu),
        Term::Tanh(expected) => (expected, Activation::GeluTanh),
        _ => return None,
    };
    let fits =
        *argument == **expected && all(&outer.bias, 0.0) && close(inner_factors, &inner.bias);
    fits.then(|| {
        let term = Term::Activated(expected.clone(), activation);
        Sum::of(term, outer.shape, outer.order)
            .scaled(|v, c| v * 2.0 * outer_factors[c] * inner_factors[c])
    })
}

/// `relu(u) * relu(u)`.
fn square(a: &Sum, b: &Sum) -> Option<Sum> {
    match (a.plain()?, b.plain()?) {
        (Term::Activated(x, Activation::Relu), Term::Activated(y, Activation::Relu)) if x == y => {
            let term = Term::Activated(x.clone(), Activation::SquaredRelu);
            Some(Sum::of(term, a.shape, a.order))
        }
        _ => None,
    }
}

/// The product of two polynomials of one linear layer's output, up to the cube.
fn powers(a: &Sum, b: &Sum) -> Option<Sum> {
    let argument =
        [a, b]
            .into_iter()
            .flat_map(|sum| &sum.terms)
            .find_map(|(term, _)| match term {
                Term::Power(argument, _) => Some(Term::clone(argument)),
                term => is_curved(term).then(|| term.clone()),
            })?;
    let (a, b, shape) = (polynomial(a, &argument)?, polynomial(b, &argument)?, a);
    let channels = shape.shape.channels;
    let mut product: [Vec<f32>; 4] = std::array::from_fn(|_| vec![0.0; channels]);
    for (i, left) in a.iter().enumerate() {
        for (j, right) in b.iter().enumerate() {
            let values: Vec<f32> = left.iter().zip(right).map(|(l, r)| l * r).collect();
            match product.get_mut(i + j) {
                Some(sum) => super::form::add_scaled(sum, &values, 1.0),
                None if all(&values, 0.0) => {}
                None => return None,
            }
        }
    }
    let [bias, rest @ ..] = product;
    let argument = Shared::new(argument);
    let terms = rest
        .into_iter()
        .zip(1..)
        .filter(|(factors, _)| !all(factors, 0.0))
        .map(|(factors, power)| match power {
            1 => (Term::clone(&argument), factors),
            _ => (Term::Power(argument.clone(), power), factors),
        })
        .collect();
    Some(Sum {
        terms,
        bias,
        ..shape.clone()
    })
}

/// Factors of the powers 0 to 3 of `argument`, if the sum is of nothing else.
fn polynomial(sum: &Sum, argument: &Term) -> Option<[Vec<f32>; 4]> {
    let mut factors: [Vec<f32>; 4] = std::array::from_fn(|_| vec![0.0; sum.shape.channels]);
    factors[0] = sum.bias.clone();
    for (term, values) in &sum.terms {
        let power = match term {
            Term::Power(inner, power) if **inner == *argument => *power as usize,
            term if term == argument => 1,
            _ => return None,
        };
        *factors.get_mut(power)? = values.clone();
    }
    Some(factors)
}

/// The input of an activation, with all factors in its weights.
fn argument(sum: &Sum) -> Option<Term> {
    sum.absorbed().filter(is_argument)
}

/// Whether an activation that is written out may read it: in a stem a feature map or its
/// norm too.
fn is_curved(term: &Term) -> bool {
    is_argument(term) || matches!(term, Term::Stream(_) | Term::Norm(_))
}

fn is_argument(term: &Term) -> bool {
    matches!(term, Term::Linear(_) | Term::Depthwise(_))
}

fn outside(what: &str) -> Problem {
    Problem::new(
        format!("an activation of {what} belongs to no known layer"),
        OUTSIDE,
    )
}

#[cfg(test)]
mod tests {
    use super::super::form::{LinearTerm, Order, StreamId};
    use super::*;
    use crate::network::{Linear, Shape};

    fn linear_output() -> Sum {
        let linear = Linear {
            outputs: 2,
            inputs: 1,
            weight: vec![1.0; 2],
            bias: vec![0.0; 2],
        };
        let input = Term::Stream(StreamId(0));
        let shape = Shape {
            height: 2,
            width: 2,
            channels: 2,
        };
        let term = Term::Linear(Shared::new(LinearTerm { input, linear }));
        Sum::of(term, shape, Order::ChannelsFirst)
    }

    #[test]
    fn polynomials_multiply_up_to_the_cube() {
        let u = linear_output();
        let square = product(&u, &u).unwrap();
        let mut outer = square.scaled(|v, _| 3.0 * v);
        outer.bias = vec![2.0; 2];
        // u (3 u^2 + 2) = 3 u^3 + 2 u
        let cube = product(&u, &outer).unwrap();
        let factors: Vec<_> = cube.terms.iter().map(|(_, f)| f[0]).collect();
        assert_eq!(factors, [2.0, 3.0]);
        assert!(matches!(cube.terms[1].0, Term::Power(_, 3)));
        assert!(product(&cube, &u).is_none());
        assert_eq!(power(&u, 3.0), product(&square, &u));
    }
}
