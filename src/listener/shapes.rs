//! What is told of requests that no route is for, while policy is observed: the shapes of their paths.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::description::Description;
use crate::authz::{Denied, Grant};
use crate::outcome::Differs;
use crate::protocol::{Operation, ihe, shape, soap};
use crate::proxy::l7::Head;

/// Most shapes of a listener that are told apart, from its start on.
const SHAPES: usize = 1000;
/// Stands for all shapes beyond that.
const ANY: &str = "/{rest...}";

/// The shapes that a listener has told of.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: Mutex<HashSet<Arc<str>>>,
}

impl Shapes {
    /// What is told of a request that went through under no rule that is for it: the shape of its path, and the
    /// SOAP action that it claims, if that is made of words.
    pub(super) fn of(&self, head: &Head<'_>, grant: &Grant) -> Option<Description> {
        if grant.rule_number().is_some() {
            return None;
        }
        let template = Some(self.bounded(&shape::shape(head.path)));
        Some(Description { template, operation: claimed(head), ..Description::default() })
    }

    /// A stranger may ask for anything: what is told of it stays bounded.
    fn bounded(&self, shape: &str) -> Arc<str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = known.get(shape) {
            return Arc::clone(shape);
        }
        if known.len() >= SHAPES {
            return ANY.into();
        }
        let shape: Arc<str> = shape.into();
        known.insert(Arc::clone(&shape));
        shape
    }
}

/// What is told of a request that goes through although no rule is for it: what it would have been below a
/// base, or else its shape. A base alone says nothing of what was asked for below it.
pub(super) fn unruled(
    asked: Description,
    denied: &Denied,
    shaped: Option<Description>,
) -> Description {
    let is_of_base = matches!(
        denied.differs,
        Some(Differs::Interaction | Differs::Resource | Differs::Transaction)
    );
    match shaped {
        _ if asked.operation.is_some() => asked,
        Some(shaped) => shaped,
        None if is_of_base => Description::default(),
        None => asked,
    }
}

fn claimed(head: &Head<'_>) -> Option<Operation> {
    let action = soap::claimed(head.headers).ok()??;
    let known = ihe::by_action(&action).map(|transaction| transaction.name);
    shape::is_known_action(&action).then(|| Operation::Soap((*action).into(), known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_tells_of_a_thousand_shapes_and_of_the_rest_as_one() {
        let shapes = Shapes::default();
        let letters = |number: usize| {
            let letter = |place: u32| {
                char::from(b'a' + u8::try_from(number / 10_usize.pow(place) % 10).unwrap())
            };
            format!("/{}{}{}", letter(0), letter(1), letter(2))
        };

        for number in 0..SHAPES {
            assert_eq!(*shapes.bounded(&letters(number)), *letters(number));
        }
        assert_eq!(&*shapes.bounded("/another"), ANY);
        assert_eq!(&*shapes.bounded("/aaa"), "/aaa");
    }
}
