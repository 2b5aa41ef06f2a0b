//! `myelin status --watch`: the same page again and again, on a terminal's other screen; elsewhere, a line each time.

use std::io::{self, Write as _};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use futures_util::StreamExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::page::{Page, cut, summary};
use super::{Seen, is_colour_refused};
use crate::cli::control::{Door, Failure};
use crate::cli::{Exit, console};
use crate::report::Report;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Shows it until somebody has seen enough.
pub(super) async fn watch(door: &Door) -> anyhow::Result<Exit> {
    let mut ends = Ends {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    };
    let mut looks = interval(PAUSE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if console::is_terminal() {
        on_terminal(door, &mut ends, &mut looks).await?;
    } else {
        in_lines(door, &mut ends, &mut looks).await;
    }
    Ok(Exit::Fine)
}

struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    async fn came(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What was seen at the last two looks.
#[derive(Default)]
struct Looks {
    before: Option<Seen>,
    last: Option<Seen>,
    /// Why there was no answer at the last.
    failure: Option<String>,
}

impl Looks {
    fn take(&mut self, seen: Result<Seen, Failure>) {
        match seen {
            Ok(seen) => {
                self.before = self.last.replace(seen);
                self.failure = None;
            }
            Err(failure) => {
                self.failure = Some(console::harmless(&Report(&failure).to_string(), ""))
            }
        }
    }

    fn lines(&self, page: Page) -> Vec<String> {
        let failure = self.failure.iter().map(|why| page.alarm(&format!("no answer: {why}")));
        let shown = self.last.iter().flat_map(|last| {
            let before = self.before.as_ref().unwrap_or(last);
            page.lines(last, &before.counters)
        });
        failure.chain(shown).collect()
    }
}

async fn on_terminal(door: &Door, ends: &mut Ends, looks: &mut Interval) -> anyhow::Result<()> {
    let page = Page { is_coloured: !is_colour_refused() };
    let screen = Screen::enter()?;
    let (mut seen, mut typed) = (Looks::default(), EventStream::new());
    // Kept beside the keys: without it a sidecar that does not answer would keep us from hearing them.
    let mut looking = Box::pin(look(door, looks));
    loop {
        tokio::select! {
            () = ends.came() => break,
            event = typed.next() => match event {
                Some(Ok(event)) if is_end(&event) => break,
                Some(Ok(Event::Resize(..))) => {}
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => break, // the terminal has gone
            },
            (looked, looks) = &mut looking => {
                seen.take(looked);
                looking.set(look(door, looks));
            }
        }
        screen.draw(&seen.lines(page))?;
    }
    Ok(())
}

/// The next look, when it is time; hands back what knows when the one after is.
async fn look<'a>(
    door: &Door,
    looks: &'a mut Interval,
) -> (Result<Seen, Failure>, &'a mut Interval) {
    looks.tick().await;
    (Seen::look(door).await, looks)
}

fn is_end(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return false;
    };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

async fn in_lines(door: &Door, ends: &mut Ends, looks: &mut Interval) {
    let mut seen = Looks::default();
    loop {
        tokio::select! {
            () = ends.came() => return,
            _ = looks.tick() => {}
        }
        if !console::is_read() {
            return;
        }
        tokio::select! {
            () = ends.came() => return,
            looked = Seen::look(door) => seen.take(looked),
        }
        console::line(&match (&seen.failure, &seen.last) {
            (Some(why), _) => format!("no answer: {why}"),
            (None, Some(last)) => summary(last, &seen.before.as_ref().unwrap_or(last).counters),
            (None, None) => continue,
        });
    }
}

/// The terminal's other screen. The first one comes back however this ends.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws over what was there, in one step where the terminal knows how: nothing flickers.
    fn draw(&self, lines: &[String]) -> io::Result<()> {
        let (columns, rows) = size()?;
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        let mut out = io::stdout().lock();
        queue!(out, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for (place, line) in lines.iter().take(rows).enumerate() {
            let line = if place + 1 == rows && lines.len() > rows {
                format!("… {} more lines: make the window larger", lines.len() - rows + 1)
            } else {
                line.clone()
            };
            let line_end = if place + 1 < rows { "\r\n" } else { "" };
            queue!(
                out,
                Print(cut(&line, columns)),
                Clear(ClearType::UntilNewLine),
                Print(line_end)
            )?;
        }
        if lines.len() < rows {
            queue!(out, Clear(ClearType::FromCursorDown))?;
        }
        queue!(out, EndSynchronizedUpdate)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn leave() {
    // A terminal that has gone needs nothing back.
    let _gone = execute!(io::stdout(), Show, LeaveAlternateScreen);
    let _gone = disable_raw_mode();
}
