//! Deployments of others at the same time: kept apart on one machine by a lock of ours, elsewhere by that of
//! Terraform's state, whose words are put into ours.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::Failure;

/// What Terraform says when the state is locked, and when a plan was made before somebody else's apply.
/// <https://developer.hashicorp.com/terraform/language/state/locking>
/// <https://developer.hashicorp.com/terraform/cli/commands/apply#saved-plan-mode>
const LOCKED: &str = "Error acquiring the state lock";
const STALE: &str = "Saved plan is stale";

/// Held while this process deploys from a working tree.
#[derive(Debug)]
pub(super) struct Turn {
    /// Ends with the process, however that ends.
    _file: File,
}

/// Takes the turn of a working tree and environment: two deployments would build into one folder.
///
/// # Errors
/// Another process has it; the file cannot be made.
pub(super) fn turn(file: &Path, env: &str) -> Result<Turn, Failure> {
    let failed = |error: std::io::Error| Failure::file("create", file, &error);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let opened = File::options().create(true).truncate(false).write(true).open(file).map_err(failed)?;
    match opened.try_lock() {
        Ok(()) => Ok(Turn { _file: opened }),
        Err(TryLockError::WouldBlock) => Err(Failure::system(format!(
            "another 'cauce deploy' to '{env}' is under way from this working tree"
        ))
        .help("wait for its end and deploy again")),
        Err(TryLockError::Error(error)) => Err(Failure::file("lock", file, &error)),
    }
}

/// What Terraform said, when it was about somebody else's deployment.
pub(super) fn problem(said: &str) -> Option<Failure> {
    let said = &plain(said);
    if said.contains(LOCKED) {
        let of = |field: &str| {
            let lines = said.lines().map(|line| line.trim_start_matches(['│', ' ']));
            lines.filter_map(|line| line.strip_prefix(field)).map(str::trim).find(|value| !value.is_empty())
        };
        let who = of("Who:").map(|who| format!(" by {who}")).unwrap_or_default();
        let since = of("Created:").map(|since| format!(" since {since}")).unwrap_or_default();
        let id = of("ID:").unwrap_or("<the ID above>");
        return Some(
            Failure::system(format!(
                "another deployment is under way: the state is locked{who}{since}; nothing was changed"
            ))
            .help(format!(
                "wait for its end and deploy again, or let --lock-timeout 10m wait; if it was killed and nobody \
                 deploys, 'terraform force-unlock {id}' in the root module takes its lock away"
            )),
        );
    }
    said.contains(STALE).then(|| {
        Failure::system("somebody else deployed after this plan was made; nothing of it was applied")
            .help("deploy again: the next plan begins where they ended")
    })
}

/// A text without the colours of a terminal: `ESC [ ... m`.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').map_or(piece, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_state_names_who_has_it_and_how_to_take_it_away() {
        let said = "╷\n│ Error: Error acquiring the state lock\n│ \n│ Lock Info:\n│   ID:        5f-6\n\
                    │   Path:      state/dev\n│   Who:       ana@laptop\n│   Created:   2026-01-05 10:00:00 UTC\n╵\n";
        let found = problem(said).unwrap();
        assert!(found.message.contains("by ana@laptop since 2026-01-05 10:00:00 UTC"), "{}", found.message);
        assert!(found.help.is_some_and(|help| help.contains("force-unlock 5f-6")));
        let coloured = said.replace('│', "\u{1b}[31m│\u{1b}[0m \u{1b}[0m");
        assert_eq!(problem(&coloured).unwrap().message, found.message);
        assert!(problem("Error: Error acquiring the state lock").is_some());
        assert!(problem("Error: Saved plan is stale").unwrap().message.contains("somebody else"));
        assert!(problem("Error: no such file").is_none());
    }

    #[test]
    fn a_turn_is_one_process_and_ends_with_it() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("build/dev.lock");
        let first = turn(&file, "dev").unwrap();
        assert!(turn(&file, "dev").unwrap_err().message.contains("under way from this working tree"));
        assert!(turn(&temp.path().join("build/prod.lock"), "prod").is_ok());
        drop(first);
        assert!(turn(&file, "dev").is_ok());
    }
}
