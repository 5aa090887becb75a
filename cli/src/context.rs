//! What every command is given besides its own arguments.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cauce_spec::Project;
use tokio::runtime::{Builder, Runtime};

use crate::args::Global;
use crate::error::Failure;
use crate::output::Output;
use crate::there::There;

/// The values of the process that the program depends on, read once in `main`.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// `NO_COLOR` is set and not empty: <https://no-color.org>.
    pub(crate) no_colour: bool,
    /// `TERM`.
    pub(crate) term: Option<String>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `PATH`, in which the programs of tasks are looked up.
    pub(crate) path: Option<std::ffi::OsString>,
    /// `LANG`, handed to tasks.
    pub(crate) lang: Option<String>,
    /// `TZ`, handed to tasks.
    pub(crate) tz: Option<String>,
    /// `USER`: who asks.
    pub(crate) user: Option<String>,
    /// `NOTIFY_SOCKET`, where systemd wants to hear that a service is ready.
    pub(crate) notify_socket: Option<std::ffi::OsString>,
    /// The AWS variables (`AWS_*`), for `--host-credentials`.
    pub(crate) aws: std::collections::BTreeMap<String, String>,
    /// The folder in which the program was started.
    pub(crate) current_dir: PathBuf,
    /// The program itself; programs beside it are found before those on `PATH`.
    pub(crate) executable: Option<PathBuf>,
}

impl Environment {
    /// Whether the environment lets terminals have colour.
    pub(crate) fn allows_colour(&self) -> bool {
        !self.no_colour && self.term.as_deref() != Some("dumb")
    }

    /// Who asks, for records.
    pub(crate) fn by(&self) -> String {
        self.user.clone().unwrap_or_else(|| "unknown".to_owned())
    }
}

/// Everything a command knows besides its own arguments.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The process's environment.
    pub(crate) environment: Environment,
    /// Whether data is wanted as JSON.
    pub(crate) json: bool,
    /// `--state-dir`.
    pub(crate) state_dir: Option<PathBuf>,
    /// `--env`: the environment of `cauce.yaml` whose values `${{ env.x }}` reads.
    pub(crate) env: String,
    /// Where words go.
    pub(crate) output: Output,
    /// Made when something is first waited for. One for the whole process: connections belong to the
    /// runtime they were opened in.
    runtime: Rc<OnceCell<Runtime>>,
    /// The deployed environment that `--env` names, once it was needed.
    there: Rc<OnceCell<Rc<There>>>,
}

impl Context {
    /// Brings together what `main` read and what the command line says.
    pub(crate) fn new(environment: Environment, global: &Global) -> Self {
        let output = Output::new(environment.allows_colour());
        Self {
            environment,
            json: global.json,
            state_dir: global.state_dir.clone(),
            env: global.env.clone(),
            output,
            runtime: Rc::default(),
            there: Rc::default(),
        }
    }

    /// The deployed environment that the command acts on; `None` on this machine, which is what
    /// `--env local` and no `--env` mean. No client of AWS is built before this is asked, nor ever on
    /// this machine.
    ///
    /// # Errors
    /// An environment that `cauce.yaml` does not declare, or that cannot be reached.
    pub(crate) fn there(&self) -> Result<Option<Rc<There>>, Failure> {
        if self.env == Project::LOCAL {
            return Ok(None);
        }
        if let Some(there) = self.there.get() {
            return Ok(Some(Rc::clone(there)));
        }
        let there = Rc::new(There::connect(self)?);
        Ok(Some(Rc::clone(self.there.get_or_init(|| there))))
    }

    /// What a command that is named to somebody needs besides, to act where this one does.
    pub(crate) fn env_option(&self) -> String {
        if self.env == Project::LOCAL { String::new() } else { format!(" --env {}", self.env) }
    }

    /// The state folder of a project whose root is given.
    pub(crate) fn state_dir_of(&self, project_root: &Path) -> PathBuf {
        match &self.state_dir {
            Some(path) => self.absolute(path),
            None => project_root.join(cauce_local::state::STATE_DIR_NAME),
        }
    }

    /// A path as the user wrote it, from the folder in which the program was started.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.environment.current_dir.join(path)
    }

    /// Runs a future of the ports to its end on this thread.
    ///
    /// # Errors
    /// A system that does not let a runtime be made, or what the future fails with.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime = match self.runtime.get() {
            Some(runtime) => runtime,
            None => {
                let made = Builder::new_current_thread().enable_all().build();
                let made =
                    made.map_err(|error| Failure::system(format!("could not start the runtime: {error}")))?;
                self.runtime.get_or_init(|| made)
            }
        };
        runtime.block_on(future)
    }
}
