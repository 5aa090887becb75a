//! The HTTP side: routes to requests, answers to responses. Nothing here looks into a store.

use crate::problem::Problem;
use crate::routes::{Operation, ROUTES, Verb};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, State};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Request as HttpRequest, Response, StatusCode, Uri, header,
};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Most bytes of a request's body.
pub const BODY_MAX: usize = 64 * 1024;

/// Most bytes of a signed call's body. Senders allow themselves more than this; what starts runs does not
/// need it, and a function is given at most 6 MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const HOOK_BODY_MAX: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Requests that wait for the desk.
const WAITING_MAX: usize = 256;

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    /// Parts of the address, decoded.
    pub(crate) parts: BTreeMap<String, String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A part of the address; empty when the route has none of that name.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.parts.get(name).map_or("", String::as_str)
    }
}

/// What a request is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A request and whoever waits for its answer.
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Where requests come in. Clones are the same.
#[derive(Clone)]
pub struct Front(mpsc::Sender<Call>);

/// Where the desk takes them from.
pub struct Inbox(pub(crate) mpsc::Receiver<Call>);

/// The two ends between a router and its desk.
pub fn front() -> (Front, Inbox) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Front(sender), Inbox(receiver))
}

/// The router: every route of [`ROUTES`].
pub fn router(front: Front) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let operation = route.operation;
        let handler = move |State(front): State<Front>, parts: RawPathParams, request: HttpRequest<Body>| async move {
            let parts = parts.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            respond(receive(&front, operation, parts, request).await)
        };
        let method: MethodRouter<Front> = match route.verb {
            Verb::Get => get(handler),
            Verb::Post => post(handler),
        };
        router = router.route(route.path, method);
    }
    router.method_not_allowed_fallback(wrong_method).fallback(no_route).with_state(front)
}

async fn wrong_method(uri: Uri) -> Response<Body> {
    let allowed = allowed(uri.path());
    let help = format!("this address takes {allowed}");
    respond(
        Problem::new(405, "the address does not take this method", help).header("allow", allowed).answer(),
    )
}

/// The methods that an address takes.
fn allowed(path: &str) -> String {
    let same = |pattern: &str| {
        let (mut here, mut there) = (path.split('/'), pattern.split('/'));
        loop {
            match (here.next(), there.next()) {
                (None, None) => return true,
                (Some(part), Some(wanted)) if wanted == part || wanted.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    let of = |verb| match verb {
        Verb::Get => "GET, HEAD",
        Verb::Post => "POST",
    };
    let methods: Vec<&str> =
        ROUTES.iter().filter(|route| same(route.path)).map(|route| of(route.verb)).collect();
    methods.join(", ")
}

async fn no_route() -> Response<Body> {
    respond(
        Problem::missing("there is nothing at this address", "/openapi.json lists the addresses").answer(),
    )
}

async fn receive(
    front: &Front,
    operation: Operation,
    parts: BTreeMap<String, String>,
    request: HttpRequest<Body>,
) -> Answer {
    let (head, body) = request.into_parts();
    let limit = if operation.is_hook() { HOOK_BODY_MAX } else { BODY_MAX };
    let declared =
        head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let too_large = || {
        Problem::new(413, format!("the body has more than {limit} bytes"), "send less in one request")
            .answer()
    };
    if declared.is_some_and(|bytes: u64| bytes > limit as u64) {
        return too_large();
    }
    let body = match tokio::time::timeout(BODY_WITHIN, to_bytes(body, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) if is_too_long(&error) => return too_large(),
        Ok(Err(_)) => return Problem::malformed("the body did not arrive whole", "send it again").answer(),
        Err(_) => return Problem::new(408, "the body took too long to arrive", "send it again").answer(),
    };
    let query =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let request = Request { operation, parts, query, headers: head.headers, body };
    let (answer, answered) = oneshot::channel();
    let busy = || {
        Problem::new(503, "too many requests wait", "send the request again in a while")
            .header("retry-after", "1")
            .answer()
    };
    if front.0.try_send(Call { request, answer }).is_err() {
        return busy();
    }
    answered.await.unwrap_or_else(|_| busy())
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.to_string().contains("length limit exceeded") {
            return true;
        }
        source = cause.source();
    }
    false
}

fn respond(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.media_type));
    // Nobody between us and the caller keeps an answer, or takes it for a page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Answers on a socket until told to stop; what is being answered then still is.
///
/// # Errors
/// The socket.
#[cfg(feature = "serve")]
pub async fn listen(
    listener: tokio::net::TcpListener,
    front: Front,
    stop: impl std::future::Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(front)).with_graceful_shutdown(stop).await
}
