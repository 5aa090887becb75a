//! Writes: all or none, once a token.
//!
//! How a token keeps its promise ("a repeat is applied once and answers as the first did"):
//! - Several writes are one transaction; DynamoDB itself remembers its ClientRequestToken for ten
//!   minutes. Also a put that expects anything reads the version first, since DynamoDB cannot count on
//!   in a put; if what it finds bears this request's stamp, the request came true before.
//! - A single put is a PutItem under its condition. A repeat of one that came true fails that condition,
//!   is shown the item, finds its own stamp there, and answers that all is well. Where somebody else
//!   has put the item since, the repeat hears that its condition does not hold, which is true by then,
//!   and nothing is applied twice.
//! - A single removal without a condition may be repeated as it is.

use super::DynamoTable;
use super::encode::{self, Attributes, PARTITION, SORT, STAMP, VERSION};
use super::expression::{self, Bound};
use super::failed;
use super::stamp::{Stamp, Told};
use crate::connect::TRIES;
use crate::failure::Failure;
use crate::pause;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use aws_smithy_types::error::operation::BuildError;
use cauce_model::item::{Expect, ITEM_BYTES_MAX, Item, Key, TRANSACTION_MAX, Write};
use cauce_ports::TableError;
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of all the items of one transaction.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often puts that expect anything are made anew because somebody wrote in between. Each time
/// somebody made progress.
const OVERTAKEN_MAX: u32 = 16;

/// What came of one try.
enum Tried {
    Done,
    /// Somebody changed an item between reading its version and writing, and the request does not mind.
    Overtaken,
}

/// Versions found before writing, of the puts that expect anything.
type Versions = BTreeMap<Key, u64>;

