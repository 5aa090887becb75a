//! Items as DynamoDB keeps them.
//!
//! ```text
//! pk, sk     S   the key
//! v          N   the version
//! t          S   which request wrote the item last: see `stamp`
//! lk, lp     S   the list, and position NUL partition NUL sort: one order for items at one position
//! ttl        N   expiry in seconds since the epoch, rounded up
//! <field>        a field of the body: S, BOOL, NULL, N for whole numbers, SS for what can be a set (a
//!                list of texts, ascending, none twice), else M {"json": S}: lists, objects and
//!                fractions as JSON text, so that order, digits and depth stay as they were
//! []<field>  BOOL the field is an empty list as long as the attribute <field> is absent: DynamoDB has no
//!                empty sets, and a set whose last text is taken out vanishes
//! ```
//! A field named like an attribute of ours, or beginning with `_` or `[`, gets a `_` before its name.

use aws_sdk_dynamodb::types::AttributeValue;
use cauce_model::item::{Body, IndexEntry, Item, Key};
use cauce_model::{Instant, Json};
use cauce_ports::TableError;
use std::collections::HashMap;

pub(super) const PARTITION: &str = "pk";
pub(super) const SORT: &str = "sk";
pub(super) const VERSION: &str = "v";
pub(super) const STAMP: &str = "t";
pub(super) const LIST: &str = "lk";
pub(super) const POSITION: &str = "lp";
const EXPIRY: &str = "ttl";

/// Attributes that are no fields.
const OURS: [&str; 7] = [PARTITION, SORT, VERSION, STAMP, LIST, POSITION, EXPIRY];

/// The only member of a map that holds a JSON text.
const JSON: &str = "json";

/// What the name of an empty list's mark begins with.
const EMPTY: &str = "[]";

/// An item's attributes.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// The attribute of a field.
pub(super) fn attribute(field: &str) -> String {
    if field.is_empty() || field.starts_with(['_', '[']) || OURS.contains(&field) {
        format!("_{field}")
    } else {
        field.to_owned()
    }
}

/// The mark that a field is an empty list.
pub(super) fn empty_mark(field: &str) -> String {
    format!("{EMPTY}{field}")
}

/// A key's attributes.
pub(super) fn key(key: &Key) -> Attributes {
    Attributes::from([
        (PARTITION.to_owned(), AttributeValue::S(key.partition.clone())),
        (SORT.to_owned(), AttributeValue::S(key.sort.clone())),
    ])
}

/// What a position is in the index: unique, and in the order of position, partition, sort key.
pub(super) fn index_position(position: &str, key: &Key) -> String {
    format!("{position}{}", position_tail(key))
}

fn position_tail(key: &Key) -> String {
    format!("\0{}\0{}", key.partition, key.sort)
}

/// A field's value; `None` for an empty list, which has a mark instead.
pub(super) fn value(value: &Json) -> Option<AttributeValue> {
    Some(match value {
        Json::Null => AttributeValue::Null(true),
        Json::Bool(value) => AttributeValue::Bool(*value),
        Json::String(text) => AttributeValue::S(text.clone()),
        Json::Number(number) if number.is_i64() || number.is_u64() => AttributeValue::N(number.to_string()),
        Json::Array(list) if list.is_empty() => return None,
        Json::Array(list) => match as_set(list) {
            Some(set) => AttributeValue::Ss(set),
            None => json(value),
        },
        Json::Number(_) | Json::Object(_) => json(value),
    })
}

fn json(value: &Json) -> AttributeValue {
    AttributeValue::M(Attributes::from([(JSON.to_owned(), AttributeValue::S(value.to_string()))]))
}

/// The texts of a list that reads the same after DynamoDB kept it as a set.
fn as_set(list: &[Json]) -> Option<Vec<String>> {
    let texts: Vec<String> =
        list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    texts.is_sorted_by(|before, after| before < after).then_some(texts)
}

/// An item's attributes, with this version and stamp.
pub(super) fn item(item: &Item, version: u64, stamp: &str) -> Attributes {
    let mut attributes = key(&item.key);
    attributes.insert(VERSION.to_owned(), AttributeValue::N(version.to_string()));
    attributes.insert(STAMP.to_owned(), AttributeValue::S(stamp.to_owned()));
    if let Some(entry) = &item.index {
        attributes.insert(LIST.to_owned(), AttributeValue::S(entry.list.clone()));
        let position = index_position(&entry.position, &item.key);
        attributes.insert(POSITION.to_owned(), AttributeValue::S(position));
    }
    if let Some(at) = item.expires_at {
        attributes.insert(EXPIRY.to_owned(), AttributeValue::N(seconds_up(at).to_string()));
    }
    for (field, json) in &item.body {
        match value(json) {
            Some(value) => attributes.insert(attribute(field), value),
            None => attributes.insert(empty_mark(field), AttributeValue::Bool(true)),
        };
    }
    attributes
}

