//! Notices to people: a terminal, a file, a URL. What only AWS delivers goes to the terminal, and says so.
//!
//! Delivery is at least once. A notice's id goes along everywhere (as `id` in the JSON, and as the
//! `Idempotency-Key` header), so that the other end can drop a repeat.

use cauce_model::record::Notice;
use cauce_ports::{Notifier, NotifyError};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use ureq::Agent;

/// How long one delivery over HTTP may take, all in all.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// Most characters of a refusal that are kept.
const REASON_MAX: usize = 300;

/// Statuses of HTTP after which the same request may be taken later.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-status-codes>
const TRY_LATER: [u16; 3] = [408, 425, 429];

/// Where a channel leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Channel {
    /// One line to standard error.
    Stderr,
    /// One line of JSON at the end of a file.
    File(PathBuf),
    /// A POST of the notice as JSON.
    Http {
        /// Where to.
        url: String,
        /// Headers such as `Authorization`. Their values are never shown.
        headers: Vec<(String, String)>,
    },
    /// A channel that only AWS delivers: its notices go to standard error, with a line that says so.
    Elsewhere {
        /// Its kind, the key in the project file: `email`.
        kind: &'static str,
    },
}

/// The channels of a project, by name.
#[derive(Clone)]
pub struct Channels {
    channels: Arc<RwLock<BTreeMap<String, Channel>>>,
    agent: Agent,
}

impl Channels {
    /// These channels and no others. Opens nothing.
    pub fn new(channels: BTreeMap<String, Channel>) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(HTTP_TIMEOUT))
            // Statuses are read here, not turned into errors.
            .http_status_as_error(false)
            // A notice goes where the project file says, and nowhere else.
            .max_redirects(0)
            .build();
        Self { channels: Arc::new(RwLock::new(channels)), agent: Agent::new_with_config(config) }
    }

    /// From now on these, for all clones.
    pub fn replace(&self, channels: BTreeMap<String, Channel>) {
        *self.channels.write().unwrap_or_else(PoisonError::into_inner) = channels;
    }
}

impl Notifier for Channels {
    async fn deliver(&self, notice: &Notice) -> Result<(), NotifyError> {
        let channel = self
            .channels
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&notice.channel)
            .cloned()
            .ok_or_else(|| NotifyError::NoChannel(notice.channel.clone()))?;
        let unreachable =
            |reason: String| NotifyError::Unreachable { channel: notice.channel.clone(), reason };
        match channel {
            Channel::Stderr => say(&line(notice)).map_err(|error| unreachable(error.to_string())),
            Channel::Elsewhere { kind } => {
                say(&elsewhere(notice, kind)).map_err(|error| unreachable(error.to_string()))
            }
            Channel::File(path) => {
                append(&path, notice).map_err(|error| unreachable(format!("{}: {error}", path.display())))
            }
            Channel::Http { url, headers } => {
                let (agent, notice) = (self.agent.clone(), notice.clone());
                let name = notice.channel.clone();
                tokio::task::spawn_blocking(move || post(&agent, &url, &headers, &notice))
                    .await
                    .unwrap_or_else(|error| {
                        Err(NotifyError::Unreachable { channel: name, reason: error.to_string() })
                    })
            }
        }
    }
}

/// A notice for a terminal.
fn line(notice: &Notice) -> String {
    let task = notice.task.as_ref().map(|task| format!(" task {task}")).unwrap_or_default();
    let message = if notice.message.is_empty() { String::new() } else { format!(": {}", notice.message) };
    // A message of several lines stays one notice to the eye.
    format!("[{}] {}{task}: {}{message}", notice.event, notice.run, notice.subject).replace('\n', "\n    ")
}

/// The same for a channel that leads nowhere from here.
fn elsewhere(notice: &Notice, kind: &str) -> String {
    let (line, channel) = (line(notice), &notice.channel);
    format!(
        "{line}\n    only AWS delivers to channel '{channel}', which is '{kind}': on one machine its notices come here"
    )
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}

