//! The store in one DynamoDB table: hash key `pk`, range key `sk`, and the sparse index `list`
//! (`lk`, `lp`, projection ALL). What an item looks like is told in `encode`.
//!
//! Reads of items and partitions are strongly consistent; only the index is not. Nothing is ever read
//! by going through the whole table.

mod encode;

mod expression;

mod failed;

mod stamp;

mod units;

mod write;

pub use units::{ConsumedUnits, Units};

use crate::connect::{Connection, TRIES};
use crate::failure::Failure;
use crate::pause;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValue};
use aws_smithy_types::retry::RetryConfig;
use cauce_model::item::{Change, Item, Key, When, Write};
use cauce_ports::{Cursor, Page, Table, TableError};
use encode::{Attributes, LIST, PARTITION, POSITION, SORT};
use expression::Bound;
use std::collections::BTreeMap;

/// The name of the sparse index.
pub const INDEX: &str = "list";

/// Most keys of one BatchGetItem.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const BATCH_MAX: usize = 100;

/// How often the part of a batch is asked for again that DynamoDB left out. Parts come back smaller
/// each time; none at all so often in a row is an overload.
const LEFT_OUT_MAX: u32 = 8;

/// The store of an environment. Copies count their units together.
#[derive(Clone, Debug)]
pub struct DynamoTable {
    client: Client,
    name: String,
    units: ConsumedUnits,
}

impl DynamoTable {
    /// The table of this name. Calls nothing.
    pub fn new(connection: &Connection, name: impl Into<String>) -> Self {
        Self { client: Client::new(connection.config()), name: name.into(), units: ConsumedUnits::default() }
    }

    /// What the calls of this table and its copies consumed so far.
    pub const fn consumed(&self) -> &ConsumedUnits {
        &self.units
    }

    /// Reads these different keys: the whole items, or some of their attributes.
    async fn read_batch(&self, keys: &[Key], only: &[&str]) -> Result<Vec<Attributes>, TableError> {
        let mut found = Vec::new();
        for keys in keys.chunks(BATCH_MAX) {
            let mut wanted: Vec<Attributes> = keys.iter().map(encode::key).collect();
            let mut fruitless = 0;
            while !wanted.is_empty() {
                let asked = wanted.len();
                let (items, left_out) = self.read_some(wanted, only).await?;
                found.extend(items);
                wanted = left_out;
                if wanted.len() == asked {
                    fruitless += 1;
                    if fruitless == LEFT_OUT_MAX {
                        return Err(TableError::Throttled);
                    }
                    pause::before_repeat(fruitless).await;
                }
            }
        }
        Ok(found)
    }

    /// One BatchGetItem: what it found, and the keys that it left out.
    async fn read_some(
        &self,
        keys: Vec<Attributes>,
        only: &[&str],
    ) -> Result<(Vec<Attributes>, Vec<Attributes>), TableError> {
        let mut bound = Bound::default();
        let projection: Vec<String> = only.iter().map(|attribute| bound.name(attribute)).collect();
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .set_projection_expression((!only.is_empty()).then(|| projection.join(", ")))
            .set_expression_attribute_names(bound.names())
            .build()
            .map_err(|error| TableError::Refused(error.to_string()))?;
        let answer = self
            .client
            .batch_get_item()
            .request_items(&self.name, request)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| failed::table_error(&Failure::of(&error)))?;
        self.units.add_read(answer.consumed_capacity());
        let mut found = answer.responses.unwrap_or_default();
        let mut left_out = answer.unprocessed_keys.unwrap_or_default();
        Ok((
            found.remove(&self.name).unwrap_or_default(),
            left_out.remove(&self.name).map(|part| part.keys).unwrap_or_default(),
        ))
    }

    /// Reads pages of a partition, or of a list of the index, until there are `limit` items.
    async fn read_pages(&self, reading: Reading, limit: u32) -> Result<(Vec<Item>, bool), TableError> {
        let mut items = Vec::new();
        let mut after = reading.after;
        loop {
            let left = (limit as usize).saturating_sub(items.len());
            if left == 0 {
                return Ok((items, after.is_some()));
            }
            let page = self
                .client
                .query()
                .table_name(&self.name)
                .set_index_name(reading.index.map(str::to_owned))
                // The index has no consistent reads.
                .consistent_read(reading.index.is_none())
                .key_condition_expression(&reading.condition)
                .set_expression_attribute_names(reading.bound.names())
                .set_expression_attribute_values(reading.bound.values())
                .set_exclusive_start_key(after)
                .limit(i32::try_from(left).unwrap_or(i32::MAX))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| failed::table_error(&Failure::of(&error)))?;
            self.units.add_read(page.consumed_capacity.as_slice());
            for attributes in page.items.unwrap_or_default() {
                items.push(encode::decode(attributes)?);
            }
            after = page.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok((items, false));
            }
        }
    }

    /// One UpdateItem, sent once.
    async fn update_once(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        let mut bound = Bound::default();
        let update = expression::update(change, &mut bound)?;
        let condition = expression::condition(when, &mut bound);
        // Additions are not safe to repeat, and only the caller knows what it adds: a lost reply is
        // told, not tried again behind its back.
        let once = aws_sdk_dynamodb::config::Builder::new().retry_config(RetryConfig::disabled());
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(encode::key(key)))
            .update_expression(update)
            .set_condition_expression(condition)
            .set_expression_attribute_names(bound.names())
            .set_expression_attribute_values(bound.values())
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|error| failed::table_error(&Failure::of(&error)))?;
        self.units.add_written(answer.consumed_capacity.as_slice());
        let attributes =
            answer.attributes.ok_or_else(|| TableError::Unknown("an update without its item".to_owned()))?;
        encode::decode(attributes)
    }
}