fn seconds_up(at: Instant) -> i64 {
    let micros = at.micros();
    micros.div_euclid(1_000_000) + i64::from(micros.rem_euclid(1_000_000) > 0)
}

/// What to do about an item that is none of ours.
const MEND: &str = "somebody else has written it; remove it, or restore the table to a moment before";

/// The item that these attributes are.
///
/// # Errors
/// They are not what [`item`] makes: somebody else wrote into the table.
pub(super) fn decode(mut attributes: Attributes) -> Result<Item, TableError> {
    let key = Key::new(text(&mut attributes, PARTITION)?, text(&mut attributes, SORT)?);
    let foreign = |what: &str| TableError::Unusable(format!("the item {key} has a strange '{what}': {MEND}"));
    let version = whole(attributes.remove(VERSION)).ok_or_else(|| foreign(VERSION))?;
    let expires_at = match attributes.remove(EXPIRY) {
        None => None,
        Some(expiry) => {
            let seconds: i64 = whole(Some(expiry)).ok_or_else(|| foreign(EXPIRY))?;
            Some(Instant::from_micros(seconds.saturating_mul(1_000_000)))
        }
    };
    let index = match (attributes.remove(LIST), attributes.remove(POSITION)) {
        (None, None) => None,
        (Some(AttributeValue::S(list)), Some(AttributeValue::S(whole))) => {
            let position = whole.strip_suffix(&position_tail(&key)).ok_or_else(|| foreign(POSITION))?;
            Some(IndexEntry { list, position: position.to_owned() })
        }
        _ => return Err(foreign(LIST)),
    };
    attributes.remove(STAMP);
    // Attributes come in no order; an item reads the same every time.
    let mut fields: Vec<(String, AttributeValue)> = attributes.into_iter().collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut body = Body::new();
    let mut marks = Vec::new();
    for (name, value) in fields {
        if let Some(field) = name.strip_prefix(EMPTY) {
            marks.push(field.to_owned());
            continue;
        }
        let json = from_value(value).ok_or_else(|| foreign(&name))?;
        body.insert(name.strip_prefix('_').unwrap_or(&name).to_owned(), json);
    }
    for field in marks {
        body.entry(field).or_insert_with(|| Json::Array(Vec::new()));
    }
    Ok(Item { key, version, body, index, expires_at })
}

fn text(attributes: &mut Attributes, name: &str) -> Result<String, TableError> {
    match attributes.remove(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(TableError::Unusable(format!("an item of the table has no text '{name}': {MEND}"))),
    }
}

fn whole<N: std::str::FromStr>(value: Option<AttributeValue>) -> Option<N> {
    match value? {
        AttributeValue::N(number) => number.parse().ok(),
        _ => None,
    }
}

fn from_value(value: AttributeValue) -> Option<Json> {
    Some(match value {
        AttributeValue::Null(_) => Json::Null,
        AttributeValue::Bool(value) => Json::Bool(value),
        AttributeValue::S(text) => Json::String(text),
        AttributeValue::N(number) => Json::Number(number.parse().ok()?),
        AttributeValue::Ss(mut set) => {
            set.sort();
            Json::Array(set.into_iter().map(Json::String).collect())
        }
        AttributeValue::M(mut map) => match map.remove(JSON)? {
            AttributeValue::S(text) => serde_json::from_str(&text).ok()?,
            _ => return None,
        },
        _ => return None,
    })
}

