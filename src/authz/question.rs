//! Questions of operators, as decisions take them.

use super::differences::Asked;
use super::policy::Requested;
use crate::config::Question;
use crate::protocol::mllp;

impl Question {
    /// Gives `answer` the question as policy takes it; `None` asks for nothing but to connect.
    pub fn put<T>(&self, answer: impl FnOnce(Option<Asked<'_>>) -> T) -> T {
        match self {
            Self::Connect => answer(None),
            Self::Request { method, host, target, soap_action } => {
                let (host, soap_action) = (host.as_deref(), soap_action.as_deref());
                let plain = Requested::plain(method, &target.path);
                let query = target.query.as_deref();
                answer(Some(Asked::Request(&Requested { host, query, soap_action, ..plain })))
            }
            Self::Message { kind, sender } => {
                let kind = (kind.code.as_str(), kind.trigger.as_str());
                let sender = sender.as_ref();
                let sender =
                    sender.map_or(("", ""), |sender| (&*sender.application, &*sender.facility));
                answer(Some(Asked::Message(&mllp::Header::claiming(kind, sender))))
            }
            Self::Association(request) => answer(Some(Asked::Association(request))),
        }
    }
}
