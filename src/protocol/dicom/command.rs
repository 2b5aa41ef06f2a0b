//! Command sets (PS3.7, 6.3.1, 9.3 and 10.3): which service is asked for, and of which SOP class. Nothing else
//! of them is kept: they name instances.

use super::item::{Rest, uid};
use super::{Contexts, sop_class_name};

/// A service of DIMSE (PS3.7, 9 and 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// C-STORE
    CStore,
    /// C-GET
    CGet,
    /// C-FIND
    CFind,
    /// C-MOVE
    CMove,
    /// C-ECHO
    CEcho,
    /// C-CANCEL
    CCancel,
    /// N-EVENT-REPORT
    NEventReport,
    /// N-GET
    NGet,
    /// N-SET
    NSet,
    /// N-ACTION
    NAction,
    /// N-CREATE
    NCreate,
    /// N-DELETE
    NDelete,
}

/// Every service: its name, its label in records, and the command field of its request (PS3.7, table E.1-1).
const SERVICES: [(Service, &str, &str, u16); 12] = [
    (Service::CStore, "C-STORE", "c_store", 0x0001),
    (Service::CGet, "C-GET", "c_get", 0x0010),
    (Service::CFind, "C-FIND", "c_find", 0x0020),
    (Service::CMove, "C-MOVE", "c_move", 0x0021),
    (Service::CEcho, "C-ECHO", "c_echo", 0x0030),
    (Service::NEventReport, "N-EVENT-REPORT", "n_event_report", 0x0100),
    (Service::NGet, "N-GET", "n_get", 0x0110),
    (Service::NSet, "N-SET", "n_set", 0x0120),
    (Service::NAction, "N-ACTION", "n_action", 0x0130),
    (Service::NCreate, "N-CREATE", "n_create", 0x0140),
    (Service::NDelete, "N-DELETE", "n_delete", 0x0150),
    (Service::CCancel, "C-CANCEL", "c_cancel", 0x0fff),
];

/// Set in the command field of every response.
const RESPONSE: u16 = 0x8000;

impl Service {
    /// As the standard writes it.
    pub fn name(self) -> &'static str {
        let found = SERVICES.iter().find(|(service, ..)| *service == self);
        found.map_or("", |(_, name, ..)| name)
    }

    fn of(field: u16) -> Option<Self> {
        SERVICES.iter().find(|(.., known)| *known == field).map(|(service, ..)| *service)
    }

    /// The services of a SOP class (PS3.4), as far as it is known: by its keyword, which says what it is.
    fn of_class(class: &str) -> Option<&'static [Self]> {
        let keyword = sop_class_name(class)?;
        Some(match keyword {
            "Verification" => &[Self::CEcho],
            "UnifiedProcedureStepPush" => &[Self::NCreate, Self::NAction, Self::NGet],
            "UnifiedProcedureStepWatch" => &[Self::NAction, Self::NGet, Self::CFind],
            "UnifiedProcedureStepPull" => &[Self::CFind, Self::NGet, Self::NSet, Self::NAction],
            "UnifiedProcedureStepEvent" => &[Self::NEventReport],
            _ if keyword.ends_with("Storage") => &[Self::CStore],
            _ if keyword.ends_with("Find") || keyword.ends_with("Query") => &[Self::CFind],
            _ if keyword.ends_with("Move") => &[Self::CMove],
            _ if keyword.ends_with("Get") => &[Self::CGet],
            _ => return None,
        })
    }
}

/// How often each service was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commands {
    of: [u64; SERVICES.len()],
    other: u64,
}

impl Commands {
    /// Those that were asked for, by their label in records.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let known = SERVICES.iter().zip(self.of).map(|((_, _, label, _), count)| (*label, count));
        known.chain([("other", self.other)]).filter(|(_, count)| *count > 0)
    }

    /// Counts one more; `None`: one that is not known, or cannot be read.
    pub(super) fn count(&mut self, service: Option<Service>) {
        let mut counts = SERVICES.iter().zip(&mut self.of);
        match counts.find(|((known, ..), _)| Some(*known) == service) {
            Some((_, count)) => *count += 1,
            None => self.other += 1,
        }
    }
}

/// A command that the presentation context is not for on which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The service; `None` for one that is not known, or a command that cannot be read.
    pub service: Option<Service>,
    /// Keyword of the SOP class that it names, if it is a known one.
    pub named: Option<&'static str>,
    /// UID of the context's abstract syntax.
    pub context: String,
}