/// Bytes of an item as DynamoDB counts them, never less.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub(super) fn size(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        // Two digits a byte, and one more, two with a minus.
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        AttributeValue::Ss(set) => set.iter().map(String::len).sum(),
        // Three bytes, and one for each member.
        AttributeValue::M(map) => 3 + size(map) + map.len(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(body: Json) -> Item {
        Item::new(Key::new("run#k", "T#load"), body.as_object().cloned().unwrap())
    }

    #[test]
    fn items_are_read_back_as_they_were() {
        let mut whole = sample(json!({
            "z": 1, "big": u64::MAX, "small": i64::MIN, "half": -1.5, "one": 1.0, "huge": 1e300, "exact": 9007199254740993_u64,
            "set": ["a", "b"], "list": ["b", "a"], "twice": ["a", "a"], "mixed": ["a", 1], "none": [],
            "deep": {"z": [1, {"y": []}], "a": null}, "null": null, "text": "", "yes": true,
            "pk": "mine", "v": 7, "ttl": "x", "_under": 1, "[]odd": [], "": "no name", "json": {"json": "x"},
        }));
        whole.index = Some(IndexEntry { list: "due".into(), position: "2\0x".into() });
        whole.expires_at = Some(Instant::from_micros(5_000_000));
        whole.version = 3;
        let attributes = item(&whole, 3, "stamp");
        assert_eq!(decode(attributes.clone()).unwrap(), whole);
        assert_eq!(attributes["set"], AttributeValue::Ss(vec!["a".into(), "b".into()]));
        assert_eq!(attributes["exact"], AttributeValue::N("9007199254740993".into()));
        assert!(!attributes.contains_key("none"), "there are no empty sets");
    }

    #[test]
    fn objects_keep_the_order_of_their_members() {
        let read = decode(item(&sample(json!({"launch": {"z": 1, "a": 2}})), 1, "s")).unwrap();
        assert_eq!(read.body["launch"].to_string(), r#"{"z":1,"a":2}"#);
    }

    #[test]
    fn a_set_that_vanished_reads_as_an_empty_list_where_it_is_marked() {
        let mut attributes = item(&sample(json!({"set": []})), 1, "s");
        assert_eq!(decode(attributes.clone()).unwrap().body["set"], json!([]));
        attributes.insert("set".into(), AttributeValue::Ss(vec!["x".into()]));
        assert_eq!(decode(attributes).unwrap().body["set"], json!(["x"]));
    }

    #[test]
    fn expiry_is_never_early() {
        for (micros, seconds) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(seconds_up(Instant::from_micros(micros)), seconds);
        }
    }

    #[test]
    fn what_others_wrote_is_no_item() {
        let mut attributes = item(&sample(json!({})), 1, "s");
        attributes.insert("foreign".into(), AttributeValue::L(Vec::new()));
        assert!(matches!(decode(attributes), Err(TableError::Unusable(_))));
        assert!(matches!(decode(key(&Key::new("p", "s"))), Err(TableError::Unusable(_))));
    }

    /// An attribute that is not what was written is told with the item's key; one more or one less is a field
    /// more or less, for the record to refuse.
    #[test]
    fn a_garbled_attribute_is_told_with_the_key_and_what_to_do() {
        let mut whole = sample(
            json!({"text": "x", "count": 1, "set": ["a"], "deep": {"a": [1]}, "no": false, "half": 0.5}),
        );
        whole.index = Some(IndexEntry { list: "due".into(), position: "2".into() });
        whole.expires_at = Some(Instant::from_micros(5_000_000));
        let right = item(&whole, 1, "s");
        let read = decode(right.clone()).unwrap();
        let strange = || {
            [
                AttributeValue::L(vec![AttributeValue::Null(true)]),
                AttributeValue::B(b"x".to_vec().into()),
                AttributeValue::Ns(vec!["1".into()]),
                AttributeValue::N("NaN".into()),
                AttributeValue::N("".into()),
                AttributeValue::M(Attributes::new()),
                AttributeValue::M([(JSON.to_owned(), AttributeValue::S("{\"cut".into()))].into()),
                AttributeValue::M([(JSON.to_owned(), AttributeValue::N("1".into()))].into()),
            ]
        };
        for name in right.keys().filter(|name| *name != STAMP) {
            for value in strange() {
                let mut garbled = right.clone();
                garbled.insert(name.clone(), value.clone());
                let Err(TableError::Unusable(told)) = decode(garbled) else {
                    panic!("{name} is taken as {value:?}")
                };
                let is_key = [PARTITION, SORT].contains(&name.as_str());
                assert!(told.contains(if is_key { name } else { "run#k/T#load" }), "{told}");
                assert!(told.contains(name) || [LIST, POSITION].contains(&name.as_str()), "{told}");
                assert!(told.contains("restore the table"), "{told}");
            }
            let mut missing = right.clone();
            missing.remove(name);
            match decode(missing) {
                Ok(found) if OURS.contains(&name.as_str()) => {
                    assert_eq!((name.as_str(), found.expires_at), (EXPIRY, None))
                }
                Ok(found) => assert_eq!(found.body.len() + 1, read.body.len()),
                Err(error) => {
                    assert!([PARTITION, SORT, VERSION, LIST, POSITION].contains(&name.as_str()), "{error}")
                }
            }
        }
        // A position of another item: its index entry was moved by hand.
        let mut moved = right.clone();
        moved.insert(POSITION.to_owned(), AttributeValue::S("2\0run#k\0T#other".into()));
        assert!(matches!(decode(moved), Err(TableError::Unusable(_))));
    }

    #[test]
    fn sizes_count_names_and_values() {
        let attributes = Attributes::from([
            ("abc".to_owned(), AttributeValue::S("ñ".into())),
            ("n".to_owned(), AttributeValue::N("1234".into())),
            ("m".to_owned(), json(&json!([1]))),
        ]);
        assert_eq!(size(&attributes), (3 + 2) + (1 + 3) + (1 + 3 + 4 + 3 + 1));
    }
}
