//! Secrets by reference, from Secrets Manager.

use crate::connect::Connection;
use crate::failure::{Failure, Kind};
use aws_sdk_secretsmanager::Client;
use cauce_model::{Instant, Json};
use cauce_ports::Clock;
use cauce_system::clock::SystemClock;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What precedes a secret's name.
pub const SECRET_PREFIX: &str = "secret:";

/// How long a value is kept: a secret that was rotated is used within this time.
const KEPT_SECONDS: u64 = 300;

/// What stands in the place of a value.
const HIDDEN: &str = "[secret]";

/// From how many bytes on a part of a value is hidden by itself: shorter ones are words of any language.
const PART_MIN: usize = 8;

/// A value that is never shown: it has no debug text.
#[derive(Clone)]
pub(super) struct Value {
    text: String,
    secret: bool,
}

impl Value {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The words of somebody else, who may have repeated this value or a part of it (a token without the
    /// `Bearer` before it, the path of an address), without it.
    pub(super) fn redact(&self, words: &str) -> String {
        if !self.secret {
            return words.to_owned();
        }
        let is_joint = |letter: char| letter.is_whitespace() || "/?&=:@,;\"'".contains(letter);
        let mut parts: Vec<&str> = self.text.split(is_joint).filter(|part| part.len() >= PART_MIN).collect();
        // The whole first, and no part of a longer one before it.
        parts.push(&self.text);
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts
            .iter()
            .filter(|part| !part.is_empty())
            .fold(words.to_owned(), |words, part| words.replace(part, HIDDEN))
    }
}

/// Why a secret has no value. Names the reference, never the value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such secret, or we may not read it.
    #[error("the secret '{reference}' cannot be read: {reason}")]
    Unreadable {
        /// Its reference.
        reference: String,
        /// The service's words.
        reason: String,
    },
    /// The secret is no JSON object with that key.
    #[error("the secret '{reference}' has no text under the key '{key}'")]
    NoKey {
        /// Its reference.
        reference: String,
        /// The key.
        key: String,
    },
    /// The service did not answer.
    #[error("the secret '{reference}' could not be fetched: {reason}")]
    Unanswered {
        /// Its reference.
        reference: String,
        /// What went wrong.
        reason: String,
    },
}

impl SecretError {
    /// Whether asking again is of no use.
    pub(super) const fn is_for_good(&self) -> bool {
        !matches!(self, Self::Unanswered { .. })
    }
}

/// Values of secrets, kept for minutes.
pub struct Secrets {
    client: Client,
    clock: SystemClock,
    kept: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl Secrets {
    /// The values that this connection may read. Calls nothing.
    pub fn new(connection: &Connection) -> Self {
        Self {
            client: Client::new(connection.config()),
            clock: SystemClock,
            kept: Mutex::new(BTreeMap::new()),
        }
    }

    /// The text of a secret; `None` when there is none that we may read.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn text(&self, reference: &str) -> Result<Option<String>, SecretError> {
        match self.resolve(reference).await {
            Ok(value) if value.secret => Ok(Some(value.text)),
            Ok(_) => Ok(None),
            Err(error) if error.is_for_good() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The value of a setting: of the secret that it names or, without the prefix, itself.
    ///
    /// What follows the last slash is a key of the secret's JSON object; where there is no such secret,
    /// all of the text is the secret's name.
    pub(super) async fn resolve(&self, setting: &str) -> Result<Value, SecretError> {
        let Some(reference) = setting.strip_prefix(SECRET_PREFIX) else {
            return Ok(Value { text: setting.to_owned(), secret: false });
        };
        let text = match reference.rsplit_once('/') {
            Some((id, key)) => match self.fetch(id, setting).await {
                Ok(whole) => member(&whole, key).ok_or_else(|| SecretError::NoKey {
                    reference: setting.to_owned(),
                    key: key.to_owned(),
                })?,
                Err(SecretError::Unreadable { .. }) => self.fetch(reference, setting).await?,
                Err(error) => return Err(error),
            },
            None => self.fetch(reference, setting).await?,
        };
        Ok(Value { text, secret: true })
    }

    async fn fetch(&self, id: &str, reference: &str) -> Result<String, SecretError> {
        let now = self.clock.now();
        if let Some((until, value)) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(id)
            && now < *until
        {
            return Ok(value.clone());
        }
        let unreadable = |reason: String| SecretError::Unreadable { reference: reference.to_owned(), reason };
        let found = self.client.get_secret_value().secret_id(id).send().await.map_err(|error| {
            let failure = Failure::of(&error);
            match failure.kind {
                Kind::Denied | Kind::Refused => unreadable(failure.text()),
                Kind::Throttled | Kind::Unanswered => {
                    SecretError::Unanswered { reference: reference.to_owned(), reason: failure.text() }
                }
            }
        })?;
        let value = found.secret_string.ok_or_else(|| unreadable("it holds bytes, not a text".to_owned()))?;
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned(), (now.plus_seconds(KEPT_SECONDS), value.clone()));
        Ok(value)
    }
}

/// The text under a key of a JSON object.
fn member(whole: &str, key: &str) -> Option<String> {
    let object: Json = serde_json::from_str(whole).ok()?;
    object.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_a_text_of_a_json_object() {
        assert_eq!(member(r#"{"token": "t", "n": 1}"#, "token").as_deref(), Some("t"));
        assert_eq!(member(r#"{"token": "t", "n": 1}"#, "n"), None);
        assert_eq!(member("plain", "token"), None);
    }

    #[test]
    fn the_words_of_others_are_cleared_of_the_value() {
        let value = Value { text: "hunter2".into(), secret: true };
        assert_eq!(value.redact("no such token: hunter2!"), "no such token: [secret]!");
        let bearer = Value { text: "Bearer 0123456789ab".into(), secret: true };
        assert_eq!(bearer.redact("the bearer 0123456789ab is unknown"), "the bearer [secret] is unknown");
        let address =
            Value { text: "https://x.example/services/T1/abcdefgh?key=12345678".into(), secret: true };
        let cleared = address.redact("nothing at /services/T1/abcdefgh?key=12345678");
        assert_eq!(cleared, "nothing at /[secret]/T1/[secret]?key=[secret]");
        let plain = Value { text: "x".into(), secret: false };
        assert_eq!(plain.redact("axe"), "axe");
        let empty = Value { text: String::new(), secret: true };
        assert_eq!(empty.redact("axe"), "axe");
    }
}
