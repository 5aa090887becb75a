//! `cauce breakers`, `cauce limits`, `cauce idempotency`: what tasks of several pipelines share besides
//! pools, and what a person may do about it.

use std::time::Duration;

use cauce_engine::{Command, Reply, rate};
use cauce_local::clock::SystemClock;
use cauce_model::control::{
    BreakerRecord, BreakerSettings, IDEMPOTENCY_LIST, IdempotencyRecord, breaker_item, failed_at,
    idempotency_item, idempotency_name, rate_item,
};
use cauce_model::record::Record;
use cauce_model::{Instant, Item, Json, Key, names};
use cauce_ports::{Clock, Table as _};
use serde_json::json;

use crate::args::{
    BreakerStep, BreakersArgs, IdempotencyArgs, IdempotencyStep, LimitsArgs, LimitsStep, TakeArgs,
};
use crate::context::Context;
use crate::engine::{Actor, accept};
use crate::error::{Exit, Failure};
use crate::output::{Cell, Table, Tone};
use crate::project::ProjectFolder;
use crate::store::{Store, is_here};
use crate::time;

/// What a breaker is at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    fn of(record: &BreakerRecord, now: Instant) -> Self {
        match record.open.as_ref().map(|open| open.until) {
            None => Self::Closed,
            Some(Some(until)) if until <= now => Self::HalfOpen,
            Some(_) => Self::Open,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Closed => Tone::Good,
            Self::Open => Tone::Bad,
            Self::HalfOpen => Tone::Warn,
        }
    }
}

/// `cauce breakers`
pub(crate) fn breakers(args: &BreakersArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.step {
        Some(BreakerStep::Open(args)) => set(&args.name, true, context),
        Some(BreakerStep::Reset(args)) => set(&args.name, false, context),
        None => show_breakers(context),
    }
}

fn set(name: &str, open: bool, context: &Context) -> Result<Exit, Failure> {
    let actor = actor(context)?;
    let told = context.block_on(async {
        let by = Some(actor.by(context).await?);
        let reply = actor.ask(&Command::SetBreaker { breaker: name.to_owned(), open, by }).await?;
        declared(reply, "breakers")
    })?;
    if context.json {
        context.output.json(&told)?;
    } else {
        let word = if open { "open, until it is reset" } else { "closed: its failures are forgotten" };
        context.output.talk(&format!("the breaker '{name}' is {word}"));
    }
    Ok(Exit::Good)
}

/// Whoever carries out a decision about a breaker or a limit. On this machine the store hears of them with
/// the first run; a person may come before it.
fn actor(context: &Context) -> Result<Actor, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    if matches!(actor, Actor::Here(_)) {
        let define = Command::Define(Box::new(folder.project.controls()));
        context.block_on(actor.execute(&define))?;
    }
    Ok(actor)
}

/// What a command about something of cauce.yaml was told; the refusal of a name that nothing has says where the
/// names are.
fn declared(reply: Reply, command: &str) -> Result<Json, Failure> {
    let is_undeclared = matches!(&reply, Reply::Failure { error, .. } if *error == names::UNDECLARED);
    accept(reply).map_err(|failure| match is_undeclared {
        true => failure.help(format!("'cauce {command}' lists them; they are declared in cauce.yaml")),
        false => failure,
    })
}

/// A thing of the project file, with what the store has under its key, where there is a store.
async fn stored(store: Option<&Store>, key: &Key) -> Result<Option<Item>, Failure> {
    match store {
        Some(store) => Ok(store.table().get(key).await?),
        None => Ok(None),
    }
}

fn show_breakers(context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let store = Store::open(context)?;
    let now = SystemClock.now();
    let mut table = Table::new(["BREAKER", "STATE", "FAILURES", "UNTIL", "WHY"]);
    let mut documents = Vec::new();
    for (name, declared) in &folder.project.breakers {
        let item = context.block_on(stored(store.as_ref(), &breaker_item(name.as_str())))?;
        let mut record = match item {
            Some(item) => BreakerRecord::from_item(&item)?,
            None => BreakerRecord::new(declared.settings()),
        };
        if is_here(store.as_ref()) {
            record.settings = declared.settings();
        }
        let state = State::of(&record, now);
        let open = record.open.as_ref();
        let until = open.map(|open| match open.until {
            Some(until) => time::moment(until),
            None => "it is reset".to_owned(),
        });
        let probe = match (open.and_then(|open| open.probe.as_ref()), &store) {
            (Some(probe), Some(store)) => Some(context.block_on(store.holder(&probe.holder))?),
            _ => None,
        };
        table.row([
            name.as_str().into(),
            Cell::new(state.word(), state.tone()),
            failures(&record, now).into(),
            until.unwrap_or_default().into(),
            why_open(&record, probe.as_deref()).into(),
        ]);
        documents.push(json!({
            "breaker": name, "state": state.word(), "settings": record.settings,
            "failures": recent(&record, now), "open": record.open, "probe": probe, "opened": record.opened,
        }));
    }
    finish("breakers", &table, documents, "no breaker is declared in cauce.yaml", context)
}