impl DynamoTable {
    pub(super) async fn write_all(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        let stamp = Stamp::new(&self.name, token, writes)?;
        check(writes, &stamp)?;
        let (mut overtaken, mut number) = (0, 1);
        loop {
            match self.try_write(writes, &stamp).await {
                Ok(Tried::Done) => return Ok(()),
                Ok(Tried::Overtaken) => {
                    overtaken += 1;
                    if overtaken == OVERTAKEN_MAX {
                        return Err(TableError::Conflict);
                    }
                    pause::before_repeat(overtaken.min(3)).await;
                }
                // Nothing was changed, and the token is the same.
                Err(TableError::Conflict | TableError::Throttled) if number < TRIES => {
                    pause::before_repeat(number).await;
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_write(&self, writes: &[Write], stamp: &Stamp) -> Result<Tried, TableError> {
        let unconditional: Vec<Key> = writes
            .iter()
            .filter(|write| matches!(write, Write::Put { expect: Expect::Any, .. }))
            .map(|write| write.key().clone())
            .collect();
        let mut versions = Versions::new();
        for found in self.read_batch(&unconditional, &[PARTITION, SORT, VERSION, STAMP]).await? {
            match stamp.told_by(stamp_of(&found)) {
                Told::Ours => return Ok(Tried::Done),
                Told::TokenReused => return Err(token_reused()),
                Told::Nothing => {}
            }
            let found = encode::decode(found)?;
            versions.insert(found.key, found.version);
        }
        match writes {
            [] => Ok(Tried::Done),
            [Write::Put { item, expect }] => self.put(item, *expect, &versions, stamp).await,
            [Write::Delete { key, expect: Expect::Any }] => self.delete(key).await,
            _ => self.transact(writes, &versions, stamp).await,
        }
    }

    async fn put(
        &self,
        item: &Item,
        expect: Expect,
        versions: &Versions,
        stamp: &Stamp,
    ) -> Result<Tried, TableError> {
        let (expected, version) = expected(expect, &item.key, versions);
        let mut bound = Bound::default();
        let call = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(encode::item(item, version, stamp.text())))
            .set_condition_expression(expression::expectation(expected, &mut bound))
            .set_expression_attribute_names(bound.names())
            .set_expression_attribute_values(bound.values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let error = match call.send().await {
            Ok(answer) => {
                self.units.add_written(answer.consumed_capacity.as_slice());
                return Ok(Tried::Done);
            }
            Err(error) => error,
        };
        let there = match error.as_service_error() {
            Some(aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                failed,
            )) => failed.item(),
            _ => return Err(failed::table_error(&Failure::of(&error))),
        };
        match there.map_or(Told::Nothing, |item| stamp.told_by(stamp_of(item))) {
            Told::Ours => Ok(Tried::Done),
            Told::TokenReused => Err(token_reused()),
            Told::Nothing if expect == Expect::Any => Ok(Tried::Overtaken),
            Told::Nothing => Err(TableError::Condition { failed: vec![0] }),
        }
    }

    async fn delete(&self, key: &Key) -> Result<Tried, TableError> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(encode::key(key)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| failed::table_error(&Failure::of(&error)))?;
        self.units.add_written(answer.consumed_capacity.as_slice());
        Ok(Tried::Done)
    }

    async fn transact(
        &self,
        writes: &[Write],
        versions: &Versions,
        stamp: &Stamp,
    ) -> Result<Tried, TableError> {
        let (mut parts, mut positions) = (Vec::new(), Vec::new());
        for (position, write) in writes.iter().enumerate() {
            let part = part(&self.name, write, versions, stamp);
            if let Some(part) = part.map_err(|error| TableError::Refused(error.to_string()))? {
                parts.push(part);
                positions.push(position);
            }
        }
        if parts.is_empty() {
            return Ok(Tried::Done);
        }
        let read: Vec<String> = versions.iter().map(|(key, version)| format!("{key}={version}")).collect();
        let call = self
            .client
            .transact_write_items()
            .set_transact_items(Some(parts))
            .client_request_token(stamp.client_token(&read.join("\0")))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let error = match call.send().await {
            Ok(answer) => {
                self.units.add_written(answer.consumed_capacity());
                return Ok(Tried::Done);
            }
            Err(error) => error,
        };
        let cancelled = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                failed::cancelled(cancelled.cancellation_reasons(), &positions)
            }
            _ => failed::table_error(&Failure::of(&error)),
        };
        let TableError::Condition { failed } = cancelled else {
            return Err(cancelled);
        };
        let minded: Vec<usize> = failed
            .into_iter()
            .filter(|position| writes.get(*position).is_some_and(|write| write.expect() != Expect::Any))
            .collect();
        if minded.is_empty() { Ok(Tried::Overtaken) } else { Err(TableError::Condition { failed: minded }) }
    }
}

/// What a put is to expect, anything included, and the version that it makes.
fn expected(expect: Expect, key: &Key, versions: &Versions) -> (Expect, u64) {
    match (expect, versions.get(key)) {
        (Expect::Absent, _) | (Expect::Any, None) => (Expect::Absent, 1),
        (Expect::Version(version), _) | (Expect::Any, Some(&version)) => {
            (Expect::Version(version), version.saturating_add(1))
        }
    }
}

/// A write as a part of a transaction; `None` for a check of nothing.
fn part(
    table: &str,
    write: &Write,
    versions: &Versions,
    stamp: &Stamp,
) -> Result<Option<TransactWriteItem>, BuildError> {
    let mut bound = Bound::default();
    let part = TransactWriteItem::builder();
    Ok(Some(match write {
        Write::Put { item, expect } => {
            let (expect, version) = expected(*expect, &item.key, versions);
            let put = Put::builder()
                .table_name(table)
                .set_item(Some(encode::item(item, version, stamp.text())))
                .set_condition_expression(expression::expectation(expect, &mut bound))
                .set_expression_attribute_names(bound.names())
                .set_expression_attribute_values(bound.values());
            part.put(put.build()?).build()
        }
        Write::Delete { key, expect } => {
            let delete = Delete::builder()
                .table_name(table)
                .set_key(Some(encode::key(key)))
                .set_condition_expression(expression::expectation(*expect, &mut bound))
                .set_expression_attribute_names(bound.names())
                .set_expression_attribute_values(bound.values());
            part.delete(delete.build()?).build()
        }
        Write::Check { key, expect } => {
            let Some(condition) = expression::expectation(*expect, &mut bound) else {
                return Ok(None);
            };
            let check = ConditionCheck::builder()
                .table_name(table)
                .set_key(Some(encode::key(key)))
                .condition_expression(condition)
                .set_expression_attribute_names(bound.names())
                .set_expression_attribute_values(bound.values());
            part.condition_check(check.build()?).build()
        }
    }))
}

