//! What an item remembers of the request that wrote it last.
//!
//! DynamoDB knows tokens for transactions only. So every put leaves, in the item, a hash of the token
//! and one of the request's writes; a repeat of a single put whose condition fails finds them there and
//! knows that it came true before.

use cauce_model::ids::sha256_hex;
use cauce_model::item::Write;
use cauce_ports::TableError;

/// Characters of each of the two hashes: 64 bits, against accidents among the few requests that ever
/// meet on one item.
const HASH: usize = 16;

/// Most characters of a ClientRequestToken.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const CLIENT_TOKEN_MAX: usize = 36;

/// The hashes of one request.
pub(super) struct Stamp {
    text: String,
    scope: String,
}

/// What a stamp found on an item tells about a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// This request wrote it.
    Ours,
    /// Another request wrote it under this request's token.
    TokenReused,
    /// Nothing: another request wrote it.
    Nothing,
}

impl Stamp {
    /// The stamp of a request to a table.
    ///
    /// # Errors
    /// Writes that are no JSON; there are none.
    pub(super) fn new(table: &str, token: &str, writes: &[Write]) -> Result<Self, TableError> {
        let writes = serde_json::to_vec(writes).map_err(|error| TableError::Refused(error.to_string()))?;
        // Tokens are an account's on AWS, and a table's here.
        let scope = format!("{table}\0{token}");
        let text = format!("{:.HASH$}{:.HASH$}", sha256_hex(&scope), sha256_hex(writes));
        Ok(Self { text, scope })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What the stamp of an item tells about this request.
    pub(super) fn told_by(&self, found: &str) -> Told {
        if found == self.text {
            Told::Ours
        } else if found.get(..HASH) == self.text.get(..HASH) {
            Told::TokenReused
        } else {
            Told::Nothing
        }
    }

    /// The transaction's token. `versions` are those that were read for the request: with others it is
    /// another request to DynamoDB, which refuses a token used for other parameters.
    pub(super) fn client_token(&self, versions: &str) -> String {
        let mut token = sha256_hex(format!("{}\0{versions}", self.scope));
        token.truncate(CLIENT_TOKEN_MAX);
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::item::{Expect, Key};

    fn writes(sort: &str) -> Vec<Write> {
        vec![Write::Check { key: Key::new("p", sort), expect: Expect::Absent }]
    }

    #[test]
    fn a_stamp_tells_a_repeat_from_a_mistake_and_from_others() {
        let stamp = |table, token, sort| Stamp::new(table, token, &writes(sort)).unwrap();
        let ours = stamp("t", "1", "a");
        assert_eq!(ours.told_by(stamp("t", "1", "a").text()), Told::Ours);
        assert_eq!(ours.told_by(stamp("t", "1", "b").text()), Told::TokenReused);
        assert_eq!(ours.told_by(stamp("t", "2", "a").text()), Told::Nothing);
        assert_eq!(ours.told_by(stamp("u", "1", "a").text()), Told::Nothing, "another table");
        assert_eq!(ours.told_by(""), Told::Nothing);
    }

    #[test]
    fn transactions_tokens_fit_and_differ_with_what_was_read() {
        let stamp = Stamp::new("t", &"long".repeat(100), &writes("a")).unwrap();
        assert_eq!(stamp.client_token("").len(), CLIENT_TOKEN_MAX);
        assert_ne!(stamp.client_token("1"), stamp.client_token("2"));
    }
}
