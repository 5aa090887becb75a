//! `cauce up`: the service of this machine. The loop is `cauce_host::service`; here it gets its world, the
//! project's files and somebody to talk to.

mod api;

mod files;

mod log;

mod ready;

use std::pin::pin;
use std::rc::Rc;

use cauce_host::service::{Pace, Service, requests};
use cauce_local::state::ServiceLock;

use crate::args::UpArgs;
use crate::context::Context;
use crate::engine::assemble::{Local, local};
use crate::engine::start::signalled;
use crate::error::{Exit, Failure};
use crate::project::ProjectFolder;
use api::Api;
use files::Files;
use log::Log;

/// `cauce up`
pub(crate) fn up(args: &UpArgs, context: &Context) -> Result<Exit, Failure> {
    if context.there()?.is_some() {
        return Err(Failure::bad_input(
            "'up' serves this machine; a deployed environment needs nobody to serve it",
        )
        .help(format!("leave --env out; 'cauce deploy{}' deploys there", context.env_option())));
    }
    let dir = args
        .dir
        .as_deref()
        .map_or_else(|| context.environment.current_dir.clone(), |dir| context.absolute(dir));
    if !dir.is_dir() {
        return Err(Failure::bad_input(format!("{} is not a folder", dir.display()))
            .help("name the folder of a project: the one with cauce.yaml"));
    }
    let folder = ProjectFolder::around(&dir, context)?;
    let log = Rc::new(Log::new(context));
    let (requests, inbox) = requests();
    let watched = Rc::clone(&log);
    let watch = Box::new(move |command: &_, decision: &_| watched.decided(command, decision));
    let Local { host, state } = local(&folder, context, args.host_credentials, watch)?;
    host.world().hears.set(true);
    context.block_on(async {
        let Some(_lock) = claim(&state, args.standby, &log).await? else { return Ok(Exit::Good) };
        log.say("starting", &format!("cauce up on {}", folder.root.display()));
        let api = match args.listen {
            Some(address) => {
                Some(Api::open(address, dir.clone(), state.clone(), requests.clone(), &log, context).await?)
            }
            None => None,
        };
        let project = Files::new(dir, host.world(), Rc::clone(&log), context.clone())?;
        let service = Service::new(host, project, inbox, Pace::default());
        let outcome = tokio::select! {
            biased;
            outcome = service.run(signalled()) => outcome.map_err(Failure::from),
            failure = serve(api) => Err(failure),
        };
        // Also after a failure of the store: programs do not outlive their engine.
        log.say("stopping", "stopping; what is under way goes on with the next 'cauce up'");
        ready::stopping(context);
        service.host().world().processes.stop_all("the service was told to stop").await;
        drop(requests);
        outcome?;
        Ok(Exit::Good)
    })
}

/// Answers requests, where anybody may send some.
async fn serve(api: Option<Api>) -> Failure {
    match api {
        Some(api) => api.serve().await,
        None => std::future::pending().await,
    }
}

/// Claims the folder for this process. `None`: told to stop while it stood by.
async fn claim(
    state: &cauce_local::state::StateDir,
    standby: bool,
    log: &Log,
) -> Result<Option<ServiceLock>, Failure> {
    let refused = match state.lock_service(false) {
        Ok(lock) => return Ok(Some(lock)),
        Err(error) => error,
    };
    if !standby || !matches!(refused, cauce_local::state::StateError::Serving { .. }) {
        return Err(refused.into());
    }
    let mut stop = pin!(signalled());
    // Signals are heard from the first look on, before anybody is told that they would be.
    tokio::select! {
        biased;
        () = &mut stop => return Ok(None),
        () = async { log.say("standby", &format!("standing by: {refused}")) } => {}
    }
    let state = state.clone();
    let (sender, waiting) = tokio::sync::oneshot::channel();
    // A thread of its own: the lock is waited for in the system, which no signal handler ends.
    std::thread::spawn(move || sender.send(state.lock_service(true)));
    tokio::select! {
        biased;
        () = stop => Ok(None),
        lock = waiting => match lock {
            Ok(lock) => Ok(Some(lock?)),
            Err(_) => Err(Failure::system("the thread that stood by is gone")),
        },
    }
}
