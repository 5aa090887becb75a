//! Changes and conditions as expressions. Every name and value is bound, never written into the text:
//! no word is reserved, and no text of somebody else's is ever read as an expression.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html>

use super::encode::{self, Attributes, PARTITION, VERSION};
use aws_sdk_dynamodb::types::AttributeValue;
use cauce_model::Json;
use cauce_model::item::{Change, Cond, Expect, Step, When};
use cauce_ports::TableError;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Names and values that expressions of one request speak of.
#[derive(Default)]
pub(super) struct Bound {
    names: Vec<String>,
    values: Vec<AttributeValue>,
}

impl Bound {
    /// What stands for an attribute in the text.
    pub(super) fn name(&mut self, attribute: &str) -> String {
        let at = self.names.iter().position(|name| name == attribute).unwrap_or_else(|| {
            self.names.push(attribute.to_owned());
            self.names.len() - 1
        });
        format!("#{at}")
    }

    /// What stands for a value in the text.
    pub(super) fn value(&mut self, value: AttributeValue) -> String {
        self.values.push(value);
        format!(":{}", self.values.len() - 1)
    }

    /// The names, as a request takes them: absent when there are none.
    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        let names = self.names.iter().enumerate().map(|(at, name)| (format!("#{at}"), name.clone()));
        Some(names.collect::<HashMap<_, _>>()).filter(|names| !names.is_empty())
    }

    /// The values, as a request takes them: absent when there are none.
    pub(super) fn values(&self) -> Option<Attributes> {
        let values = self.values.iter().enumerate().map(|(at, value)| (format!(":{at}"), value.clone()));
        Some(values.collect::<Attributes>()).filter(|values| !values.is_empty())
    }
}

/// What a write expects to find; `None` when anything will do.
pub(super) fn expectation(expect: Expect, bound: &mut Bound) -> Option<String> {
    match expect {
        Expect::Any => None,
        Expect::Absent => Some(format!("attribute_not_exists({})", bound.name(PARTITION))),
        Expect::Version(version) => {
            let value = bound.value(AttributeValue::N(version.to_string()));
            Some(format!("{} = {value}", bound.name(VERSION)))
        }
    }
}

/// What must hold for a change; `None` when nothing must.
pub(super) fn condition(when: &When, bound: &mut Bound) -> Option<String> {
    let parts: Vec<String> = when.all.iter().map(|cond| one_condition(cond, bound)).collect();
    (!parts.is_empty()).then(|| parts.join(" AND "))
}

fn one_condition(cond: &Cond, bound: &mut Bound) -> String {
    match cond {
        Cond::Exists => format!("attribute_exists({})", bound.name(PARTITION)),
        Cond::Equals(field, value) => equals(field, value, bound),
        Cond::Differs(field, value) => format!("(NOT ({}))", equals(field, value, bound)),
        Cond::Missing(field) => {
            let mark = bound.name(&encode::empty_mark(field));
            let field = bound.name(&encode::attribute(field));
            format!("(attribute_not_exists({field}) AND attribute_not_exists({mark}))")
        }
        Cond::AtMost(field, most) => {
            let field = bound.name(&encode::attribute(field));
            let most_is = bound.value(AttributeValue::N(most.to_string()));
            // An absent number counts as 0.
            if *most >= 0 {
                format!("(attribute_not_exists({field}) OR {field} <= {most_is})")
            } else {
                format!("{field} <= {most_is}")
            }
        }
        Cond::AtLeast(field, least) => {
            let field = bound.name(&encode::attribute(field));
            let least_is = bound.value(AttributeValue::N(least.to_string()));
            if *least <= 0 {
                format!("(attribute_not_exists({field}) OR {field} >= {least_is})")
            } else {
                format!("{field} >= {least_is}")
            }
        }
        Cond::Before(field, text) => {
            let field = bound.name(&encode::attribute(field));
            let text = bound.value(AttributeValue::S(text.clone()));
            format!("(attribute_not_exists({field}) OR {field} < {text})")
        }
        Cond::Contains(field, text) => contains(field, text, bound),
        Cond::Lacks(field, text) => format!("(NOT {})", contains(field, text, bound)),
        Cond::Empty(field) => format!("attribute_not_exists({})", bound.name(&encode::attribute(field))),
    }
}

/// Equality of JSON. Two objects are equal when their members are, in the same order: decisions
/// compare texts and numbers.
fn equals(field: &str, value: &Json, bound: &mut Bound) -> String {
    let name = bound.name(&encode::attribute(field));
    match encode::value(value) {
        Some(value) => format!("{name} = {}", bound.value(value)),
        None => {
            let mark = bound.name(&encode::empty_mark(field));
            format!("(attribute_exists({mark}) AND attribute_not_exists({name}))")
        }
    }
}

