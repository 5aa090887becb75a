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
mod output;
mod suggest;

mod project;

mod commands;

mod engine;

use std::process::ExitCode;

use clap::Parser;

use args::{AslCommand, Cli, Command};
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
        // A folder that was removed has no name: paths then stay as they were written.
        current_dir: env::current_dir().unwrap_or_default(),
        executable: env::current_exe().ok(),
    }
}

fn dispatch(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => engine::run(args, context),
        Command::Backfill(args) => engine::backfill(args, context),
        Command::Resume(args) => engine::resume(args, context),
        Command::Rerun(args) => engine::rerun(args, context),
        Command::Cancel(args) => engine::cancel(args, context),
        Command::Mark(args) => engine::mark(args, context),
        Command::Simulate(args) => engine::simulate(args, context),
        Command::Later(words) => Err(commands::later::refuse(words)),
        _ => Err(Failure::system("under construction")),
    }
}
