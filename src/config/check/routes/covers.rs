//! Which route decides before another.

use std::sync::Arc;

use crate::config::{PathTemplate, Route, RouteKind, Segment};

/// Whether `earlier` decides every request that `later` is for.
pub(super) fn covers(earlier: &Route, later: &Route) -> bool {
    all(&earlier.hosts, &later.hosts)
        && all(&earlier.methods, &later.methods)
        && paths(earlier, later)
        && kinds(&earlier.kind, &later.kind)
}

/// Whether `earlier` has all of `later`, where nothing means everything.
fn all<T: PartialEq>(earlier: &[T], later: &[T]) -> bool {
    earlier.is_empty() || (!later.is_empty() && later.iter().all(|wanted| earlier.contains(wanted)))
}

fn is_base(route: &Route) -> bool {
    matches!(route.kind, RouteKind::Fhir { .. } | RouteKind::DicomWeb(_))
}

fn paths(earlier: &Route, later: &Route) -> bool {
    match (is_base(earlier), is_base(later)) {
        (false, true) => earlier.path.covers(&below(&later.path)),
        // Interactions are told below the base, so another base has others.
        _ => earlier.path.covers(&later.path),
    }
}

/// `base` and all that is below it.
fn below(base: &PathTemplate) -> PathTemplate {
    let segments = base.segments.iter().cloned().chain([Segment::Rest]).collect();
    PathTemplate { text: Arc::clone(&base.text), segments }
}

fn kinds(earlier: &RouteKind, later: &RouteKind) -> bool {
    match (earlier, later) {
        (RouteKind::Plain, _) => true,
        (RouteKind::Soap(earlier), RouteKind::Soap(later)) => {
            later.iter().all(|action| earlier.iter().any(|before| before.uri == action.uri))
        }
        (
            RouteKind::Fhir { interactions, resources },
            RouteKind::Fhir { interactions: others, resources: other_resources },
        ) => all(interactions, others) && all(resources, other_resources),
        (RouteKind::DicomWeb(earlier), RouteKind::DicomWeb(later)) => all(earlier, later),
        (RouteKind::Soap(_) | RouteKind::Fhir { .. } | RouteKind::DicomWeb(_), _) => false,
    }
}
