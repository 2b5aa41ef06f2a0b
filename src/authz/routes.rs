//! Rules for HTTP requests, compiled: the first that matches is found without looking at the others.

use std::sync::Arc;

use http::Method;

use super::bits::{Bits, Index, Takers, first};
use super::classify;
use super::clause::Clause;
use super::paths::Paths;
use super::peers::Peers;
use super::permit::Form;
use super::policy::Requested;
use crate::config::{Route, RouteKind, SoapAction};
use crate::identity::ListenerName;
use crate::protocol::{Operation, dicomweb, fhir};

/// A listener's routes.
#[derive(Debug, Default)]
pub(super) struct Routes {
    all: Vec<CompiledRoute>,
    paths: Paths,
    methods: Index<Method>,
    hosts: Index<Arc<str>>,
    actions: Index<Arc<str>>,
    interactions: Index<fhir::Interaction>,
    resources: Index<Arc<str>>,
    transactions: Index<dicomweb::Transaction>,
    /// Rules that want FHIR, and rules that want DICOMweb.
    fhir: Bits,
    dicomweb: Bits,
    /// Some rule wants SOAP.
    soap: bool,
}

/// A route, and what grants have of it.
#[derive(Debug)]
pub(super) struct CompiledRoute {
    pub(super) clause: Clause,
    pub(super) route: Route,
    actions: Vec<Arc<SoapAction>>,
    /// The types of FHIR resources that it is for. `None`: all, or it is not for FHIR.
    resources: Option<Arc<[Arc<str>]>>,
}

/// The route that decides, and what it makes of the request.
pub(super) struct Found<'p> {
    pub(super) compiled: &'p CompiledRoute,
    pub(super) operation: Option<Operation>,
    pub(super) soap: Option<&'p Arc<SoapAction>>,
    /// What the parameters in its body may get at, where they are there.
    pub(super) form: Option<Form>,
}

impl Routes {
    pub(super) fn new(listener: &ListenerName, routes: &[Route], peers: &Peers) -> Self {
        let mut compiled = Self::default();
        for (number, route) in (0..).zip(routes) {
            let clause = Clause::new(listener, number, &route.rule, peers);
            compiled.add(clause, route);
        }
        compiled
    }

    fn add(&mut self, clause: Clause, route: &Route) {
        let number = clause.number;
        self.methods.take(number, route.methods.iter().cloned());
        self.hosts.take(number, route.hosts.iter().cloned());
        let (mut actions, mut restricted) = (Vec::new(), None);
        let mut is_base = true;
        match &route.kind {
            RouteKind::Plain => is_base = false,
            RouteKind::Soap(taken) => {
                (is_base, self.soap) = (false, true);
                actions = taken.iter().cloned().map(Arc::new).collect();
            }
            RouteKind::Fhir { interactions, resources } => {
                self.fhir.insert(number);
                self.interactions.take(number, interactions.iter().copied());
                self.resources.take(number, resources.iter().cloned());
                restricted = (!resources.is_empty()).then(|| resources.as_slice().into());
            }
            RouteKind::DicomWeb(transactions) => {
                self.dicomweb.insert(number);
                self.transactions.take(number, transactions.iter().copied());
            }
        }
        // A rule with an empty list of actions takes none of them.
        if !matches!(&route.kind, RouteKind::Soap(taken) if taken.is_empty()) {
            self.actions.take(number, actions.iter().map(|action| Arc::clone(&action.uri)));
            self.paths.insert(number, &route.path, is_base);
        }
        self.all.push(CompiledRoute {
            clause,
            route: route.clone(),
            actions,
            resources: restricted,
        });
    }

