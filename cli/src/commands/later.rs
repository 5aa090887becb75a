//! Commands that are not here: those of later versions, and those that nobody knows.

use std::ffi::OsString;

use crate::args::Cli;
use crate::error::Failure;

/// Commands that this version does not have yet, and what to do instead.
const LATER: [(&str, &str); 1] = [("help", "use 'cauce --help' or 'cauce COMMAND --help'")];

/// Says that a command is not there, and what to do.
pub(crate) fn refuse(words: &[OsString]) -> Failure {
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some((_, instead)) = LATER.iter().find(|(later, _)| *later == name) {
        return Failure::bad_input(format!("'{name}' is not supported yet")).help(*instead);
    }
    let command = <Cli as clap::CommandFactory>::command();
    let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let failure = Failure::bad_input(format!("there is no command '{name}'"));
    match crate::suggest::nearest(&name, known) {
        Some(near) => failure.help(format!("did you mean 'cauce {near}'?")),
        None => failure.help("'cauce --help' lists all commands"),
    }
}
