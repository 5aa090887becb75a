//! `cauce sweep`: the sweep, whenever a person or a program wants it.

use cauce_driver::SweepReport;

use crate::context::Context;
use crate::engine::Actor;
use crate::error::{Exit, Failure};
use crate::project::ProjectFolder;

/// Looks once for what nobody told, repairs it, and says what was repaired.
pub(crate) fn sweep(context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    let report = context.block_on(actor.sweep())?;
    if context.json {
        context.output.json(&report)?;
    } else {
        for line in &report.lines {
            context.output.line(line)?;
        }
        context.output.talk(&summary(&report));
    }
    Ok(if report.troubles == 0 { Exit::Good } else { Exit::SystemFailure })
}

/// What was looked at, and what was repaired, by kind.
fn summary(report: &SweepReport) -> String {
    let kinds = [
        (report.due, "due and performed"),
        (report.started, "started"),
        (report.closed, "closed"),
        (report.settled, "settled"),
        (report.gates, "gates asked again"),
        (report.stopped, "stopped"),
        (report.freed, "slots given back"),
        (report.troubles, "in trouble, tried again with the next sweep"),
    ];
    let found: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let runs = if report.runs == 1 { "1 run".to_owned() } else { format!("{} runs", report.runs) };
    let repaired = if found.is_empty() { "nothing to repair".to_owned() } else { found.join(", ") };
    let rest = if report.complete { "" } else { "; there is more to look at: sweep again" };
    format!("looked at {runs}: {repaired}{rest}")
}
