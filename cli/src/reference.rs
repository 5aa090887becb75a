//! `docs/reference/cli.md` is what the program says of itself; this test holds it to that.

use std::fmt::Write;
use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;

fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = String::from(
        "# The command line\n\nGenerated from `cli/src/args.rs`. Data goes to standard output, talk to standard error. \
         The exit code is 0 when all is well, 1 when the run failed, 2 for bad input, 3 when the system failed, 130 \
         when interrupted.\n\nA run is named `pipeline/run_id`, `pipeline/@latest`, or by a run id that only one \
         pipeline has.\n\n## Options of every command\n\n",
    );
    options(&root, true, &mut out);
    for command in root.get_subcommands() {
        describe(command, "cauce", &mut out);
    }
    out
}

fn describe(command: &clap::Command, parent: &str, out: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    // A group whose subcommand has to be named is no command of its own.
    if !command.is_subcommand_required_set() {
        describe_itself(command, &name, out);
    }
    for below in command.get_subcommands() {
        describe(below, &name, out);
    }
}

fn describe_itself(command: &clap::Command, name: &str, out: &mut String) {
    let _ = write!(out, "\n## {name}\n\n{}\n", text(command.get_about()));
    let mut usage = String::from(name);
    for argument in command.get_positionals() {
        let _ = write!(usage, " {argument}");
    }
    let has_options = named(command).any(|option| !option.is_global_set());
    let options_word = if has_options { " [OPTIONS]" } else { "" };
    let _ = write!(out, "\n```\n{usage}{options_word}\n```\n\n");
    for argument in command.get_positionals() {
        let _ = writeln!(out, "- `{argument}`: {}{}", text(argument.get_help()), values(argument));
    }
    options(command, false, out);
}

fn options(command: &clap::Command, global: bool, out: &mut String) {
    for option in named(command).filter(|option| option.is_global_set() == global) {
        let default: Vec<_> =
            option.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let takes_value = option.get_action().takes_values();
        let default = match default.join(", ") {
            text if text.is_empty() || !takes_value => String::new(),
            text => format!(" Default: {text}."),
        };
        let _ = writeln!(out, "- `{option}`: {}{}{default}", text(option.get_help()), values(option));
    }
}

/// Everything that begins with a dash: options with a value, and flags.
fn named(command: &clap::Command) -> impl Iterator<Item = &clap::Arg> {
    let own = |argument: &&clap::Arg| !matches!(argument.get_id().as_str(), "help" | "version");
    command.get_arguments().filter(|argument| !argument.is_positional()).filter(own)
}

fn values(argument: &clap::Arg) -> String {
    let values: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if values.is_empty() || !argument.get_action().takes_values() {
        return String::new();
    }
    format!(" One of {}.", values.join(", "))
}

fn text(help: Option<&clap::builder::StyledStr>) -> String {
    let text = help.map(ToString::to_string).unwrap_or_default();
    if text.ends_with(['.', ']']) { text } else { format!("{text}.") }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "blessing is asked for in the environment")]
fn the_reference_says_what_the_program_takes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let page = page();
    if std::env::var_os("CAUCE_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/reference/cli.md is stale; run this test with CAUCE_BLESS=1");
}
