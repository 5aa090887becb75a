//! The command line: `cauce`.
//!
//! What this is: arguments to calls, answers to words and exit codes. Pipelines are checked by
//! `cauce-spec`, compiled by `cauce-compiler`, run by `cauce-host`; here they are only brought
//! together with files and people.
//! What it never does: decide about a run, read an environment variable outside this file, link the
//! data engine of the worker or the functions of AWS.
//! Where to start reading: [`args`], what can be asked; [`dispatch`], who answers; [`project`], how
//! files become pipelines; [`engine`], how they are run.

mod args;

mod context;

mod error;

mod last_word;

mod output;

mod project;

mod store;

mod place;

mod there;

mod commands;

mod datasets;

mod progress;

mod suggest;

mod time;

#[cfg(test)]
mod reference;

mod engine;

use std::process::ExitCode;

use clap::Parser;

use args::{AslCommand, Cli, Command, DoctorArgs};
use context::{Context, Environment};
use error::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Good };
            // A closed stream leaves nobody to tell.
            let _ = error.print();
            return exit.into();
        }
    };
    let context = Context::new(environment(), &cli.global);
    match dispatch(&cli.command, &context) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            context.output.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Reads the environment: the only place that does.
#[expect(clippy::disallowed_methods, reason = "the environment is read here and handed on")]
fn environment() -> Environment {
    use std::env;
    Environment {
        no_colour: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
        term: env::var("TERM").ok(),
        home: env::var_os("HOME").map(Into::into),
        path: env::var_os("PATH"),
        lang: env::var("LANG").ok(),
        tz: env::var("TZ").ok(),
        user: env::var("USER").ok(),
        notify_socket: env::var_os("NOTIFY_SOCKET"),
        aws: env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect(),
        // A folder that was removed has no name: paths then stay as they were written.
        current_dir: env::current_dir().unwrap_or_default(),
        executable: env::current_exe().ok(),
    }
}

fn dispatch(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => commands::init::init(args, context),
        Command::Check(args) => commands::check::check(args, context),
        Command::Schedule(args) => commands::schedule::schedule(args, context),
        Command::Build(args) => commands::build::build(args, context),
        Command::Graph(args) => commands::graph::graph(args, context),
        Command::Docs(args) => commands::docs::docs(args, context),
        Command::Schema(args) => commands::build::schema(args, context),
        Command::Run(args) => engine::run(args, context),
        Command::Up(args) => engine::up(args, context),
        Command::Trigger(args) => engine::trigger(args, context),
        Command::Backfill(args) => engine::backfill(args, context),
        Command::List(args) => commands::runs::list(args, context),
        Command::Runs(args) => commands::runs::runs(args, context),
        Command::Show(args) => commands::show::show(args, context),
        Command::Logs(args) => commands::logs::logs(args, context),
        Command::Resume(args) => engine::resume(args, context),
        Command::Rerun(args) => engine::rerun(args, context),
        Command::Cancel(args) => engine::cancel(args, context),
        Command::Mark(args) => engine::mark(args, context),
        Command::Approve(args) => engine::answer(args, true, context),
        Command::Reject(args) => engine::answer(args, false, context),
        Command::Pause(args) => commands::pause::pause(args, true, context),
        Command::Canary(args) => commands::canary::canary(args, context),
        Command::Unpause(args) => commands::pause::pause(args, false, context),
        Command::Sync(args) => commands::sync::sync(args, context),
        Command::Why(args) => commands::why::why(args, context),
        Command::Pools(args) => commands::pools::pools(args, context),
        Command::Breakers(args) => commands::controls::breakers(args, context),
        Command::Limits(args) => commands::controls::limits(args, context),
        Command::Sweep => commands::sweep::sweep(context),
        Command::Idempotency(args) => commands::controls::idempotency(args, context),
        Command::Triggers(args) => commands::triggers::triggers(args, context),
        Command::Datasets(args) => commands::datasets::datasets(args, context),
        Command::Audit(args) => commands::audit::audit(args, context),
        Command::Cost(args) => commands::cost::cost(args, context),
        Command::Report(args) => commands::report::report(args, context),
        Command::Deploy(args) => commands::deploy::deploy(args, context),
        Command::Doctor(DoctorArgs {}) => commands::doctor::doctor(context),
        Command::Explain(args) => commands::explain::explain(args, context),
        Command::Simulate(args) => engine::simulate(args, context),
        Command::Asl(AslCommand::Run(args)) => commands::asl::run(args, context),
        Command::Asl(AslCommand::Check(args)) => commands::asl::check(args, context),
        Command::Asl(AslCommand::TestState(args)) => commands::asl::test_state(args, context),
        Command::Asl(AslCommand::Later(words)) | Command::Later(words) => Err(commands::later::refuse(words)),
    }
}