/// Failures that count at a moment.
fn recent(record: &BreakerRecord, now: Instant) -> usize {
    let BreakerSettings { window_seconds, .. } = record.settings;
    let counts = |mark: &String| failed_at(mark).is_some_and(|at| at.plus_seconds(window_seconds) >= now);
    record.failures.iter().filter(|mark| counts(mark)).count()
}

fn failures(record: &BreakerRecord, now: Instant) -> String {
    let BreakerSettings { threshold, window_seconds, .. } = record.settings;
    format!("{} of {threshold} in {window_seconds} s", recent(record, now))
}

fn why_open(record: &BreakerRecord, probe: Option<&str>) -> String {
    let Some(open) = &record.open else { return String::new() };
    let opened = match (&open.by, &open.reason) {
        (Some(by), _) => format!("{by} opened it"),
        (None, reason) => reason.clone().unwrap_or_default(),
    };
    match probe {
        Some(probe) => format!("{opened}; {probe} tries it out"),
        None => opened,
    }
}

fn finish(
    what: &str,
    table: &Table,
    documents: Vec<Json>,
    nothing: &str,
    context: &Context,
) -> Result<Exit, Failure> {
    if context.json {
        context.output.json(&json!({"schema": 1, what: documents}))?;
    } else if table.is_empty() {
        context.output.talk(nothing);
    } else {
        context.output.table(table)?;
    }
    Ok(Exit::Good)
}

/// `cauce limits`
pub(crate) fn limits(args: &LimitsArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.step {
        Some(LimitsStep::Take(args)) => take(args, context),
        None => show_limits(context),
    }
}

/// Takes tokens, and waits for its turn.
fn take(args: &TakeArgs, context: &Context) -> Result<Exit, Failure> {
    let actor = actor(context)?;
    let command =
        Command::Take { limit: args.name.clone(), tokens: args.tokens, within_seconds: args.timeout };
    let told = context.block_on(async {
        let told = declared(actor.ask(&command).await?, "limits")?;
        let micros = told["wait_micros"].as_u64().unwrap_or_default();
        if !args.no_wait && told["taken"] == true {
            #[expect(
                clippy::disallowed_methods,
                reason = "its turn comes at a time, and nobody tells of it"
            )]
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        Ok::<_, Failure>(told)
    })?;
    if context.json {
        context.output.json(&told)?;
    } else if args.no_wait {
        context.output.line(told["start_at"].as_str().unwrap_or_default())?;
    }
    if told["taken"] == true {
        return Ok(Exit::Good);
    }
    let (name, start) = (&args.name, told["start_at"].as_str().unwrap_or_default());
    context.output.talk(&format!("nothing is taken: the limit '{name}' has its next start at {start}"));
    Ok(Exit::RunFailed)
}

fn show_limits(context: &Context) -> Result<Exit, Failure> {
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let store = Store::open(context)?;
    let now = SystemClock.now();
    let mut table = Table::new(["LIMIT", "RATE", "BURST", "NEXT START", "TAKEN"]);
    let mut documents = Vec::new();
    for (name, declared) in &folder.project.rate_limits {
        let item = context.block_on(stored(store.as_ref(), &rate_item(name.as_str())))?;
        let stored = item.as_ref().and_then(rate::read);
        let settings = stored.as_ref().filter(|_| !is_here(store.as_ref()));
        let settings = settings.map_or(declared.settings(), |found| found.settings);
        let ahead = settings.interval_micros().saturating_mul(i64::from(settings.burst) - 1);
        let next = stored.as_ref().map_or(now, |found| found.idle_at.plus_micros(-ahead).max(now));
        let taken = stored.map_or(0, |found| found.taken);
        let next_words = if next > now { time::moment(next) } else { "now".to_owned() };
        table.row([
            name.as_str().into(),
            format!("{} in {} s", settings.tokens, settings.per_seconds).into(),
            settings.burst.to_string().into(),
            next_words.into(),
            taken.to_string().into(),
        ]);
        documents.push(json!({
            "limit": name, "settings": settings, "next_start": next, "taken": taken,
        }));
    }
    finish("limits", &table, documents, "no rate limit is declared in cauce.yaml", context)
}

/// `cauce idempotency`
pub(crate) fn idempotency(args: &IdempotencyArgs, context: &Context) -> Result<Exit, Failure> {
    match &args.step {
        Some(IdempotencyStep::Show(args)) => show_key(&args.key, context),
        Some(IdempotencyStep::Clear(args)) => clear(&args.key, context),
        None => list(args, context),
    }
}