fn append(path: &Path, notice: &Notice) -> io::Result<()> {
    let mut text = serde_json::to_string(notice)?;
    text.push('\n');
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    // One write at the end of the file: lines of several processes do not mix.
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

fn post(agent: &Agent, url: &str, headers: &[(String, String)], notice: &Notice) -> Result<(), NotifyError> {
    let channel = || notice.channel.clone();
    let refused = |reason: String| NotifyError::Refused { channel: channel(), reason };
    let unreachable = |reason: String| NotifyError::Unreachable { channel: channel(), reason };
    let body = serde_json::to_string(notice).map_err(|error| refused(error.to_string()))?;
    let mut request =
        agent.post(url).header("Content-Type", "application/json").header("Idempotency-Key", &notice.id);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send(body).map_err(|error| match error {
        // The request itself cannot be made, now or later.
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => refused(error.to_string()),
        _ => unreachable(error.to_string()),
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    // The words of a refusal help whoever reads it, and are no reason to fail otherwise.
    let words: String =
        response.body_mut().read_to_string().unwrap_or_default().chars().take(REASON_MAX).collect();
    let reason = format!("{status} {}", words.trim()).trim().to_owned();
    if status.is_server_error() || TRY_LATER.contains(&status.as_u16()) {
        Err(unreachable(reason))
    } else {
        Err(refused(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::Instant;
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;

    fn notice(channel: &str) -> Notice {
        Notice {
            id: "n-1".into(),
            channel: channel.into(),
            event: "failed".into(),
            subject: "run failed".into(),
            message: "exit code 3\nsee the log".into(),
            run: "p/r".into(),
            task: Some("t".into()),
            at: Instant::from_micros(0),
        }
    }

    fn channels(channel: Channel) -> Channels {
        Channels::new([("alerts".to_owned(), channel)].into())
    }

    /// Answers one request with a status line, and returns what was asked.
    fn serve_once(answer: &'static str) -> (String, std::thread::JoinHandle<(Vec<String>, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
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
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            write!(reader.get_mut(), "{answer}\r\ncontent-length: 5\r\n\r\nwords").unwrap();
            (head, String::from_utf8(body).unwrap())
        });
        (url, server)
    }

    #[tokio::test]
    async fn a_file_gets_one_line_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out/notices.jsonl");
        let channels = channels(Channel::File(path.clone()));
        channels.deliver(&notice("alerts")).await.unwrap();
        channels.deliver(&notice("alerts")).await.unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let read: Vec<Notice> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [notice("alerts"), notice("alerts")]);
        assert_eq!(channels.deliver(&notice("other")).await, Err(NotifyError::NoChannel("other".into())));
    }

    #[tokio::test]
    async fn a_url_gets_json_and_the_key_of_its_repeats() {
        let (url, server) = serve_once("HTTP/1.1 204 No Content");
        let headers = vec![("Authorization".to_owned(), "Bearer x".to_owned())];
        channels(Channel::Http { url, headers }).deliver(&notice("alerts")).await.unwrap();
        let (head, body) = server.join().unwrap();
        assert!(head[0].starts_with("post /hook"), "{head:?}");
        for expected in ["idempotency-key: n-1", "content-type: application/json", "authorization: bearer x"]
        {
            assert!(head.iter().any(|line| line == expected), "{expected}: {head:?}");
        }
        assert_eq!(serde_json::from_str::<Notice>(&body).unwrap(), notice("alerts"));
    }

    #[tokio::test]
    async fn statuses_tell_whether_to_try_again() {
        for (answer, again) in [
            ("HTTP/1.1 500 Oh", true),
            ("HTTP/1.1 503 Busy", true),
            ("HTTP/1.1 429 Slow", true),
            ("HTTP/1.1 400 Bad", false),
            ("HTTP/1.1 404 None", false),
            ("HTTP/1.1 302 Found", false),
        ] {
            let (url, server) = serve_once(answer);
            let error = channels(Channel::Http { url, headers: Vec::new() })
                .deliver(&notice("alerts"))
                .await
                .unwrap_err();
            server.join().unwrap();
            assert_eq!(error.retryable(), again, "{answer}: {error}");
            assert!(error.to_string().contains("words"), "{error}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{closed}/");
        let error = channels(Channel::Http { url, headers: Vec::new() }).deliver(&notice("alerts")).await;
        assert!(error.unwrap_err().retryable());
        let url = "no url".to_owned();
        let error = channels(Channel::Http { url, headers: Vec::new() }).deliver(&notice("alerts")).await;
        assert!(!error.unwrap_err().retryable());
    }

    #[tokio::test]
    async fn what_only_aws_delivers_is_said_here() {
        assert_eq!(channels(Channel::Elsewhere { kind: "sns" }).deliver(&notice("alerts")).await, Ok(()));
        assert_eq!(
            elsewhere(&notice("alerts"), "sns"),
            "[failed] p/r task t: run failed: exit code 3\n    see the log\n    only AWS delivers to channel \
             'alerts', which is 'sns': on one machine its notices come here"
        );
    }

    #[test]
    fn a_terminal_gets_a_readable_line() {
        assert_eq!(line(&notice("alerts")), "[failed] p/r task t: run failed: exit code 3\n    see the log");
    }
}
