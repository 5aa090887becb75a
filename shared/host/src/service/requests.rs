//! How other tasks and threads hand commands to a service: an API, a watch, a test.

use cauce_engine::{Command, Reply};
use futures_channel::{mpsc, oneshot};

/// Requests that may wait at once.
const WAITING_MAX: usize = 1024;

/// Why a request was not answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unanswered {
    /// Too many wait already. Nothing was done.
    #[error("more than {WAITING_MAX} requests wait; try again in a moment")]
    Busy,
    /// The service is stopping or gone. Whether it was done is not known.
    #[error("the service has stopped")]
    Stopped,
    /// A port did not answer. Nothing is half done: it may be asked again.
    #[error("{0}")]
    Failed(String),
}

pub(super) struct Asked {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Reply, String>>,
}

/// Where commands are handed to a service. Clones lead to the same one; any thread may use them.
#[derive(Clone)]
pub struct Requests(mpsc::Sender<Asked>);

/// The service's end.
pub struct Inbox(pub(super) mpsc::Receiver<Asked>);

/// A way into a service that is about to be made.
pub fn requests() -> (Requests, Inbox) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Requests(sender), Inbox(receiver))
}

impl Requests {
    /// Has the service carry out a command, its effects too: a run that it triggers is run there.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn ask(&self, command: Command) -> Result<Reply, Unanswered> {
        let (reply, answer) = oneshot::channel();
        let mut sender = self.0.clone();
        sender.try_send(Asked { command, reply }).map_err(|error| match error.is_full() {
            true => Unanswered::Busy,
            false => Unanswered::Stopped,
        })?;
        match answer.await {
            Ok(outcome) => outcome.map_err(Unanswered::Failed),
            Err(oneshot::Canceled) => Err(Unanswered::Stopped),
        }
    }
}