fn contains(field: &str, text: &str, bound: &mut Bound) -> String {
    let field = bound.name(&encode::attribute(field));
    let text = bound.value(AttributeValue::S(text.to_owned()));
    format!("contains({field}, {text})")
}

/// What all steps on one field come to.
#[derive(Clone, PartialEq, Debug)]
enum Net {
    Add(i64),
    Insert(BTreeSet<String>),
    Take(BTreeSet<String>),
    Set(Json),
    Remove,
}

/// The update that a change is, the version's growth included.
///
/// # Errors
/// A change that puts texts into a set and takes others out of the same set, or treats one field as a
/// number and as a set: DynamoDB takes one action on an attribute.
pub(super) fn update(change: &Change, bound: &mut Bound) -> Result<String, TableError> {
    let (mut set, mut remove, mut delete) = (Vec::new(), Vec::new(), Vec::new());
    let one = bound.value(AttributeValue::N("1".to_owned()));
    let mut add = vec![format!("{} {one}", bound.name(VERSION))];
    for (field, net) in net(change)? {
        let mark = encode::empty_mark(field);
        let name = bound.name(&encode::attribute(field));
        match net {
            Net::Add(amount) => {
                add.push(format!("{name} {}", bound.value(AttributeValue::N(amount.to_string()))));
            }
            Net::Insert(texts) => add.push(format!("{name} {}", bound.value(set_of(texts)))),
            Net::Take(texts) => {
                delete.push(format!("{name} {}", bound.value(set_of(texts))));
                set.push(format!("{} = {}", bound.name(&mark), bound.value(AttributeValue::Bool(true))));
            }
            Net::Set(json) => match encode::value(&json) {
                Some(value) => set.push(format!("{name} = {}", bound.value(value))),
                None => {
                    remove.push(name);
                    let yes = bound.value(AttributeValue::Bool(true));
                    set.push(format!("{} = {yes}", bound.name(&mark)));
                }
            },
            Net::Remove => remove.extend([name, bound.name(&mark)]),
        }
    }
    let clauses = [("SET", set), ("REMOVE", remove), ("ADD", add), ("DELETE", delete)];
    let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
    Ok(clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", "))).collect::<Vec<_>>().join(" "))
}

fn set_of(texts: BTreeSet<String>) -> AttributeValue {
    AttributeValue::Ss(texts.into_iter().collect())
}

/// One net step a field, in order of field.
fn net(change: &Change) -> Result<BTreeMap<&str, Net>, TableError> {
    let mut fields: BTreeMap<&str, Net> = BTreeMap::new();
    for step in &change.steps {
        let (field, next) = match step {
            Step::Add(field, amount) => (field, Net::Add(*amount)),
            Step::Insert(field, text) => (field, Net::Insert(BTreeSet::from([text.clone()]))),
            Step::Take(field, text) => (field, Net::Take(BTreeSet::from([text.clone()]))),
            Step::Set(field, value) => (field, Net::Set(value.clone())),
            Step::Remove(field) => (field, Net::Remove),
        };
        let net = match fields.remove(field.as_str()) {
            None => next,
            Some(before) => after(before, next).ok_or_else(|| {
                TableError::Refused(format!("steps on the field '{field}' that are not one action"))
            })?,
        };
        fields.insert(field, net);
    }
    Ok(fields)
}

/// A step after another on the same field.
fn after(before: Net, next: Net) -> Option<Net> {
    Some(match (before, next) {
        (_, next @ (Net::Set(_) | Net::Remove)) => next,
        (Net::Add(a), Net::Add(b)) => Net::Add(a.saturating_add(b)),
        (Net::Insert(mut all), Net::Insert(more)) => {
            all.extend(more);
            Net::Insert(all)
        }
        (Net::Take(mut all), Net::Take(more)) => {
            all.extend(more);
            Net::Take(all)
        }
        // In and out, or out and in: the last word counts, if nothing else was said.
        (Net::Insert(before), Net::Take(next)) if before == next => Net::Take(next),
        (Net::Take(before), Net::Insert(next)) if before == next => Net::Insert(next),
        // The field's value is known: the step is made here, as every store makes it.
        (Net::Set(value), step) => Net::Set(made(Some(value), &step)?),
        (Net::Remove, step) => Net::Set(made(None, &step)?),
        _ => return None,
    })
}

