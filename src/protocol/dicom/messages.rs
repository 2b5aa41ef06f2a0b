//! The messages that P-DATA-TF carry in one direction (PS3.8, annex E): headers of fragments are read, and command
//! sets. Data sets go by unseen.

use super::command::{Command, Commands, Misfit};
use super::item::Rest;
use super::{Contexts, Malformed, Stopped};

/// A length, the identifier of a presentation context, and the message control header.
const LENGTH_OF_HEADER: usize = 6;
/// The longest command set. Real ones have a few hundred bytes.
const LONGEST_COMMAND: usize = 64 * 1024;

/// How far the messages of one direction have come.
pub(super) struct Messages<'a> {
    contexts: &'a Contexts,
    /// Whether a command must be one that its context is for.
    is_bound: bool,
    head: [u8; LENGTH_OF_HEADER],
    /// How many bytes of `head` there are, while a header is being read.
    have: usize,
    fragment: Fragment,
    message: Message,
    /// What there is of a command set that came in pieces.
    command: Vec<u8>,
    pub(super) commands: Commands,
    /// The first.
    pub(super) misfit: Option<Misfit>,
}

/// The fragment that is going by.
#[derive(Clone, Copy, Default)]
struct Fragment {
    /// How many bytes of it are to come.
    left: u32,
    is_command: bool,
    is_last: bool,
}

/// The message whose fragments are going by, with its presentation context.
#[derive(Clone, Copy, Default)]
enum Message {
    #[default]
    None,
    Command(u8),
    /// Its command is whole; a data set may follow.
    Announced(u8),
    Data(u8),
}

impl<'a> Messages<'a> {
    pub(super) fn new(contexts: &'a Contexts, is_bound: bool) -> Self {
        Self {
            contexts,
            is_bound,
            head: [0; LENGTH_OF_HEADER],
            have: 0,
            fragment: Fragment::default(),
            message: Message::default(),
            command: Vec::new(),
            commands: Commands::default(),
            misfit: None,
        }
    }

    /// Looks at more of a P-DATA-TF, of whose body so many bytes were `left` before these.
    pub(super) fn read(&mut self, bytes: &[u8], left: u32) -> Result<(), Stopped> {
        let mut rest = Rest(bytes);
        let left = |rest: Rest<'_>| left as usize - (bytes.len() - rest.0.len());
        while !rest.0.is_empty() {
            if self.fragment.left > 0 {
                self.body(&mut rest)?;
                continue;
            }
            let wanted = self.head.get_mut(self.have..).unwrap_or_default();
            let here = wanted.len().min(rest.0.len());
            let head = Rest::take(&mut rest, here).map_err(Stopped::Malformed)?;
            wanted.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
            self.have += here;
            if self.have == LENGTH_OF_HEADER {
                self.begin(left(rest)).map_err(Stopped::Malformed)?;
                self.end_if_whole(&[])?;
            }
        }
        if self.have > 0 && left(rest) == 0 {
            return Err(Stopped::Malformed(Malformed::Truncated));
        }
        Ok(())
    }

    /// The header of a fragment is there; of its PDU so many bytes are `left`.
    fn begin(&mut self, left: usize) -> Result<(), Malformed> {
        let [length @ .., context, control] = self.head;
        self.have = 0;
        let length = u32::from_be_bytes(length).checked_sub(2).ok_or(Malformed::Truncated)?;
        let (is_command, is_last) = (control & 1 != 0, control & 2 != 0);
        if length as usize > left {
            return Err(Malformed::Truncated);
        }
        if self.contexts.abstract_syntax(context).is_none() {
            return Err(Malformed::ContextId);
        }
        self.message = match (self.message, is_command) {
            (Message::None | Message::Announced(_), true) => Message::Command(context),
            (Message::Command(of), true) if of == context => Message::Command(context),
            (Message::Announced(of) | Message::Data(of), false) if of == context => {
                Message::Data(context)
            }
            (Message::None | Message::Announced(_) | Message::Data(_), false)
            | (Message::Command(_) | Message::Data(_), _) => return Err(Malformed::Interleaved),
        };
        if is_command && self.command.len() + length as usize > LONGEST_COMMAND {
            return Err(Malformed::LongCommand);
        }
        self.fragment = Fragment { left: length, is_command, is_last };
        Ok(())
    }

    /// More of the fragment.
    fn body(&mut self, rest: &mut Rest<'_>) -> Result<(), Stopped> {
        let here = rest.0.len().min(self.fragment.left as usize);
        let piece = rest.take(here).map_err(Stopped::Malformed)?;
        self.fragment.left -= u32::try_from(here).unwrap_or(self.fragment.left);
        let Fragment { left, is_command, is_last } = self.fragment;
        // A command set that comes at once, as nearly all of them do, is read where it is.
        let is_whole = left == 0 && is_last && self.command.is_empty();
        if is_command && !is_whole {
            self.command.extend_from_slice(piece);
        }
        self.end_if_whole(if is_whole { piece } else { &[] })
    }

    /// What the end of a fragment ends, if it has come. `whole`: the command set, if it came at once.
    fn end_if_whole(&mut self, whole: &[u8]) -> Result<(), Stopped> {
        if self.fragment.left > 0 || !self.fragment.is_last {
            return Ok(());
        }
        match self.message {
            Message::Command(context) => {
                self.message = Message::Announced(context);
                let kept = std::mem::take(&mut self.command);
                self.judge(context, if kept.is_empty() { whole } else { &kept })
            }
            Message::Data(_) => {
                self.message = Message::None;
                Ok(())
            }
            Message::None | Message::Announced(_) => Ok(()),
        }
    }

    fn judge(&mut self, context: u8, bytes: &[u8]) -> Result<(), Stopped> {
        let command = Command::read(bytes);
        let misfit = match &command {
            Some(command) => command.misfit(context, self.contexts),
            None => Some(Misfit::unreadable(context, self.contexts)),
        };
        let stops = misfit.is_some() && self.is_bound;
        if self.misfit.is_none() {
            self.misfit = misfit;
        }
        if stops {
            return Err(Stopped::Misfit);
        }
        if command.as_ref().is_none_or(Command::is_request) {
            self.commands.count(command.and_then(|command| command.service()));
        }
        Ok(())
    }
}
