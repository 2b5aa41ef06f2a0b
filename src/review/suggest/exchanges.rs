//! HL7 v2 messages and DICOM associations as rules.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Alike, Evidence, ListenerDraft, RuleDraft, TermsDraft, alike, together};
use super::namer::Namer;
use crate::protocol::dicom;
use crate::protocol::mllp::{self, Header, is_clear_code};
use crate::review::what::What;

/// A peer that sends more trigger events of one kind sends what there is of it.
const TRIGGERS: usize = 8;

/// By what a sender can be named: MSH-3 and MSH-4.
type Sender = (Option<String>, Option<String>);
/// A pair of AE titles: who calls, and who is called.
type Titles = (Option<String>, Option<String>);

/// Which parts of messages say the same to every receiver in all that were seen. A list with a rule that names
/// one of the others would deny those in which they do not.
struct Clear {
    types: bool,
    applications: bool,
    facilities: bool,
}

impl Clear {
    fn of(asked: &[(&What, Evidence)]) -> Self {
        let mut clear = Self { types: true, applications: true, facilities: true };
        for (what, _) in asked {
            let What::Message { code, trigger, application, facility } = what else { continue };
            let (sending_application, sending_facility) =
                (application.as_bytes(), facility.as_bytes());
            let header = Header { sending_application, sending_facility, ..Header::default() };
            let [application, facility] = header.sender();
            clear.types &= [code, trigger].into_iter().all(|part| is_clear_code(part.as_bytes()));
            clear.applications &= header.is_clear_name(application);
            clear.facilities &= header.is_clear_name(facility);
        }
        clear
    }
}

impl ListenerDraft<'_> {
    /// Rules for types of messages, and for their senders.
    pub(super) fn messages(&mut self, asked: Vec<(&What, Evidence)>) {
        if asked.is_empty() {
            self.note(
                "no message is on record here, so no rules for messages are suggested".to_owned(),
            );
            return;
        }
        let mut types: Alike<(String, String)> = BTreeMap::new();
        let mut senders: Alike<Sender> = BTreeMap::new();
        let clear = Clear::of(&asked);
        for (what, evidence) in asked {
            let What::Message { code, trigger, application, facility } = what else { continue };
            let application = claim(application).filter(|_| clear.applications);
            let facility = claim(facility).filter(|_| clear.facilities);
            alike(&mut senders, (application, facility), evidence.clone());
            alike(&mut types, (component(code), component(trigger)), evidence);
        }
        if clear.types {
            self.rules.insert("messages", of_types(widened(types)));
        } else {
            let text = "some messages have a type that is none of HL7's form, and would pass under no rule \
                        beside others: no `messages` are suggested";
            self.note(text.to_owned());
        }
        self.senders(senders);
    }

    fn senders(&mut self, senders: Alike<Sender>) {
        if senders.contains_key(&(None, None)) {
            let text =
                "some messages name no sender that a rule could name: no `senders` are suggested";
            return self.note(text.to_owned());
        }
        let mut rules: Vec<_> = senders
            .into_iter()
            .map(|((application, facility), evidence)| {
                let terms = TermsDraft::Sender { application, facility };
                RuleDraft::new(String::new(), terms, evidence.peers.clone(), evidence)
            })
            .collect();
        // Those that name both decide before those that name one.
        rules.sort_by_key(|rule| match &rule.terms {
            TermsDraft::Sender { application: Some(_), facility: Some(_) } => 0,
            _ => 1,
        });
        self.name(&mut rules, |terms| match terms {
            TermsDraft::Sender { application, facility } => {
                let named = application.as_ref().or(facility.as_ref());
                format!("from-{}", named.map_or("", String::as_str))
            }
            _ => String::new(),
        });
        self.rules.insert("senders", rules);
    }

    /// Rules for associations.
    pub(super) fn associations(&mut self, asked: Vec<(&What, Evidence)>) {
        if asked.is_empty() {
            let text = "no association is on record here, so no rules for them are suggested";
            return self.note(text.to_owned());
        }
        let mut pairs: BTreeMap<Titles, (Option<BTreeSet<String>>, Evidence)> = BTreeMap::new();
        for (what, evidence) in asked {
            let What::Association { calling, called, classes } = what else { continue };
            let key = (title(calling), title(called));
            let can_be_named = !classes.is_empty() && classes.iter().all(|uid| dicom::is_uid(uid));
            let classes = can_be_named.then(|| classes.iter().cloned().collect());
            match pairs.get_mut(&key) {
                Some((known, sum)) => {
                    *known = known.take().zip(classes).map(|(known, more)| &known | &more);
                    sum.add(evidence);
                }
                None => {
                    pairs.insert(key, (classes, evidence));
                }
            }
        }
        let mut rules: Vec<_> = pairs
            .into_iter()
            .map(|((calling, called), (classes, evidence))| {
                let classes = classes.unwrap_or_default();
                let terms = TermsDraft::Association { calling, called, classes };
                RuleDraft::new(String::new(), terms, evidence.peers.clone(), evidence)
            })
            .collect();
        rules.sort_by_key(|rule| match &rule.terms {
            TermsDraft::Association { calling, called, .. } => {
                u8::from(calling.is_none()) + u8::from(called.is_none())
            }
            _ => 0,
        });
        self.name(&mut rules, |terms| match terms {
            TermsDraft::Association { calling, .. } => calling.clone().unwrap_or_default(),
            _ => String::new(),
        });
        self.rules.insert("associations", rules);
    }

    fn name(&self, rules: &mut [RuleDraft], like: impl Fn(&TermsDraft) -> String) {
        let mut namer = Namer::default();
        for rule in rules {
            rule.name = namer.name(&like(&rule.terms));
        }
    }
}

