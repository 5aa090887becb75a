//! One POST. The client is the SDK's own connector: a second HTTP stack would double what a function's
//! package carries.

use super::secrets::Value;
use super::{refused, unreachable};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use cauce_model::record::Notice;
use cauce_ports::NotifyError;
use std::time::Duration;

/// How long one delivery may take, all in all.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of a refusal that are read.
const WORDS_BYTES_MAX: usize = 4_096;

/// Most characters of a refusal that are kept.
const WORDS_MAX: usize = 300;

/// Statuses of HTTP below 500 after which the same request may be taken later.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-status-codes>
const TRY_LATER: [u16; 3] = [408, 425, 429];

/// A request to be made.
pub(super) struct Post {
    pub(super) url: Value,
    pub(super) headers: Vec<(String, Value)>,
    pub(super) body: String,
}

/// Makes requests over connections that it keeps.
pub(super) struct Poster {
    connector: Connector,
}

impl Poster {
    pub(super) fn new() -> Self {
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        Self { connector }
    }

    /// Posts once. Redirects are not followed: a notice goes where the channel says, nowhere else.
    pub(super) async fn post(&self, notice: &Notice, post: Post) -> Result<(), NotifyError> {
        let request = request(notice, &post).map_err(|reason| refused(notice, reason))?;
        let answer = tokio::time::timeout(TIMEOUT, async {
            let response = self.connector.call(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            Ok::<_, String>((status, words(response).await))
        });
        let (status, words) = match answer.await {
            Err(_) => {
                return Err(unreachable(notice, format!("no answer within {} s", TIMEOUT.as_secs())));
            }
            Ok(Err(reason)) => return Err(unreachable(notice, post.redact(&reason))),
            Ok(Ok(answer)) => answer,
        };
        let reason = post.redact(format!("{status} {words}").trim());
        match status {
            200..=299 => Ok(()),
            500.. => Err(unreachable(notice, reason)),
            status if TRY_LATER.contains(&status) => Err(unreachable(notice, reason)),
            _ => Err(refused(notice, reason)),
        }
    }
}

impl Post {
    /// Words of the other end, which may have repeated what it was sent.
    fn redact(&self, words: &str) -> String {
        let clear = self.url.redact(words);
        self.headers.iter().fold(clear, |words, (_, value)| value.redact(&words))
    }
}

/// The request, or what is wrong with its settings (names only).
fn request(notice: &Notice, post: &Post) -> Result<HttpRequest, String> {
    let url = post.url.text();
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err("its address does not begin with https://".to_owned());
    }
    let mut request = HttpRequest::new(SdkBody::from(post.body.as_str()));
    request.set_method("POST").map_err(|error| error.to_string())?;
    request.set_uri(url.to_owned()).map_err(|_| "its address is no URL".to_owned())?;
    let headers = request.headers_mut();
    let own = [("content-type", "application/json"), ("idempotency-key", notice.id.as_str())];
    let length = post.body.len().to_string();
    let own = own.into_iter().chain([("content-length", length.as_str())]);
    let given = post.headers.iter().map(|(name, value)| (name.as_str(), value.text()));
    for (name, value) in own.chain(given) {
        headers
            .try_insert(name.to_ascii_lowercase(), value.to_owned())
            .map_err(|_| format!("its header '{name}' has a name or value that HTTP does not take"))?;
    }
    Ok(request)
}

/// The beginning of what the other end says. It helps whoever reads it, and is no reason to fail.
async fn words(response: HttpResponse) -> String {
    let mut stream = ByteStream::new(response.into_body());
    let mut bytes = Vec::new();
    while let Some(Ok(part)) = stream.next().await {
        bytes.extend_from_slice(&part);
        if bytes.len() >= WORDS_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).trim().chars().take(WORDS_MAX).collect()
}
