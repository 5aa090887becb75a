//! The HTTP interface of `cauce up --listen`: the same router as on AWS. It reads the store by itself; what
//! changes something is handed to the service, which also runs it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use cauce_api::{Access, Desk, Front, Inbox, LogPart, LogRequest, Place, Trouble, front, listen};
use cauce_engine::{Command, Prepared, Reply};
use cauce_host::service::Requests;
use cauce_local::clock::SystemClock;
use cauce_local::ids::UlidIds;
use cauce_local::secrets::Secrets;
use cauce_local::state::StateDir;
use cauce_model::Instant;
use cauce_ports::{Clock, Ids};
use cauce_spec::file::access::Api as Declared;
use tokio::net::TcpListener;

use super::log::Log;
use crate::context::Context;
use crate::error::Failure;
use crate::place::{AnyObjects, AnyTable};
use crate::project::ProjectFolder;
use crate::store::Store;

/// For how long keys and secrets are kept: files are read at most so often, however many ask.
const KEPT_SECONDS: u64 = 2;

/// Most bytes of a log in one answer.
const LOG_BYTES_MAX: u64 = 256 * 1024;

/// A socket, and what answers on it.
pub(super) struct Api {
    listener: TcpListener,
    front: Front,
    inbox: Inbox,
    desk: Desk<Here>,
}

impl Api {
    /// Opens the socket.
    ///
    /// # Errors
    /// The address is taken or not ours; the store cannot be opened.
    pub(super) async fn open(
        address: SocketAddr,
        dir: PathBuf,
        state: StateDir,
        requests: Requests,
        log: &Rc<Log>,
        context: &Context,
    ) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::bad_input(format!("cannot listen on {address}: {error}"))
                .help("choose another with --listen, such as 127.0.0.1:8080")
        })?;
        let bound = listener.local_addr().unwrap_or(address);
        let ids = UlidIds::new().map_err(|error| Failure::system(format!("no random numbers: {error}")))?;
        let (context, log) = (context.clone(), Rc::clone(log));
        log.say("listening", &format!("listening on http://{bound}"));
        if !bound.ip().is_loopback() {
            log.say(
                "warning",
                "others can reach this address, and it speaks no TLS: put a proxy before it that does",
            );
        }
        let store = Store::at(state.clone())?;
        let kept = RefCell::default();
        let (front, inbox) = front();
        let here = Here { dir, state, store, requests, ids, log, context, kept };
        Ok(Self { listener, front, inbox, desk: Desk::new(here, Rc::default()) })
    }

    /// Answers until the socket fails.
    pub(super) async fn serve(mut self) -> Failure {
        // Whoever stops the service drops this.
        let never = std::future::pending::<()>();
        let told = tokio::select! {
            ended = listen(self.listener, self.front, never) => ended.err(),
            () = self.desk.serve(&mut self.inbox) => None,
        };
        let why = told.map(|error| format!(": {error}")).unwrap_or_default();
        Failure::system(format!("the HTTP interface has stopped{why}"))
    }
}

/// What was read of the project's files, and until when it counts.
type Kept = Option<(Instant, Rc<Access>, Rc<Secrets>)>;

/// This machine.
struct Here {
    dir: PathBuf,
    state: StateDir,
    store: Store,
    requests: Requests,
    ids: UlidIds,
    log: Rc<Log>,
    context: Context,
    kept: RefCell<Kept>,
}

impl Here {
    fn files(&self) -> Result<(Rc<Access>, Rc<Secrets>), Trouble> {
        let now = SystemClock.now();
        if let Some((until, access, secrets)) = &*self.kept.borrow()
            && now < *until
        {
            return Ok((Rc::clone(access), Rc::clone(secrets)));
        }
        let folder =
            ProjectFolder::around(&self.dir, &self.context).map_err(|failure| Trouble(failure.message))?;
        let access = Rc::new(folder.project.api.as_ref().map(Declared::access).unwrap_or_default());
        let secrets = Rc::new(Secrets::read(&self.state.secrets()).map_err(|error| Trouble::of(&error))?);
        let until = now.plus_seconds(KEPT_SECONDS);
        *self.kept.borrow_mut() = Some((until, Rc::clone(&access), Rc::clone(&secrets)));
        Ok((access, secrets))
    }
}

impl Place for Here {
    type Table = AnyTable;
    type Objects = AnyObjects;
    type Clock = SystemClock;

    fn table(&self) -> &AnyTable {
        self.store.table()
    }

    fn objects(&self) -> &AnyObjects {
        self.store.objects()
    }

    fn clock(&self) -> &SystemClock {
        &SystemClock
    }

    fn unique(&self, now: Instant) -> String {
        self.ids.ulid(now)
    }

    async fn execute(&self, command: Command) -> Result<Reply, Trouble> {
        self.requests.ask(command).await.map_err(|error| Trouble::of(&error))
    }

    async fn plan(&self, pipeline: &str, version: &str) -> Result<Arc<Prepared>, Trouble> {
        self.store.plan_of(pipeline, version).await.map_err(|failure| Trouble(failure.message))
    }

    async fn access(&self) -> Result<Rc<Access>, Trouble> {
        Ok(self.files()?.0)
    }

    async fn secret(&self, reference: &str) -> Result<Option<String>, Trouble> {
        Ok(self.files()?.1.get(reference).map(str::to_owned))
    }

    async fn log(&self, request: LogRequest<'_>) -> Result<Option<LogPart>, Trouble> {
        let Some(log) = &request.attempt.log else { return Ok(None) };
        let Ok(mut file) = File::open(self.store.log_place(log)) else { return Ok(None) };
        // What is no place in the file is its end.
        let from: u64 = request.after.map_or(Some(0), |after| after.parse().ok()).unwrap_or(u64::MAX >> 1);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).map_err(|error| Trouble::of(&error))?;
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| Trouble::of(&error))?;
        let next = from + bytes.len() as u64;
        let more = bytes.len() as u64 == LOG_BYTES_MAX;
        Ok(Some(LogPart { text: String::from_utf8_lossy(&bytes).into_owned(), next: next.to_string(), more }))
    }

    fn log_place(&self, log: &str) -> String {
        self.store.log_place(log)
    }

    fn warn(&self, message: &str) {
        self.log.say("warning", message);
    }
}
