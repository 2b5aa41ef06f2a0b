//! The one small trait behind which every kind of source stands.

use std::fmt;

use futures_util::future::{BoxFuture, FutureExt};

use super::check::Offered;
use super::{Material, MaterialError, Trusted};

/// Where key material comes from.
///
/// A source neither checks nor keeps time: [`super::Supply`] looks at what is offered as a peer would, and
/// [`super::Rotator`] says when. Making one touches nothing: no file, no socket, no task.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Offers key material. May be dropped before it is done, and asked again.
    fn offer<'a>(&'a self, occasion: Occasion<'a>)
    -> BoxFuture<'a, Result<Offered, MaterialError>>;

    /// Looks whether a start would succeed. Changes nothing anywhere: makes no authority, issues nothing,
    /// uses up no token.
    fn look(&self) -> BoxFuture<'_, Result<Looked, MaterialError>>;

    /// Resolves when there may be something new to offer. May be dropped and asked again without missing
    /// any. A source that is only ever asked has no news.
    fn news(&self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }

    /// Whether its certificates are renewed by asking for another one when two thirds of their life are
    /// over. Otherwise whoever makes them replaces them, and tells by [`Self::news`].
    fn renews(&self) -> bool;

    /// Whether a start may wait for it: it is another program that may still be starting, too.
    fn may_be_late(&self) -> bool {
        false
    }
}

/// What key material is wanted for.
#[derive(Debug, Clone, Copy)]
pub enum Occasion<'a> {
    /// Nothing is in use yet.
    Start,
    /// The certificate in use is good; trust bundle and lists may have changed.
    Refresh(&'a Material),
    /// The certificate in use is to be replaced.
    Renew(&'a Material),
}

/// What a look has shown.
pub enum Looked {
    /// What a start would begin with.
    Offered(Box<Offered>),
    /// The source is there and lets us in; a certificate would have to be issued first.
    Reachable {
        /// Whom it tells us to trust.
        trusted: Trusted,
        /// What is remarkable.
        warnings: Vec<String>,
    },
}

impl Occasion<'_> {
    /// What is in use.
    pub fn in_use(&self) -> Option<&Material> {
        match self {
            Self::Start => None,
            Self::Refresh(material) | Self::Renew(material) => Some(material),
        }
    }
}