impl Misfit {
    /// A command that cannot be read: nobody knows what it would be taken for.
    pub(super) fn unreadable(context: u8, contexts: &Contexts) -> Self {
        let context = contexts.abstract_syntax(context).unwrap_or_default().to_owned();
        Self { service: None, named: None, context }
    }
}

/// As much of a command set as is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    field: u16,
    /// The affected and the requested SOP class.
    classes: [Option<String>; 2],
}

impl Command {
    /// Reads one: implicit VR, little endian, elements of group 0000 in their order, none twice. What is
    /// anything else could be read in two ways.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (mut rest, mut last) = (Rest(bytes), None);
        let (mut field, mut classes) = (None, [None, None]);
        while !rest.0.is_empty() {
            let [group, group_high, low, high, length @ ..] = rest.array::<8>().ok()?;
            let element = u16::from_le_bytes([low, high]);
            let length = u32::from_le_bytes(length).try_into().ok()?;
            let value = Rest::take(&mut rest, length).ok()?;
            if (group, group_high) != (0, 0) || last.is_some_and(|last| last >= element) {
                return None;
            }
            last = Some(element);
            match (element, &mut classes) {
                (0x0002, [class, _]) | (0x0003, [_, class]) => {
                    *class = Some(uid(value.trim_ascii_end()).ok()?);
                }
                (0x0100, _) => field = Some(u16::from_le_bytes(value.try_into().ok()?)),
                _ => {}
            }
        }
        Some(Self { field: field?, classes })
    }

    /// Whether it asks for something, rather than answers.
    pub(super) fn is_request(&self) -> bool {
        self.field & RESPONSE == 0
    }

    /// Which service it asks for.
    pub(super) fn service(&self) -> Option<Service> {
        Service::of(self.field)
    }

    /// Why it may not come on this context. Nobody acts upon an answer as upon a request, and a
    /// cancellation names no SOP class.
    pub(super) fn misfit(&self, context: u8, contexts: &Contexts) -> Option<Misfit> {
        let syntax = contexts.abstract_syntax(context).unwrap_or_default();
        let service = self.service();
        let named = self.classes.iter().flatten().find(|class| !is_for(syntax, class));
        let serves = |service| {
            service == Service::CCancel
                || Service::of_class(syntax).is_none_or(|services| services.contains(&service))
        };
        if !self.is_request() || (named.is_none() && service.is_some_and(serves)) {
            return None;
        }
        let named = named.or_else(|| self.classes.iter().flatten().next());
        let named = named.and_then(|class| sop_class_name(class));
        Some(Misfit { service, named, context: syntax.to_owned() })
    }
}

/// Whether commands on a context of this abstract syntax may name this SOP class.
fn is_for(abstract_syntax: &str, class: &str) -> bool {
    let others = OTHERS.iter().find(|(syntax, _)| *syntax == abstract_syntax);
    abstract_syntax == class || others.is_some_and(|(_, others)| others.contains(&class))
}

/// Basic Film Session, Basic Film Box and Printer.
const FILM: [&str; 3] =
    ["1.2.840.10008.5.1.1.1", "1.2.840.10008.5.1.1.2", "1.2.840.10008.5.1.1.16"];
/// Every unified procedure step is an instance of UPS Push (PS3.4, CC.3.1).
const UPS_PUSH: &str = "1.2.840.10008.5.1.4.34.6.1";

/// SOP classes that commands name on contexts of another abstract syntax: those of a meta SOP class (PS3.4,
/// H.3.2.2; retired ones in PS3.4 of 1998), and UPS Push.
const OTHERS: [(&str, &[&str]); 8] = [
    ("1.2.840.10008.5.1.1.9", &[FILM[0], FILM[1], FILM[2], "1.2.840.10008.5.1.1.4"]),
    ("1.2.840.10008.5.1.1.18", &[FILM[0], FILM[1], FILM[2], "1.2.840.10008.5.1.1.4.1"]),
    ("1.2.840.10008.5.1.1.9.1", &[FILM[0], FILM[1], FILM[2], "1.2.840.10008.5.1.1.4.2"]),
    ("1.2.840.10008.5.1.1.18.1", &[FILM[0], FILM[1], FILM[2], "1.2.840.10008.5.1.1.4.2"]),
    ("1.2.840.10008.5.1.4.34.6.2", &[UPS_PUSH]),
    ("1.2.840.10008.5.1.4.34.6.3", &[UPS_PUSH]),
    ("1.2.840.10008.5.1.4.34.6.4", &[UPS_PUSH]),
    ("1.2.840.10008.5.1.4.34.6.5", &[UPS_PUSH]),
];