/// Many trigger events of one kind by the same peers become all of them.
fn widened(types: Alike<(String, String)>) -> Alike<(String, String)> {
    let mut triggers: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for ((code, trigger), evidence) in &types {
        for peer in &evidence.peers {
            triggers.entry((code.clone(), peer.clone())).or_default().insert(trigger.clone());
        }
    }
    let mut widened = BTreeMap::new();
    for ((code, trigger), evidence) in types {
        let is_many = |peer: &String| {
            triggers.get(&(code.clone(), peer.clone())).is_some_and(|all| all.len() > TRIGGERS)
        };
        let trigger = if evidence.peers.iter().all(is_many) { "*".to_owned() } else { trigger };
        alike(&mut widened, (code, trigger), evidence);
    }
    widened
}

/// Rules for types, those with a trigger event first, and those for every kind last.
fn of_types(types: Alike<(String, String)>) -> Vec<RuleDraft> {
    let breadth = |code: &str, trigger: &str| u8::from(trigger == "*") + 2 * u8::from(code == "*");
    let each = types.into_iter().map(|((code, trigger), evidence)| {
        let breadth = breadth(&code, &trigger);
        let kind = if breadth == 3 { "*".to_owned() } else { format!("{code}^{trigger}") };
        ((breadth, kind), evidence)
    });
    let mut namer = Namer::default();
    let mut rules = Vec::new();
    for ((_, allow), (types, evidence)) in together(each) {
        let name = match types.first() {
            Some(first) if types.len() == 1 => namer.name(first),
            Some(first) => namer.name(first.split('^').next().unwrap_or_default()),
            None => continue,
        };
        rules.push(RuleDraft::new(name, TermsDraft::Messages { types }, allow, evidence));
    }
    rules
}

/// A part of MSH-9 as rules have it; `*` where it cannot be named.
fn component(text: &str) -> String {
    if mllp::is_code(text.as_bytes()) { text.to_owned() } else { "*".to_owned() }
}

/// The first component of MSH-3 or MSH-4, if a rule can name it.
fn claim(text: &str) -> Option<String> {
    let first = text.split('^').next().unwrap_or_default();
    let fits = mllp::check_name(first).is_ok() && is_literal(first) && !first.ends_with('…');
    (fits && !first.contains(char::REPLACEMENT_CHARACTER)).then(|| first.to_owned())
}

fn title(text: &str) -> Option<String> {
    let fits = dicom::check_title(text).is_ok() && is_literal(text);
    fits.then(|| text.to_owned())
}

/// Whether a configuration takes a text as it stands, and puts nothing in.
fn is_literal(text: &str) -> bool {
    !text.contains('$')
}
