//! The S3 endpoint of this machine: what tasks find at `AWS_ENDPOINT_URL`.
//!
//! It serves the folder that [`crate::objects::FolderObjects`] reads, to this machine only (the
//! loopback address, a random port), to whoever has the keys made up for this process. It starts
//! with the first task that needs it and ends with its owner. The protocol is the `s3s` crate's;
//! which operations there are, and why the folder is ours, says docs/decisions/0010.

mod service;

mod upload;

use crate::objects::folder::Folder;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};
use service::FolderService;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The region that tasks are told. The endpoint takes any.
const REGION: &str = "us-east-1";

/// The access key that tasks are told.
const ACCESS_KEY: &str = "cauce-local";

/// An S3 endpoint, started when first asked for.
pub struct Endpoint {
    folder: Folder,
    running: Mutex<Option<Running>>,
}

struct Running {
    address: SocketAddr,
    secret_key: String,
    /// Both are there until the drop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// An endpoint over the state folder's `objects`. Nothing is opened yet.
    pub fn new(objects: impl Into<PathBuf>) -> Self {
        Self {
            // What tasks write can be made again by running them again.
            folder: Folder::new(objects.into(), false),
            running: Mutex::default(),
        }
    }

    /// The variables with which a program reaches the endpoint and no other. Starts it.
    ///
    /// # Errors
    /// No port, no thread, or no randomness to be had.
    pub fn variables(&self) -> io::Result<BTreeMap<String, String>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let started = match running.take() {
            Some(started) => started,
            None => start(&self.folder)?,
        };
        let url = format!("http://{}", started.address);
        let variables = [
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", &started.secret_key),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // object_store refuses an endpoint without TLS unless told so.
            ("AWS_ALLOW_HTTP", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        *running = Some(started);
        Ok(variables.into())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Endpoint").field(&running.as_ref().map(|running| running.address)).finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Told or not: without a sender the thread ends as well.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It panics only by a bug, and then there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

fn start(folder: &Folder) -> io::Result<Running> {
    let mut secret = [0; 20];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let secret_key = data_encoding::BASE32.encode(&secret);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let mut builder = S3ServiceBuilder::new(FolderService::new(folder.clone()));
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, secret_key.as_str()));
    let service = builder.build();
    // Its own thread: a task that moves gigabytes does not hold up decisions.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("cauce-s3".to_owned())
        .spawn(move || runtime.block_on(serve(listener, service, stopped)))?;
    Ok(Running { address, secret_key, stop: Some(stop), thread: Some(thread) })
}

async fn serve(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    // It fails without an IO driver, which the runtime has.
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        // A caller that gave up before it was heard, or too many files open: the next one may do.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let service = service.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(service.clone(), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A caller that goes away in the middle is told nothing more.
            let _ = connection.await;
        });
    }
}

/// Answers one request.
async fn answer(service: S3Service, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
    let asks_first = request.headers().contains_key(EXPECT);
    let is_empty = request.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    let mut response = service.call(request.map(Body::from)).await?;
    // A caller that waits for leave to send its body may be answered before it got any. botocore (at
    // least to 1.43) then takes that answer's status for the next one's on the same connection.
    if asks_first && (is_empty || !response.status().is_success()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
