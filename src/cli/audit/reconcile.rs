//! `myelin audit reconcile`: whether the trails of two services agree on the connections between them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::super::{Exit, Format, console, moment};
use super::reads::Reads;
use crate::audit::{Reading, Reconciled, Reconciler, Side, SideSummary, Window};
use crate::report::{Count, Report};

const AFTER: &str = "\
Both sidecars of a connection derive the same id from its TLS session, so what one has on record the other must have.
A connection must be on both sides if its peer proved to be the other side: a SPIFFE ID that ends with the other
trail's service, a name that the other side proved on a connection that both have, or --identity-a and --identity-b.
Connections with others, and without TLS, are only counted. Requests, messages and associations are compared where
both listeners have `phi: true`; bytes are counted inside TLS. `audit verify` says whether each trail is whole.

Exit codes: 0 they agree, 1 they differ, 2 bad command line, 3 a trail cannot be used";

/// Most differences that are printed as text.
const PRINTED: usize = 1000;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// The trail of one side: its directory, or one of its files
    a: PathBuf,
    /// The trail of the other side
    b: PathBuf,
    /// Another trail of side A, as that of a second sidecar of its service; may be repeated
    #[arg(long, value_name = "PATH")]
    also_a: Vec<PathBuf>,
    /// Another trail of side B; may be repeated
    #[arg(long, value_name = "PATH")]
    also_b: Vec<PathBuf>,
    /// A name by which peers know side A, as their records have it; may be repeated
    #[arg(long, value_name = "ID")]
    identity_a: Vec<String>,
    /// A name by which peers know side B; may be repeated
    #[arg(long, value_name = "ID")]
    identity_b: Vec<String>,
    /// Connections that began no earlier: a duration like 7d, a date like 2026-11-01, or a moment like 2026-11-01T18:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment::since)]
    from: Option<OffsetDateTime>,
    /// Connections that began no later: the same; a date is its end
    #[arg(long, value_name = "WHEN", value_parser = moment::until)]
    to: Option<OffsetDateTime>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let Arguments { from, to, .. } = *arguments;
    if from.zip(to).is_some_and(|(from, to)| to <= from) {
        console::error("error: --to is before --from: nothing is between them");
        return Ok(Exit::BadCommand);
    }
    let Arguments { identity_a, identity_b, .. } = arguments;
    let mut reconciler = Reconciler::new(Window { from, to }, [identity_a, identity_b]);
    let mut reading = Reading::default();
    let sides =
        [(Side::A, &arguments.a, &arguments.also_a), (Side::B, &arguments.b, &arguments.also_b)];
    for (side, first, more) in sides {
        for path in std::iter::once(first).chain(more) {
            if let Err(problem) = read(&mut reconciler, &mut reading, side, path) {
                warn(&reading);
                console::error(&format!("error: {problem}"));
                return Ok(Exit::BadConfig);
            }
        }
    }
    let reconciled = match reconciler.finish() {
        Ok(reconciled) => reconciled,
        Err(error) => {
            console::error(&format!("error: {}", Report(&error)));
            return Ok(Exit::BadConfig);
        }
    };
    match arguments.format {
        Format::Json => console::line(&serde_json::to_string_pretty(&reconciled)?),
        Format::Text => console::print(&text(&reconciled)),
    }
    Ok(exit(&reading, &reconciled))
}

/// Gives all records of one trail.
fn read(
    reconciler: &mut Reconciler,
    reading: &mut Reading,
    side: Side,
    path: &Path,
) -> Result<(), String> {
    reconciler.begin(side);
    let (wanted, before) = (reconciler.wanted(), reading.records);
    let mut each = |_line: &[u8], recorded| -> ControlFlow<()> { reconciler.take(side, &recorded) };
    let reads = Reads::begin(&[path.to_owned()], "audit reconcile", &[]);
    let searched = reading.search(path, wanted, &mut each);
    reads.finish(reading.records - before);
    searched.map_err(|error| Report(&error).to_string())?;
    if reading.records == before {
        return Err(format!(
            "{}: there is no record in it, so nothing can be said",
            path.display()
        ));
    }
    Ok(())
}

/// Tells of lines that are no records.
fn warn(reading: &Reading) {
    for told in &reading.told {
        console::error(&format!("warning: {told}; passed over"));
    }
}

/// An answer from a trail with holes in it is none.
fn exit(reading: &Reading, reconciled: &Reconciled) -> Exit {
    warn(reading);
    if reading.broken > 0 {
        console::error(&format!(
            "error: {} passed over, so a record may be there that seems to be missing: `myelin audit verify` says more",
            Count(reading.broken, "line")
        ));
        return Exit::BadConfig;
    }
    if reconciled.differences.is_empty() { Exit::Fine } else { Exit::Failed }
}

fn text(reconciled: &Reconciled) -> String {
    let Reconciled { joined, open, broken_off, within, skew_ms, differences, .. } = reconciled;
    let mut lines = vec![side("A", &reconciled.a), side("B", &reconciled.b)];
    lines.push(format!(
        "both: {}, {open} of them not over yet, {broken_off} broken off with bytes on the way",
        Count(*joined, "connection")
    ));
    if *within > 0 {
        lines.push(format!("{} with both ends on one side", Count(*within, "connection")));
    }
    lines.push(clocks(*skew_ms));
    for difference in differences.iter().take(PRINTED) {
        let at = moment::shown(difference.at);
        let (connection, sequence) = (&difference.connection, difference.sequence);
        let (side, has) = match difference.side {
            Side::A => ("A", "B"),
            Side::B => ("B", "A"),
        };
        lines.push(format!(
            "{side} lacks {}: connection {connection} of {at} (record {sequence} in {has}) {}",
            lacks(difference.lacks),
            difference.text
        ));
    }
    let more = differences.len().saturating_sub(PRINTED);
    if more > 0 {
        lines.push(format!("{more} more; --format json has all"));
    }
    lines.push(match (differences.len(), joined) {
        (0, 0) => "they agree, for they have nothing in common".to_owned(),
        (0, _) => "they agree".to_owned(),
        (differences, _) => Count(differences as u64, "difference").to_string(),
    });
    lines.join("\n") + "\n"
}

fn lacks(lack: crate::audit::Lack) -> &'static str {
    use crate::audit::Lack;
    match lack {
        Lack::Connection => "a connection",
        Lack::Beginning => "a beginning",
        Lack::End => "an end",
        Lack::Exchanges => "exchanges",
        Lack::Bytes => "bytes",
    }
}

fn side(name: &str, summary: &SideSummary) -> String {
    let SideSummary { services, identities, connections, with_others, out_of_reach, refused } =
        summary;
    let known_as = if identities.is_empty() {
        "not known to the other side".to_owned()
    } else {
        format!("known as {}", identities.join(", "))
    };
    format!(
        "{name}: {}, {known_as}: {} over TLS, {with_others} with others, {out_of_reach} when the other trail does not \
         reach so far, {refused} refused there",
        services.join(", "),
        Count(*connections, "connection"),
    )
}

/// IHE Consistent Time keeps clocks within a second.
fn clocks(skew_ms: Option<i64>) -> String {
    let Some(skew) = skew_ms else {
        return "clocks: not compared, for no connection is on both sides".to_owned();
    };
    let warning =
        if skew.unsigned_abs() >= 1000 { "; warning: more than a second, mend NTP" } else { "" };
    let which = if skew < 0 { "behind" } else { "ahead of" };
    format!("clocks: B's is {} ms {which} A's (median){warning}", skew.unsigned_abs())
}