    /// Whether any of them asks for a SOAP action.
    pub(super) fn reads_soap(&self) -> bool {
        self.soap
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CompiledRoute> {
        self.all.iter()
    }

    /// The first route that matches.
    pub(super) fn find(&self, asked: &Requested<'_>) -> Option<Found<'_>> {
        let search = Search {
            routes: self,
            asked,
            methods: self.methods.takers(Some(asked.method)),
            hosts: self.hosts.takers(asked.host),
            actions: self.actions.takers(asked.soap_action),
        };
        let mut best: Option<(u32, Option<Class>)> = None;
        self.paths.walk(asked.path, &mut |rules, below| {
            let found = match below {
                None => search.first(rules, |_| u64::MAX).map(|rule| (rule, None)),
                Some(below) => search.below(rules, below),
            };
            if let Some(found) = found.filter(|(rule, _)| best.is_none_or(|(best, _)| *rule < best))
            {
                best = Some(found);
            }
        });
        let (rule, class) = best?;
        let compiled = self.all.get(rule as usize)?;
        let claimed = |action: &&Arc<SoapAction>| Some(&*action.uri) == asked.soap_action;
        let soap = compiled.actions.iter().find(claimed);
        let form = match class {
            Some(Class::Fhir { has_form: true, .. }) => {
                Some(compiled.resources.clone().map_or(Form::Free, Form::Held))
            }
            _ => None,
        };
        let operation = match (class, soap) {
            (Some(Class::Fhir { interaction, resource, .. }), _) => {
                Some(Operation::Fhir(interaction, resource))
            }
            (Some(Class::DicomWeb(transaction)), _) => Some(Operation::DicomWeb(transaction)),
            (None, Some(action)) => Some(Operation::Soap(Arc::clone(&action.uri), action.ihe)),
            (None, None) => None,
        };
        Some(Found { compiled, operation, soap, form })
    }
}

/// What a request below a base is.
#[derive(Debug, Clone, Copy)]
enum Class {
    Fhir { interaction: fhir::Interaction, resource: Option<&'static str>, has_form: bool },
    DicomWeb(dicomweb::Transaction),
}

/// A request on its way through the rules.
struct Search<'p, 'a> {
    routes: &'p Routes,
    asked: &'a Requested<'a>,
    methods: Takers<'p>,
    hosts: Takers<'p>,
    actions: Takers<'p>,
}

impl Search<'_, '_> {
    /// The first of `rules` that takes the method, the host, the action, and what `more` says.
    fn first(&self, rules: &Bits, more: impl Fn(u32) -> u64) -> Option<u32> {
        first(rules.words(), |word| {
            rules.word(word)
                & self.methods.word(word)
                & self.hosts.word(word)
                & self.actions.word(word)
                & more(word)
        })
    }

    /// The first of `rules`, whose base has been reached, that takes what is `below` it.
    fn below(&self, rules: &Bits, below: &str) -> Option<(u32, Option<Class>)> {
        let routes = self.routes;
        let fhir = classify::fhir(self.asked, below).and_then(|found| {
            let interactions = routes.interactions.takers(Some(&found.interaction));
            let resources = routes.resources.takers(found.resource);
            let reach = classify::reach(self.asked, &found);
            let takes = |word| {
                let reached = reach.iter().fold(u64::MAX, |rules, reached| {
                    rules & routes.resources.takers(reached.kind).word(word)
                });
                let rules = routes.fhir.word(word) & reached;
                rules & interactions.word(word) & resources.word(word)
            };
            let (interaction, resource) = (found.interaction, found.resource);
            let class = Class::Fhir { interaction, resource, has_form: found.has_form() };
            Some((self.first(rules, takes)?, Some(class)))
        });
        let dicomweb = classify::dicomweb(self.asked, below).and_then(|transaction| {
            let transactions = routes.transactions.takers(Some(&transaction));
            let takes = |word| routes.dicomweb.word(word) & transactions.word(word);
            Some((self.first(rules, takes)?, Some(Class::DicomWeb(transaction))))
        });
        fhir.into_iter().chain(dicomweb).min_by_key(|(rule, _)| *rule)
    }
}