/// What can be checked without DynamoDB: count, keys, sizes.
fn check(writes: &[Write], stamp: &Stamp) -> Result<(), TableError> {
    if writes.len() > TRANSACTION_MAX {
        return Err(TableError::Refused(format!(
            "{} writes in one transaction, {TRANSACTION_MAX} at most",
            writes.len()
        )));
    }
    let mut keys = BTreeSet::new();
    for write in writes {
        if !keys.insert(write.key()) {
            return Err(TableError::Refused(format!("{} is written twice in one transaction", write.key())));
        }
    }
    let mut total = 0;
    for write in writes {
        if let Write::Put { item, .. } = write {
            let bytes = encode::size(&encode::item(item, u64::MAX, stamp.text()));
            if bytes > ITEM_BYTES_MAX {
                return Err(TableError::TooLarge { bytes });
            }
            total += bytes;
        }
    }
    if total > TRANSACTION_BYTES_MAX { Err(TableError::TooLarge { bytes: total }) } else { Ok(()) }
}

fn stamp_of(attributes: &Attributes) -> &str {
    match attributes.get(STAMP) {
        Some(AttributeValue::S(stamp)) => stamp,
        _ => "",
    }
}

fn token_reused() -> TableError {
    TableError::Refused("the token was used for other writes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sort: &str, text: &str) -> Write {
        let mut item = Item::new(Key::new("p", sort), Default::default());
        item.body.insert("text".into(), text.into());
        Write::Put { item, expect: Expect::Any }
    }

    fn checked(writes: &[Write]) -> Result<(), TableError> {
        check(writes, &Stamp::new("t", "1", writes)?)
    }

    #[test]
    fn requests_against_the_rules_never_leave() {
        assert_eq!(checked(&[put("a", ""), put("b", "")]), Ok(()));
        assert!(matches!(checked(&[put("a", ""), put("a", "")]), Err(TableError::Refused(_))));
        let many: Vec<Write> = (0..=TRANSACTION_MAX).map(|n| put(&n.to_string(), "")).collect();
        assert!(matches!(checked(&many), Err(TableError::Refused(_))));
        let large = "x".repeat(ITEM_BYTES_MAX);
        let too_large = checked(&[put("a", &large)]);
        assert!(matches!(too_large, Err(TableError::TooLarge { bytes }) if bytes > ITEM_BYTES_MAX));
        let nearly = "x".repeat(ITEM_BYTES_MAX - 200);
        let eleven: Vec<Write> = (0..11).map(|n| put(&n.to_string(), &nearly)).collect();
        assert!(matches!(checked(&eleven), Err(TableError::TooLarge { .. })));
        assert_eq!(checked(&eleven[..10]), Ok(()));
    }

    #[test]
    fn a_put_that_expects_anything_counts_on_from_what_was_read() {
        let key = Key::new("p", "a");
        let versions = Versions::from([(key.clone(), 7)]);
        assert_eq!(expected(Expect::Any, &key, &versions), (Expect::Version(7), 8));
        assert_eq!(expected(Expect::Any, &key, &Versions::new()), (Expect::Absent, 1));
        assert_eq!(expected(Expect::Version(3), &key, &versions), (Expect::Version(3), 4));
        assert_eq!(expected(Expect::Absent, &key, &versions), (Expect::Absent, 1));
    }

    #[test]
    fn a_check_of_nothing_is_no_part() {
        let writes = [Write::Check { key: Key::new("p", "a"), expect: Expect::Any }];
        let stamp = Stamp::new("t", "1", &writes).unwrap();
        assert_eq!(part("t", &writes[0], &Versions::new(), &stamp).unwrap(), None);
    }
}
