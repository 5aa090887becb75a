//! Datasets and whom they start, for those who only look.

use crate::look::{LookError, range};
use cauce_model::Key;
use cauce_model::dataset::{
    ConsumerRecord, DATASETS_LIST, DatasetRecord, WaitingRecord, consumer_item, consumer_partition,
    dataset_item, waiting_prefix,
};
use cauce_model::record::Record;
use cauce_ports::Table;

/// Entries read at a time.
const PAGE: u32 = 1000;

async fn read<R: Record>(table: &impl Table, key: Key) -> Result<Option<R>, LookError> {
    let item = table.get(&key).await?;
    Ok(item.as_ref().map(R::from_item).transpose()?)
}

/// A dataset, once it was updated.
///
/// # Errors
/// A table that cannot be read.
pub async fn dataset(table: &impl Table, name: &str) -> Result<Option<DatasetRecord>, LookError> {
    read(table, dataset_item(name)).await
}

/// The names of all datasets that were ever updated, ascending.
///
/// # Errors
/// A table that cannot be read.
pub async fn datasets(table: &impl Table) -> Result<Vec<String>, LookError> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = table.list(DATASETS_LIST, "", after, PAGE).await?;
        names.extend(
            page.items.iter().filter_map(|item| item.body.get("dataset")?.as_str().map(str::to_owned)),
        );
        after = page.next;
        if after.is_none() {
            return Ok(names);
        }
    }
}

/// A pipeline that datasets start, with what waits for it.
///
/// # Errors
/// A table that cannot be read.
pub async fn consumer(
    table: &impl Table,
    pipeline: &str,
) -> Result<Option<(ConsumerRecord, Vec<WaitingRecord>)>, LookError> {
    let Some(consumer) = read::<ConsumerRecord>(table, consumer_item(pipeline)).await? else {
        return Ok(None);
    };
    let items = range(table, &consumer_partition(pipeline), &waiting_prefix(consumer.epoch)).await?;
    let waiting = items.iter().map(WaitingRecord::from_item).collect::<Result<_, _>>()?;
    Ok(Some((consumer, waiting)))
}
