//! How a command ends, and how a failure reads.

use std::error::Error;

use cauce_ports::with_sources;
use std::path::Path;
use std::process::ExitCode;

/// How the program ends. Scripts rely on these numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// All is well.
    Good,
    /// The run (or the execution) failed, or was cancelled.
    RunFailed,
    /// What was asked cannot be done: arguments, files, names.
    BadInput,
    /// The machine or the store failed: nothing is wrong with what was asked.
    SystemFailure,
    /// A signal ended it; what was under way can be resumed.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::RunFailed => 1,
            Self::BadInput => 2,
            Self::SystemFailure => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what was asked: one sentence, and a way out where there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What is wrong, as a lowercase phrase. Empty when it has been told already (diagnostics), or
    /// when nobody listens any more (a closed pipe).
    pub(crate) message: String,
    /// How to fix it.
    pub(crate) help: Option<String>,
}

impl Failure {
    /// What was asked cannot be done.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self { exit: Exit::BadInput, message: message.into(), help: None }
    }

    /// The machine or the store failed.
    pub(crate) fn system(message: impl Into<String>) -> Self {
        Self { exit: Exit::SystemFailure, message: message.into(), help: None }
    }

    /// Everything has been said.
    pub(crate) const fn told(exit: Exit) -> Self {
        Self { exit, message: String::new(), help: None }
    }

    /// Adds a way out.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A file that cannot be read or written: `attempted` is a verb such as `read`. Absent files and
    /// folders in their place are the caller's mistake, a full or broken disk is not.
    pub(crate) fn file(attempted: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let path = path.display();
        match error.kind() {
            ErrorKind::NotFound => Self::bad_input(format!("{path} does not exist")),
            ErrorKind::IsADirectory => Self::bad_input(format!("{path} is a folder, not a file")),
            ErrorKind::PermissionDenied => {
                Self::bad_input(format!("no permission to {attempted} {path}")).help("change its permissions")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Self::system(format!("could not {attempted} {path}: the disk is full"))
                    .help("make room and try again")
            }
            _ => Self::system(format!("could not {attempted} {path}: {error}")),
        }
    }

    /// A failure of the store or the machine that says itself what happened.
    pub(crate) fn from_error(error: &dyn Error) -> Self {
        Self::system(with_sources(error))
    }
}

impl From<cauce_ports::TableError> for Failure {
    fn from(error: cauce_ports::TableError) -> Self {
        let failure = Self::from_error(&error);
        match error {
            // Another version, or another folder, is a choice of the caller's.
            cauce_ports::TableError::NewerFormat(_) => Self { exit: Exit::BadInput, ..failure },
            _ => failure,
        }
    }
}

impl From<cauce_ports::ObjectError> for Failure {
    fn from(error: cauce_ports::ObjectError) -> Self {
        Self::from_error(&error)
    }
}

impl From<cauce_local::state::StateError> for Failure {
    fn from(error: cauce_local::state::StateError) -> Self {
        use cauce_local::state::StateError;
        let exit = match error {
            StateError::NewerFormat { .. } | StateError::BadFormat { .. } => Exit::BadInput,
            StateError::Running { .. } | StateError::Serving { .. } | StateError::Io { .. } => {
                Exit::SystemFailure
            }
        };
        let failure = Self { exit, ..Self::from_error(&error) };
        match error {
            StateError::Serving { pid: Some(pid), .. } => failure.help(format!(
                "stop it with 'kill {pid}' (its runs go on with the next one), or wait for its end with --standby"
            )),
            StateError::Serving { .. } => failure.help("wait for its end with --standby"),
            _ => failure,
        }
    }
}

impl From<cauce_model::record::RecordError> for Failure {
    fn from(error: cauce_model::record::RecordError) -> Self {
        Self::from_error(&error)
            .help("it may have been written by a newer version of cauce; use that version")
    }
}

impl From<cauce_driver::look::LookError> for Failure {
    fn from(error: cauce_driver::look::LookError) -> Self {
        use cauce_driver::look::LookError;
        match error {
            LookError::Table(error) => error.into(),
            LookError::Objects(error) => error.into(),
            LookError::Record(error) => error.into(),
        }
    }
}

impl From<cauce_driver::DriverError> for Failure {
    fn from(error: cauce_driver::DriverError) -> Self {
        Self::from_error(&error)
    }
}

impl From<cauce_host::ReviveError> for Failure {
    fn from(error: cauce_host::ReviveError) -> Self {
        match error {
            cauce_host::ReviveError::Refused { cause, .. } => Self::bad_input(cause),
            error => Self::from_error(&error),
        }
    }
}

impl From<cauce_host::HostError> for Failure {
    fn from(error: cauce_host::HostError) -> Self {
        Self::from_error(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_the_caller_can_mend_is_bad_input_and_what_the_machine_did_is_not() {
        let path = Path::new("p.yaml");
        let of = |kind: io::ErrorKind| Failure::file("read", path, &kind.into());
        assert_eq!(of(io::ErrorKind::NotFound).exit, Exit::BadInput);
        assert_eq!(of(io::ErrorKind::NotFound).message, "p.yaml does not exist");
        assert_eq!(of(io::ErrorKind::StorageFull).exit, Exit::SystemFailure);
    }
}
