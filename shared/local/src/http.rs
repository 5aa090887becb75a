//! Calls of web services: what `http:invoke` does when there is no Step Functions.
//!
//! Request, result and failures are those of the integration; the credentials of its EventBridge
//! connection are not here, so a call goes out without them.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>

use cauce_model::{Json, names};
use cauce_ports::TaskFailure;
use serde_json::{Map, json};
use std::time::Duration;
use ureq::http::{self, Method, Request, Response};
use ureq::{Agent, Body};

/// The resource of a state that calls a web service.
pub const RESOURCE: &str = "arn:aws:states:::http:invoke";

/// How long a call may take, all in all: as on AWS.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
const TIMEOUT: Duration = Duration::from_secs(60);

/// The most that a state takes of an answer, in bytes.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
const ANSWER_MAX: u64 = 256 * 1024;

/// Makes the call that a state asks for, on a thread of its own.
pub(crate) async fn invoke(arguments: &Json) -> Result<Json, TaskFailure> {
    let arguments = arguments.clone();
    tokio::task::spawn_blocking(move || blocking(&arguments)).await.unwrap_or_else(|error| {
        Err(TaskFailure { error: names::HTTP_SOCKET.to_owned(), cause: error.to_string() })
    })
}

fn wrong(cause: impl Into<String>) -> TaskFailure {
    TaskFailure { error: "States.Runtime".to_owned(), cause: cause.into() }
}

fn blocking(arguments: &Json) -> Result<Json, TaskFailure> {
    let config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // Statuses are read here, not turned into errors.
        .http_status_as_error(false)
        // The task says where to call; whoever answers does not.
        .max_redirects(0)
        .allow_non_standard_methods(true)
        .build();
    let agent = Agent::new_with_config(config);
    let (request, body) = request(arguments)?;
    let unreachable = |error: ureq::Error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => wrong(error.to_string()),
        _ => TaskFailure { error: names::HTTP_SOCKET.to_owned(), cause: error.to_string() },
    };
    let response = match body {
        Some(body) => agent.run(request.map(|()| body)),
        None => agent.run(request),
    };
    answer(response.map_err(unreachable)?)
}

fn request(arguments: &Json) -> Result<(Request<()>, Option<Vec<u8>>), TaskFailure> {
    let text = |field: &str| arguments[field].as_str().unwrap_or_default();
    let method = Method::from_bytes(text("Method").as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let mut url = text("ApiEndpoint").to_owned();
    for (name, value) in arguments["QueryParameters"].as_object().into_iter().flatten() {
        let values = value.as_array().map_or_else(|| vec![value], |values| values.iter().collect());
        for value in values {
            url.push(if url.contains('?') { '&' } else { '?' });
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            url.push_str(&format!("{}={}", encoded(name), encoded(&value)));
        }
    }
    let mut request = Request::builder().method(method).uri(url);
    let headers: Vec<(&String, &Json)> = arguments["Headers"].as_object().into_iter().flatten().collect();
    for (name, value) in &headers {
        request = request.header(name.as_str(), value.as_str().unwrap_or_default());
    }
    let body = arguments.get("RequestBody").map(|body| body.to_string().into_bytes());
    let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if body.is_some() && !typed {
        request = request.header("Content-Type", "application/json");
    }
    Ok((request.body(()).map_err(|error| wrong(error.to_string()))?, body))
}

/// A part of a query: letters, digits and `-._~` stay.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn answer(mut response: Response<Body>) -> Result<Json, TaskFailure> {
    let status = response.status();
    let headers = headers(response.headers());
    let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_string();
    let body = body.map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => TaskFailure {
            error: "States.DataLimitExceeded".to_owned(),
            cause: format!("the answer has more than {ANSWER_MAX} bytes"),
        },
        error => TaskFailure { error: names::HTTP_SOCKET.to_owned(), cause: error.to_string() },
    })?;
    if status.is_client_error() || status.is_server_error() {
        return Err(TaskFailure { error: format!("{}{}", names::HTTP_STATUS, status.as_u16()), cause: body });
    }
    let body = serde_json::from_str(&body).unwrap_or_else(|_| Json::from(body));
    Ok(json!({
        "Headers": headers,
        "ResponseBody": body,
        "StatusCode": status.as_u16(),
        "StatusText": status.canonical_reason().unwrap_or_default(),
    }))
}

fn headers(all: &http::HeaderMap) -> Map<String, Json> {
    let mut headers: Map<String, Json> = Map::new();
    for (name, value) in all {
        let value = Json::from(String::from_utf8_lossy(value.as_bytes()));
        match headers.entry(name.as_str()).or_insert_with(|| json!([])) {
            Json::Array(values) => values.push(value),
            _ => unreachable!("only lists are put in"),
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    /// Answers one request, and returns its first line, headers and body.
    fn serve_once(answer: &'static str) -> (String, std::thread::JoinHandle<(Vec<String>, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/days", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_lowercase());
            }
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            (head, String::from_utf8(body).unwrap())
        });
        (url, server)
    }

    #[tokio::test]
    async fn a_call_is_made_as_it_is_written() {
        let (url, server) =
            serve_once("HTTP/1.1 201 Created\r\nX-Id: 7\r\ncontent-length: 9\r\n\r\n{\"id\": 7}");
        let result = invoke(&json!({
            "ApiEndpoint": url,
            "Method": "POST",
            "Headers": {"Idempotency-Key": "abc"},
            "QueryParameters": {"q": "a b&c", "n": ["1", "2"]},
            "RequestBody": {"day": "1997-01-05"},
        }))
        .await
        .unwrap();
        assert_eq!(result["StatusCode"], 201);
        assert_eq!(result["ResponseBody"], json!({"id": 7}));
        assert_eq!(result["Headers"]["x-id"], json!(["7"]));
        let (head, body) = server.join().unwrap();
        assert_eq!(head[0], "post /days?q=a%20b%26c&n=1&n=2 http/1.1");
        assert!(head.contains(&"idempotency-key: abc".to_owned()), "{head:?}");
        assert!(head.contains(&"content-type: application/json".to_owned()), "{head:?}");
        assert_eq!(body, r#"{"day":"1997-01-05"}"#);
    }

    #[tokio::test]
    async fn a_refusal_is_named_by_its_status() {
        let (url, server) = serve_once("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone");
        let failure = invoke(&json!({"ApiEndpoint": url, "Method": "DELETE"})).await.unwrap_err();
        assert_eq!((failure.error.as_str(), failure.cause.as_str()), ("States.Http.StatusCode.404", "gone"));
        assert_eq!(server.join().unwrap().0[0], "delete /days http/1.1");
        // Nobody answers there any more.
        let failure = invoke(&json!({"ApiEndpoint": url, "Method": "GET"})).await.unwrap_err();
        assert_eq!(failure.error, names::HTTP_SOCKET);
        let failure = invoke(&json!({"ApiEndpoint": "no url", "Method": "GET"})).await.unwrap_err();
        assert_eq!(failure.error, "States.Runtime");
    }
}