/// Pipeline, task and key, as they are written on the command line.
fn named(text: &str) -> Result<(&str, &str, &str), Failure> {
    let mut parts = text.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(pipeline), Some(task), Some(key)) if ![pipeline, task, key].contains(&"") => {
            Ok((pipeline, task, key))
        }
        _ => Err(Failure::bad_input(format!("'{text}' names no idempotency key"))
            .help("write PIPELINE/TASK/KEY; 'cauce idempotency' lists them")),
    }
}

/// What a key is at a moment.
async fn state(record: &IdempotencyRecord, store: &Store, now: Instant) -> Result<&'static str, Failure> {
    Ok(match &record.result {
        None if store.is_under_way(&record.holder).await? => "claimed",
        // Who claimed it has ended without a result: the next one runs.
        None => "free",
        Some(result) if now < result.until => "done",
        Some(_) => "over",
    })
}

fn document(name: &str, record: &IdempotencyRecord, state: &str) -> Json {
    json!({
        "key": name, "state": state, "run": record.run, "claimed_at": record.claimed_at,
        "why": record.why, "result": record.result,
    })
}

fn show_key(text: &str, context: &Context) -> Result<Exit, Failure> {
    let (pipeline, task, key) = named(text)?;
    let store = Store::require(context)?;
    let now = SystemClock.now();
    let item = context.block_on(stored(Some(&store), &idempotency_item(pipeline, task, key)))?;
    let Some(item) = item else {
        return Err(Failure::bad_input(format!(
            "no idempotency key '{key}' of task {task} of {pipeline} is known"
        ))
        .help("'cauce idempotency' lists those that are"));
    };
    let record = IdempotencyRecord::from_item(&item)?;
    let state = context.block_on(state(&record, &store, now))?;
    if context.json {
        context.output.json(&document(text, &record, state))?;
        return Ok(Exit::Good);
    }
    let again = record.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    let mut lines =
        vec![format!("{text} was claimed by {} at {}{again}", record.run, time::moment(record.claimed_at))];
    lines.push(match &record.result {
        None if state == "free" => format!(
            "its task ended without a result, so the next request under it runs; 'cauce why {}' says how it ended",
            record.run
        ),
        None => format!("no result yet; 'cauce why {}' says how its task stands", record.run),
        Some(result) => {
            let counts = if now < result.until { "counts until" } else { "counted until" };
            format!("its result of {} {counts} {}", time::moment(result.at), time::moment(result.until))
        }
    });
    if let Some(output) = record.result.as_ref().and_then(|result| result.output.as_ref()) {
        lines.push(format!("output: {}", json!(output)));
    }
    context.output.data(lines.join("\n") + "\n")?;
    Ok(Exit::Good)
}

fn clear(text: &str, context: &Context) -> Result<Exit, Failure> {
    let (pipeline, task, key) = named(text)?;
    let folder = ProjectFolder::around(&context.environment.current_dir, context)?;
    let actor = Actor::open(&folder, context, Box::new(|_, _| {}))?;
    let told = context.block_on(async {
        let by = Some(actor.by(context).await?);
        let (pipeline, task, key) = (pipeline.to_owned(), task.to_owned(), key.to_owned());
        actor.execute(&Command::Forget { pipeline, task, key, by }).await
    })?;
    if context.json {
        context.output.json(&told)?;
    } else {
        context.output.talk(&format!("{text} is forgotten: the next request under it runs"));
    }
    Ok(Exit::Good)
}

fn list(args: &IdempotencyArgs, context: &Context) -> Result<Exit, Failure> {
    let now = SystemClock.now();
    let since = time::since(args.since.as_deref(), now)?;
    let mut table = Table::new(["KEY", "STATE", "RUN", "CLAIMED", "UNTIL"]);
    let mut documents = Vec::new();
    if let Some(store) = Store::open(context)? {
        for item in context.block_on(store.listed(IDEMPOTENCY_LIST, since))? {
            let record = IdempotencyRecord::from_item(&item)?;
            let Some((pipeline, task, key)) = idempotency_name(&item.key) else { continue };
            if args.pipeline.as_deref().is_some_and(|wanted| wanted != pipeline) {
                continue;
            }
            let name = format!("{pipeline}/{task}/{key}");
            let until = record.result.as_ref().map(|result| time::moment(result.until)).unwrap_or_default();
            let state = context.block_on(state(&record, &store, now))?;
            table.row([
                name.as_str().into(),
                state.into(),
                record.run.as_str().into(),
                time::moment(record.claimed_at).into(),
                until.into(),
            ]);
            documents.push(document(&name, &record, state));
        }
    }
    let nothing = format!("no idempotency key was claimed since {}", time::moment(since));
    finish("keys", &table, documents, &nothing, context)
}