/// A known value after a step.
fn made(value: Option<Json>, step: &Net) -> Option<Json> {
    const FIELD: &str = "field";
    let steps = match step {
        Net::Add(amount) => vec![Step::Add(FIELD.to_owned(), *amount)],
        Net::Insert(texts) => texts.iter().map(|text| Step::Insert(FIELD.to_owned(), text.clone())).collect(),
        Net::Take(texts) => texts.iter().map(|text| Step::Take(FIELD.to_owned(), text.clone())).collect(),
        Net::Set(_) | Net::Remove => return None,
    };
    let mut body = value.into_iter().map(|value| (FIELD.to_owned(), value)).collect();
    Change { steps }.apply(&mut body);
    body.remove(FIELD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The text with names in place of what stands for them, and the values in order.
    fn shown(text: &str, bound: &Bound) -> String {
        let mut text = text.to_owned();
        for (at, name) in bound.names.iter().enumerate().rev() {
            text = text.replace(&format!("#{at}"), name);
        }
        text
    }

    fn updated(steps: Vec<Step>) -> Result<String, TableError> {
        let mut bound = Bound::default();
        update(&Change { steps }, &mut bound).map(|text| shown(&text, &bound))
    }

    #[test]
    fn a_change_is_one_update() {
        let text = updated(vec![
            Step::Add("used".into(), 2),
            Step::Insert("holders".into(), "b".into()),
            Step::Insert("holders".into(), "a".into()),
            Step::Take("waiting".into(), "b".into()),
            Step::Set("token".into(), json!("t")),
            Step::Remove("status".into()),
            Step::Set("none".into(), json!([])),
        ])
        .unwrap();
        assert_eq!(
            text,
            "SET []none = :2, token = :3, []waiting = :6 REMOVE none, status, []status \
             ADD v :0, holders :1, used :4 DELETE waiting :5"
        );
    }

    #[test]
    fn steps_on_one_field_become_one_action() {
        let field = || "f".to_owned();
        for (steps, expected) in [
            (vec![Step::Add(field(), 2), Step::Add(field(), -5)], Net::Add(-3)),
            (vec![Step::Set(field(), json!(2)), Step::Add(field(), 1)], Net::Set(json!(3))),
            (vec![Step::Remove(field()), Step::Insert(field(), "a".into())], Net::Set(json!(["a"]))),
            (vec![Step::Add(field(), 2), Step::Remove(field())], Net::Remove),
            (
                vec![Step::Insert(field(), "a".into()), Step::Take(field(), "a".into())],
                Net::Take(BTreeSet::from(["a".to_owned()])),
            ),
        ] {
            let change = Change { steps };
            assert_eq!(net(&change).unwrap()["f"], expected, "{change:?}");
        }
        let both = vec![Step::Insert(field(), "a".into()), Step::Take(field(), "b".into())];
        assert!(matches!(updated(both), Err(TableError::Refused(_))));
        let number_and_set = vec![Step::Add(field(), 1), Step::Insert(field(), "b".into())];
        assert!(matches!(updated(number_and_set), Err(TableError::Refused(_))));
    }

    #[test]
    fn conditions_are_joined_and_read_an_absent_item_as_empty() {
        let mut bound = Bound::default();
        let when = When {
            all: vec![
                Cond::Exists,
                Cond::Equals("status".into(), json!("open")),
                Cond::Differs("used".into(), json!(5)),
                Cond::Missing("token".into()),
                Cond::AtMost("used".into(), 3),
                Cond::AtMost("used".into(), -1),
                Cond::AtLeast("used".into(), 0),
                Cond::AtLeast("used".into(), 2),
                Cond::Before("order".into(), "2".into()),
                Cond::Lacks("holders".into(), "a".into()),
                Cond::Empty("holders".into()),
                Cond::Equals("holders".into(), json!([])),
            ],
        };
        let text = condition(&when, &mut bound).unwrap();
        assert_eq!(
            shown(&text, &bound),
            "attribute_exists(pk) AND status = :0 AND (NOT (used = :1)) AND \
             (attribute_not_exists(token) AND attribute_not_exists([]token)) AND \
             (attribute_not_exists(used) OR used <= :2) AND used <= :3 AND \
             (attribute_not_exists(used) OR used >= :4) AND used >= :5 AND \
             (attribute_not_exists(order) OR order < :6) AND (NOT contains(holders, :7)) AND \
             attribute_not_exists(holders) AND (attribute_exists([]holders) AND attribute_not_exists(holders))"
        );
        assert_eq!(condition(&When::always(), &mut bound), None);
    }

    #[test]
    fn hostile_names_and_values_stay_out_of_the_text() {
        let mut bound = Bound::default();
        let change = Change { steps: vec![Step::Set("a = :0 REMOVE pk".into(), json!("\" OR 1 = 1"))] };
        let text = update(&change, &mut bound).unwrap();
        assert_eq!(text, "SET #1 = :1 ADD #0 :0");
    }

    #[test]
    fn expectations_are_conditions() {
        let mut bound = Bound::default();
        assert_eq!(expectation(Expect::Any, &mut bound), None);
        assert_eq!(expectation(Expect::Absent, &mut bound).as_deref(), Some("attribute_not_exists(#0)"));
        assert_eq!(expectation(Expect::Version(7), &mut bound).as_deref(), Some("#1 = :0"));
        assert_eq!(bound.values().unwrap()[":0"], AttributeValue::N("7".into()));
    }
}