/// A query to be made.
struct Reading {
    index: Option<&'static str>,
    condition: String,
    bound: Bound,
    after: Option<Attributes>,
}

/// Where a reading of a list stopped: position in the index, partition and sort key.
#[derive(serde::Serialize, serde::Deserialize)]
struct ListPlace(String, String, String);

impl Table for DynamoTable {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(encode::key(key)))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| failed::table_error(&Failure::of(&error)))?;
        self.units.add_read(answer.consumed_capacity.as_slice());
        answer.item.map(encode::decode).transpose()
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        // A key asked for twice would be refused.
        let mut different: Vec<Key> = keys.to_vec();
        different.sort();
        different.dedup();
        let mut found = BTreeMap::new();
        for attributes in self.read_batch(&different, &[]).await? {
            let item = encode::decode(attributes)?;
            found.insert(item.key.clone(), item);
        }
        Ok(keys.iter().filter_map(|key| found.get(key).cloned()).collect())
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let mut bound = Bound::default();
        let hash = (bound.name(PARTITION), bound.value(AttributeValue::S(partition.to_owned())));
        let mut condition = format!("{} = {}", hash.0, hash.1);
        // A key cannot be compared with an empty text.
        if !prefix.is_empty() {
            let range = (bound.name(SORT), bound.value(AttributeValue::S(prefix.to_owned())));
            condition = format!("{condition} AND begins_with({}, {})", range.0, range.1);
        }
        let after = after.map(|Cursor(sort)| encode::key(&Key::new(partition, sort)));
        let (items, more) = self.read_pages(Reading { index: None, condition, bound, after }, limit).await?;
        let next = items.last().filter(|_| more).map(|item| Cursor(item.key.sort.clone()));
        Ok(Page { items, next })
    }

    async fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let mut bound = Bound::default();
        let hash = (bound.name(LIST), bound.value(AttributeValue::S(list.to_owned())));
        let mut condition = format!("{} = {}", hash.0, hash.1);
        if !from.is_empty() {
            let range = (bound.name(POSITION), bound.value(AttributeValue::S(from.to_owned())));
            condition = format!("{condition} AND {} >= {}", range.0, range.1);
        }
        let after = match after {
            None => None,
            Some(cursor) => {
                let ListPlace(position, partition, sort) = serde_json::from_str(&cursor.0)
                    .map_err(|_| TableError::Refused("a cursor of another reading".to_owned()))?;
                let mut place = encode::key(&Key::new(partition, sort));
                place.insert(LIST.to_owned(), AttributeValue::S(list.to_owned()));
                place.insert(POSITION.to_owned(), AttributeValue::S(position));
                Some(place)
            }
        };
        let (items, more) =
            self.read_pages(Reading { index: Some(INDEX), condition, bound, after }, limit).await?;
        let next = match items.last().filter(|_| more) {
            None => None,
            Some(item) => {
                let position = item.index.as_ref().map_or("", |entry| entry.position.as_str());
                let position = encode::index_position(position, &item.key);
                let place = ListPlace(position, item.key.partition.clone(), item.key.sort.clone());
                let text = serde_json::to_string(&place);
                Some(Cursor(text.map_err(|error| TableError::Unusable(error.to_string()))?))
            }
        };
        Ok(Page { items, next })
    }

    /// Several writes, and removals on a condition, are one TransactWriteItems under the token. A single
    /// put or unconditional removal is a PutItem or DeleteItem, at half the price; `write` says how the
    /// token keeps its promise there.
    async fn write(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        self.write_all(writes, token).await
    }

    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        let mut number = 1;
        loop {
            match self.update_once(key, change, when).await {
                // Nothing was changed: these are safe to repeat.
                Err(TableError::Throttled | TableError::Conflict) if number < TRIES => {
                    pause::before_repeat(number).await;
                    number += 1;
                }
                done => return done,
            }
        }
    }
}
