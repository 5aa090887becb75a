//! What the store gives back: items of any kind, keys, leases.

use cauce_engine::slots::{Holder, lease, parse_lease};
use cauce_model::audit::AuditRecord;
use cauce_model::dataset::{ConsumerRecord, DatasetRecord, UpdateRecord, WaitingRecord};
use cauce_model::deployment::VersionRecord;
use cauce_model::event::{
    ClockRecord, FileRecord, InterestRecord, LedgerRecord, MemberRecord, SetRecord, sequence,
};
use cauce_model::item::{Item, Key};
use cauce_model::matrix::{FanRecord, ItemRecord, MatrixRecord};
use cauce_model::record::{PipelineRecord, Record, RunRecord, TaskRecord};
use cauce_model::webhook::CallRecord;
use cauce_model::{Deployment, FailureClass, Instant, Plan, RunKey, TaskStatus};
use serde_json::Value;

/// JSON that is read as every record there is; text that is every word there is.
pub(crate) fn record(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    words(text);
    let Ok(Value::Object(body)) = serde_json::from_str(text) else { return };
    let item = Item::new(Key::new("p", "s"), body);
    stored::<RunRecord>(&item);
    stored::<TaskRecord>(&item);
    stored::<PipelineRecord>(&item);
    stored::<VersionRecord>(&item);
    stored::<AuditRecord>(&item);
    stored::<InterestRecord>(&item);
    stored::<FileRecord>(&item);
    stored::<SetRecord>(&item);
    stored::<MemberRecord>(&item);
    stored::<LedgerRecord>(&item);
    stored::<ClockRecord>(&item);
    stored::<UpdateRecord>(&item);
    stored::<DatasetRecord>(&item);
    stored::<ConsumerRecord>(&item);
    stored::<WaitingRecord>(&item);
    stored::<MatrixRecord>(&item);
    stored::<ItemRecord>(&item);
    stored::<FanRecord>(&item);
    stored::<CallRecord>(&item);
    if let Ok(run) = RunRecord::from_item(&item) {
        assert_eq!(run.key(), run.run.key());
        (0..64).for_each(|task| {
            run.carries(task);
        });
    }
    document::<Plan>(text);
    document::<Deployment>(text);
}

/// Refused with the item's key, or kept as it is however often it is stored.
fn stored<R: Record>(item: &Item) {
    match R::from_item(item) {
        Err(error) => {
            assert_eq!(error.key, item.key);
            assert!(error.to_string().contains("p/s"), "{error}");
        }
        Ok(record) => {
            let body = record.to_body();
            let item = Item::new(item.key.clone(), body.clone());
            let again = R::from_item(&item).unwrap_or_else(|error| panic!("{:?} of {body:?}", error.source));
            assert_eq!(again.to_body(), body);
        }
    }
}

fn document<D: serde::Serialize + serde::de::DeserializeOwned>(text: &str) {
    let Ok(read) = serde_json::from_str::<D>(text) else { return };
    let written = serde_json::to_string(&read).unwrap_or_else(|error| panic!("{error}"));
    let again: D = serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(serde_json::to_string(&again).ok(), Some(written));
}

fn words(text: &str) {
    if let Some(holder) = Holder::parse(text) {
        let name = holder.name();
        assert_eq!(Holder::parse(&name).as_ref(), Some(&holder), "{name}");
    }
    let (holder, slots) = parse_lease(text);
    // Of a holder's own name, which ends with a number.
    if slots > 0 && Holder::parse(holder).is_some() {
        assert_eq!(parse_lease(&lease(holder, slots)), (holder, slots), "{text}");
    }
    if let Ok(at) = Instant::parse(text) {
        assert_eq!(Instant::parse(&at.to_string()).ok(), Some(at), "{text}");
    }
    let key = RunKey::from_text(text);
    assert_eq!(key.as_str(), text);
    assert!(FailureClass::parse(text).is_none_or(|class| class.as_str() == text));
    assert!(TaskStatus::parse(text).is_none_or(|status| status.as_str() == text));
    if let Some((one, other)) = text.split_once('\n') {
        assert_eq!(sequence(one, other), sequence(other, one).reverse(), "{one} {other}");
    }
}
