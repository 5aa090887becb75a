//! `cauce logs`: what a task printed, as it is or as it grows: a file here, a log stream there.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cauce_model::RunRef;
use cauce_model::record::TaskRecord;

use crate::args::LogsArgs;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::store::{Engine, RunView, Store};

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Bytes copied at a time: a log of a gigabyte takes no more memory than this.
const CHUNK_BYTES: usize = 64 * 1024;

/// A log, and whether more may be written to it.
struct Log {
    path: PathBuf,
    is_growing: bool,
    attempt: u32,
    /// What is known of the attempt's end.
    message: Option<String>,
}

pub(crate) fn logs(args: &LogsArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(there) = context.there()? {
        return super::logs_there::logs(args, &there, context);
    }
    let store = Store::require(context)?;
    let run = context.block_on(async { Ok(store.find(&args.run).await?.run) })?;
    let mut chosen = find(&store, &run, args, context)?;
    if args.follow {
        while chosen.is_none() && may_start(&store, &run, args, context)? {
            std::thread::sleep(LOOK_EVERY);
            chosen = find(&store, &run, args, context)?;
        }
    }
    let Some(mut log) = chosen else { return Err(none(&store, &run, args, context)?) };
    let Some(mut file) = open(&log.path)? else {
        let ended = log.message.map(|message| format!(": {message}")).unwrap_or_default();
        return Err(Failure::bad_input(format!("there is no log of attempt {}{ended}", log.attempt)).help(
            format!(
                "if its program started, {} was removed since; 'cauce show' tells how the attempt ended",
                log.path.display()
            ),
        ));
    };
    loop {
        // Whether it may still grow is asked before the rest is read, so that nothing is missed.
        if args.follow && log.is_growing {
            log.is_growing =
                find(&store, &run, args, context)?.is_some_and(|now| now.is_growing && now.path == log.path);
        }
        copy(&mut file, &log.path, context)?;
        if !(args.follow && log.is_growing) {
            return Ok(Exit::Good);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Writes everything that has been added since the last time.
fn copy(file: &mut File, path: &Path, context: &Context) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => context.output.data(&chunk[..read])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::file("read", path, &error)),
        }
    }
}

fn open(path: &Path) -> Result<Option<File>, Failure> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("open", path, &error)),
    }
}

fn view(store: &Store, run: &RunRef, context: &Context) -> Result<RunView, Failure> {
    context.block_on(async { store.view(store.run(run).await?).await })
}

pub(super) fn record<'a>(view: &'a RunView, args: &LogsArgs) -> Result<Option<&'a TaskRecord>, Failure> {
    let (_, plan) = view.task(&args.task)?;
    match (args.item, &plan.map) {
        (Some(item), Some(_)) => {
            let items = view.items.get(&args.task).map(Vec::as_slice).unwrap_or_default();
            Ok(items.iter().find(|record| record.index == Some(item)))
        }
        (Some(_), None) => {
            Err(Failure::bad_input(format!("{} is not mapped, so it has no items", args.task))
                .help("leave --item out"))
        }
        (None, Some(_)) => {
            let count = view.items.get(&args.task).map_or(0, Vec::len);
            if count == 0 {
                return Ok(view.tasks.get(&args.task));
            }
            Err(Failure::bad_input(format!("{} is mapped: each of its {count} items has a log", args.task))
                .help("name one with --item N, from 0"))
        }
        (None, None) => Ok(view.tasks.get(&args.task)),
    }
}

/// The log that was asked for, if it has been begun.
fn find(store: &Store, run: &RunRef, args: &LogsArgs, context: &Context) -> Result<Option<Log>, Failure> {
    let view = view(store, run, context)?;
    let Some(record) = record(&view, args)? else { return Ok(None) };
    let attempt = match args.attempt {
        None => record.attempts.last(),
        Some(number) => record.attempts.iter().find(|attempt| attempt.number == number),
    };
    let Some(attempt) = attempt else { return Ok(None) };
    let Some(log) = &attempt.log else { return Ok(None) };
    let path = PathBuf::from(store.log_place(log));
    let is_driven = view.engine != Engine::Nobody;
    let exists = path.exists();
    let is_growing = is_driven && attempt.ended_at.is_none();
    let (number, message) = (attempt.number, attempt.message.clone());
    Ok((exists || !is_growing).then_some(Log { path, is_growing, attempt: number, message }))
}

/// Whether the attempt that is waited for can still come.
fn may_start(store: &Store, run: &RunRef, args: &LogsArgs, context: &Context) -> Result<bool, Failure> {
    let view = view(store, run, context)?;
    let record = record(&view, args)?;
    let ended = record.is_some_and(|r| r.generation == view.run.generation && r.status.is_terminal());
    Ok(view.engine != Engine::Nobody && !ended)
}

fn none(store: &Store, run: &RunRef, args: &LogsArgs, context: &Context) -> Result<Failure, Failure> {
    no_log(&view(store, run, context)?, args)
}

/// Why there is no log.
pub(super) fn no_log(view: &RunView, args: &LogsArgs) -> Result<Failure, Failure> {
    let (run, env) = (&view.run.run, &view.env_option);
    let (index, plan) = view.task(&args.task)?;
    let record = record(view, args)?;
    let name = match args.item {
        Some(item) => format!("{}[{item}]", args.task),
        None => args.task.clone(),
    };
    Ok(match (args.attempt, record) {
        (Some(number), Some(record)) if !record.attempts.is_empty() => {
            let made: Vec<String> =
                record.attempts.iter().map(|attempt| attempt.number.to_string()).collect();
            Failure::bad_input(format!("{name} of {run} has no attempt {number}")).help(
                match made.as_slice() {
                    [only] => format!("its only attempt is {only}"),
                    _ => format!("its attempts are {}", made.join(", ")),
                },
            )
        }
        _ if plan.kind.machine() != Some("container") => {
            Failure::bad_input(format!("{name} starts no program, so it has no log"))
                .help(format!("'cauce why {run} {}{env}' tells what came of it", args.task))
        }
        (_, record) => {
            let items = view.tasks.get(&args.task).and_then(|task| task.item_count);
            if let (Some(item), Some(items), None) = (args.item, items, record)
                && item >= items
            {
                let failure = Failure::bad_input(format!("{} of {run} has no item {item}", args.task));
                return Ok(failure.help(match items {
                    0 => "it has none".to_owned(),
                    1 => "its only item is 0".to_owned(),
                    _ => format!("its items are 0 to {}", items - 1),
                }));
            }
            let how = match record.filter(|record| record.index.is_some()) {
                Some(item) => format!("is {}", item.status),
                None if view.did_not_run(index) => "did not run".to_owned(),
                None => format!("is {}", view.status_of(index)),
            };
            Failure::bad_input(format!("{name} of {run} has not printed anything: it {how}"))
                .help(format!("'cauce why {run} {}{env}' tells why", args.task))
        }
    })
}
