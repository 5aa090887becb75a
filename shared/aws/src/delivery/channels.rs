//! Where channels lead: the document `<documents>/channels.json`.

use crate::environment::Environment;
use cauce_ports::{ObjectError, Objects};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the document below the environment's documents.
pub const DOCUMENT: &str = "channels.json";

/// Most bytes of the document.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;

/// The channels of an environment by name: `{"alerts": {"slack": {"webhook": "secret:slack/alerts"}}}`,
/// the shape of `channels` in the project file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channels {
    channels: BTreeMap<String, Channel>,
}

/// Where a channel leads. A setting that may be secret is either the value or `secret:<id>[/<json
/// key>]`, the reference of a secret in Secrets Manager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Channel {
    /// The log of the function that delivers.
    Stderr,
    /// A file: on one machine only, refused here.
    File {
        /// Its path.
        path: String,
    },
    /// A POST of the notice as JSON.
    Http {
        /// Where to; may be secret.
        url: String,
        /// Headers such as `Authorization`; their values may be secret.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// An e-mail through SES.
    Email {
        /// The sender: an identity verified in SES.
        from: String,
        /// Who gets it.
        to: Vec<String>,
    },
    /// A topic of SNS.
    Sns {
        /// Its ARN.
        topic: String,
    },
    /// An incoming webhook of Slack.
    Slack {
        /// Its address; should be secret, since whoever knows it can post.
        webhook: String,
    },
    /// A webhook of a Teams workflow.
    Teams {
        /// Its address; should be secret, since whoever knows it can post.
        webhook: String,
    },
    /// An event on a bus of EventBridge, for whatever rules listen there.
    Eventbridge {
        /// Its name or ARN.
        #[serde(default = "default_bus")]
        bus: String,
    },
}

fn default_bus() -> String {
    "default".to_owned()
}

/// Why the channels are not known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChannelsError {
    /// The document could not be read.
    #[error("the channels could not be read")]
    Objects(#[from] ObjectError),
    /// The document is not what it should be.
    #[error("{uri} does not hold channels: {reason}")]
    Wrong {
        /// The document.
        uri: String,
        /// What is wrong in it.
        reason: String,
    },
}

impl Channels {
    /// Reads the environment's channels. Without the document there are none.
    ///
    /// # Errors
    /// The document cannot be read, or holds something else.
    pub async fn load<O: Objects>(objects: &O, environment: &Environment) -> Result<Self, ChannelsError> {
        let uri = environment.document(DOCUMENT);
        match objects.get(&uri, DOCUMENT_BYTES_MAX).await? {
            None => Ok(Self::default()),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| ChannelsError::Wrong { uri, reason: error.to_string() }),
        }
    }

    /// The channel of this name.
    pub fn get(&self, name: &str) -> Option<&Channel> {
        self.channels.get(name)
    }
}

impl FromIterator<(String, Channel)> for Channels {
    fn from_iter<I: IntoIterator<Item = (String, Channel)>>(channels: I) -> Self {
        Self { channels: channels.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_channel_is_read() {
        let channels: Channels = serde_json::from_str(
            r#"{"log": "stderr",
                "hook": {"http": {"url": "https://x.example/", "headers": {"Authorization": "secret:hook/token"}}},
                "bare": {"http": {"url": "secret:hook"}},
                "mail": {"email": {"from": "a@x.example", "to": ["b@x.example"]}},
                "topic": {"sns": {"topic": "arn:aws:sns:r:1:t"}},
                "slack": {"slack": {"webhook": "secret:slack"}},
                "teams": {"teams": {"webhook": "secret:teams"}},
                "bus": {"eventbridge": {}}}"#,
        )
        .unwrap();
        assert_eq!(channels.get("log"), Some(&Channel::Stderr));
        assert_eq!(channels.get("bus"), Some(&Channel::Eventbridge { bus: "default".into() }));
        assert!(matches!(channels.get("bare"), Some(Channel::Http { headers, .. }) if headers.is_empty()));
        assert_eq!(channels.get("none"), None);
    }

    #[test]
    fn what_is_no_channel_is_refused() {
        for wrong in [r#"{"a": {"pigeon": {}}}"#, r#"{"a": {"sns": {"topic": "t", "more": 1}}}"#, "[]"] {
            assert!(serde_json::from_str::<Channels>(wrong).is_err(), "{wrong}");
        }
    }
}
