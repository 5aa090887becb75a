//! `cauce logs --env`: what a task of a deployed environment printed, from CloudWatch Logs.
//!
//! The stream of an attempt that ended is in its record. That of one under way is named after its ECS
//! task, which is found by our tags.

use std::time::Duration;

use cauce_aws::logs::LogsError;
use cauce_model::RunRef;
use cauce_model::plan::TaskKind;
use cauce_ports::{Compute, Services};

use super::logs::{no_log, record};
use crate::args::LogsArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::store::{RunView, Store};
use crate::there::There;

/// How often a log that is followed is looked at. GetLogEvents takes 10 calls a second for a whole
/// account and region.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Lines read at a time.
const PAGE: u32 = 10_000;

/// A stream, and whether more may be written to it.
struct Stream {
    name: String,
    is_growing: bool,
}

/// What is known of an attempt's log.
enum Found {
    /// It is, or was, written.
    Stream(Stream),
    /// Its attempt has not started, or not got as far as a log.
    NotYet,
    /// There will be none.
    None,
}

pub(super) fn logs(args: &LogsArgs, there: &There, context: &Context) -> Result<Exit, Failure> {
    let store = Store::require(context)?;
    context.block_on(async {
        let run = store.find(&args.run).await?.run;
        let mut interval = tokio::time::interval(LOOK_EVERY);
        let mut reader = Reader::new(there, &run.pipeline);
        loop {
            interval.tick().await;
            // Whether it may still grow is asked before the rest is read, so that nothing is missed.
            let view = store.view(store.run(&run).await?).await?;
            match find(&view, args, there).await? {
                Found::Stream(stream) => {
                    let any = reader.copy(&stream.name, context).await?;
                    if args.follow && stream.is_growing {
                        continue;
                    }
                    return match (any, stream.is_growing) {
                        (true, _) => Ok(Exit::Good),
                        (false, true) => Err(nothing_yet(&view.run.run, &stream, &reader.group, args)),
                        (false, false) => {
                            context.output.talk(&format!(
                                "{} of {run} printed nothing: its log stream '{}' in the group '{}' is empty, or was not kept",
                                args.task, stream.name, reader.group
                            ));
                            Ok(Exit::Good)
                        }
                    };
                }
                Found::NotYet if args.follow => {}
                Found::NotYet | Found::None => return Err(no_log(&view, args)?),
            }
        }
    })
}

fn nothing_yet(run: &RunRef, stream: &Stream, group: &str, args: &LogsArgs) -> Failure {
    Failure::bad_input(format!("{} of {run} has not printed anything yet", args.task)).help(format!(
        "its log stream would be '{}' in the group '{group}'; --follow waits for it",
        stream.name
    ))
}

/// The stream that was asked for.
async fn find(view: &RunView, args: &LogsArgs, there: &There) -> Result<Found, Failure> {
    let (_, plan) = view.task(&args.task)?;
    let TaskKind::Container(container) = &plan.kind else { return Ok(Found::None) };
    let Some(record) = record(view, args)? else {
        return Ok(if view.run.status.is_terminal() { Found::None } else { Found::NotYet });
    };
    let attempt = match args.attempt {
        None => record.attempts.last(),
        Some(number) => record.attempts.iter().find(|attempt| attempt.number == number),
    };
    let over = view.run.status.is_terminal()
        || (record.generation == view.run.generation && record.status.is_terminal());
    let Some(attempt) = attempt else { return Ok(if over { Found::None } else { Found::NotYet }) };
    if attempt.ended_at.is_some() {
        // A name that is no stream's: the attempt ended before ECS had made a task of it.
        let log = attempt.log.as_ref().filter(|log| is_stream(log, &container.task_definition));
        return Ok(match log {
            Some(name) => Found::Stream(Stream { name: name.clone(), is_growing: false }),
            None => Found::None,
        });
    }
    let running = there.adapters().compute().find(&view.run.key()).await.map_err(|error| {
        Failure::from_error(&error).help("finding a task under way needs ecs:ListTasks and ecs:DescribeTasks")
    })?;
    let id = running
        .iter()
        .find(|task| task.task == args.task && task.index == record.index && task.attempt == attempt.number)
        .and_then(|task| task.id.rsplit('/').next().map(str::to_owned));
    Ok(match id {
        Some(id) => {
            let name = cauce_model::ids::log_stream(&container.task_definition, &id);
            Found::Stream(Stream { name, is_growing: true })
        }
        None if over => Found::None,
        None => Found::NotYet,
    })
}

fn is_stream(log: &str, family: &str) -> bool {
    log.strip_prefix(family).is_some_and(|rest| rest.starts_with('/') && !log.ends_with(".log"))
}

/// Where a pipeline's log group has been read to.
struct Reader {
    logs: cauce_aws::logs::Logs,
    group: String,
    after: Option<String>,
    any: bool,
}

impl Reader {
    fn new(there: &There, pipeline: &str) -> Self {
        let group = format!("{}/{pipeline}", there.names().logs);
        Self { logs: there.adapters().logs(), group, after: None, any: false }
    }

    /// Writes everything that has been added since the last time; whether anything ever was.
    async fn copy(&mut self, stream: &str, context: &Context) -> Result<bool, Failure> {
        loop {
            match self.logs.read(&self.group, stream, self.after.as_deref(), PAGE).await {
                Ok(page) => {
                    for event in page.events {
                        self.any = true;
                        context.output.line(&event.text)?;
                    }
                    self.after = Some(page.next);
                    if page.at_end {
                        return Ok(self.any);
                    }
                }
                Err(LogsError::NoLog { .. }) => return Ok(self.any),
                Err(error) => {
                    return Err(Failure::from_error(&error)
                        .help("reading logs needs logs:GetLogEvents on the groups of the environment"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_local_file_is_no_stream() {
        assert!(is_stream("shop-load/task/0a1b", "shop-load"));
        assert!(!is_stream("shop/2026-01-05/load/1.log", "shop"));
        assert!(!is_stream("other/task/0a1b", "shop-load"));
    }
}
