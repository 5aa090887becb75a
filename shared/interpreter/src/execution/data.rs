//! What flows between states: paths, templates, results, limits.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use cauce_asl::{QueryLanguage, error_name, limits};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::definition::{Amount, Io, Node, ResultPath, Selector};
use crate::history::StateType;
use crate::intrinsics::SplitMix;
use crate::template::{Frame, Needs, Payload, Trouble, Variables};

use super::flow::FlowId;
use super::{Execution, milliseconds};

/// What an expression sees beside the input and the variables.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extra<'a> {
    pub(crate) result: Option<&'a Value>,
    pub(crate) error_output: Option<&'a Value>,
}

/// The variables an `Assign` sets.
pub(crate) type Assigned = Option<Arc<Map<String, Value>>>;

impl Execution {
    /// Evaluates something in the frame of a flow.
    pub(crate) fn evaluate<T>(
        &mut self,
        id: FlowId,
        needs: Needs,
        input: &Value,
        extra: Extra<'_>,
        evaluation: impl FnOnce(&Frame<'_>, &mut SplitMix) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let variables = Arc::clone(&self.flows[id].variables);
        let scope = self.flows[id].scope;
        let context = if needs.context { self.take_context(id) } else { Value::Null };
        let mut frame = Frame::new(input, &context, &variables, self.now);
        frame.result = extra.result;
        frame.error_output = extra.error_output;
        let outcome = evaluation(&frame, &mut self.rng);
        if needs.context {
            self.scopes[scope].context = context;
        }
        outcome
    }

    /// The context object of a flow. It is one value per execution, lent out and changed in place, so
    /// that a large input is not copied for every state.
    fn take_context(&mut self, id: FlowId) -> Value {
        let flow = &self.flows[id];
        let node = &flow.machine.nodes[flow.state];
        let mut context = std::mem::take(&mut self.scopes[flow.scope].context);
        if self.scopes[flow.scope].is_given {
            return context;
        }
        let Some(fields) = context.as_object_mut() else { return context };
        let mut state = Map::new();
        state.insert("Name".to_owned(), json!(*node.name));
        state.insert("EnteredTime".to_owned(), json!(milliseconds(flow.entered_at)));
        if matches!(node.state_type, StateType::Task | StateType::Parallel | StateType::Map) {
            state.insert("RetryCount".to_owned(), json!(flow.retry_count));
        }
        fields.insert("State".to_owned(), Value::Object(state));
        fields.shift_remove("Task");
        if let Some(token) = &flow.token {
            fields.insert("Task".to_owned(), json!({"Token": token}));
        }
        fields.shift_remove("Map");
        if let Some(item) = &flow.item {
            let mut entry = json!({"Index": item.index, "Value": *item.value});
            if let (Some(key), Some(entry)) = (&item.key, entry.as_object_mut()) {
                entry.insert("Key".to_owned(), json!(key));
            }
            fields.insert("Map".to_owned(), json!({"Item": entry}));
        }
        context
    }

    /// What is left of a value after `InputPath`, `OutputPath` or `ItemsPath`.
    pub(crate) fn select(
        &mut self,
        id: FlowId,
        selector: &Option<Selector>,
        input: &Arc<Value>,
    ) -> Result<Arc<Value>, Trouble> {
        match selector {
            None => Ok(Arc::clone(input)),
            Some(Selector::Nothing) => Ok(Arc::new(json!({}))),
            Some(Selector::At { reference, text }) => {
                self.evaluate(id, Needs::of_reference(reference), input, Extra::default(), |frame, _| {
                    let value = frame.read(reference);
                    value.map(Arc::new).map_err(|error| invalid_path(text, &error.message))
                })
            }
        }
    }

    pub(crate) fn render(
        &mut self,
        id: FlowId,
        payload: &Payload,
        input: &Value,
        extra: Extra<'_>,
    ) -> Result<Arc<Value>, Trouble> {
        self.evaluate(id, payload.needs, input, extra, |frame, rng| payload.render(frame, rng))
    }

    /// What a Task, Parallel or Map state works on: `InputPath`, then `Parameters` or `Arguments`.
    pub(crate) fn arguments(&mut self, id: FlowId, io: &Io) -> Result<Arc<Value>, Trouble> {
        let raw = Arc::clone(&self.flows[id].input);
        let input = self.select(id, &io.input_path, &raw)?;
        match &io.arguments {
            Some(payload) => self.render(id, payload, &input, Extra::default()),
            None => Ok(input),
        }
    }

    /// What a state that produced `result` passes on, and the variables it sets.
    pub(crate) fn output_of(
        &mut self,
        id: FlowId,
        node: &Node,
        result: Arc<Value>,
    ) -> Result<(Arc<Value>, Assigned), Trouble> {
        let raw = Arc::clone(&self.flows[id].input);
        if node.language == QueryLanguage::JSONata {
            let extra = Extra { result: Some(&result), ..Extra::default() };
            let assigned = self.assigned(id, node.io.assign.as_ref(), &raw, extra)?;
            let output = match &node.io.output {
                Some(payload) => self.render(id, payload, &raw, extra)?,
                None => result,
            };
            return Ok((output, assigned));
        }
        let result = match &node.io.result_selector {
            Some(payload) => self.render(id, payload, &result, Extra::default())?,
            None => result,
        };
        let assigned = self.assigned(id, node.io.assign.as_ref(), &result, Extra::default())?;
        let placed = place(&node.io.result_path, &raw, result)?;
        let output = self.select(id, &node.io.output_path, &placed)?;
        Ok((output, assigned))
    }

    /// What a state without a result passes on: Choice, Wait and Succeed.
    pub(crate) fn output_without_result(
        &mut self,
        id: FlowId,
        node: &Node,
        input: &Arc<Value>,
        output: Option<&Payload>,
        assign: Option<&Payload>,
    ) -> Result<(Arc<Value>, Assigned), Trouble> {
        let assigned = self.assigned(id, assign, input, Extra::default())?;
        let output = match output {
            Some(payload) => self.render(id, payload, input, Extra::default())?,
            None => self.select(id, &node.io.output_path, input)?,
        };
        Ok((output, assigned))
    }

    pub(crate) fn assigned(
        &mut self,
        id: FlowId,
        assign: Option<&Payload>,
        input: &Value,
        extra: Extra<'_>,
    ) -> Result<Assigned, Trouble> {
        let Some(payload) = assign else { return Ok(None) };
        let value = self.render(id, payload, input, extra)?;
        match &*value {
            Value::Object(variables) => Ok(Some(Arc::new(variables.clone()))),
            _ => Err(Trouble::runtime("The field 'Assign' must be an object.")),
        }
    }

    pub(crate) fn assign(&mut self, id: FlowId, assigned: &Assigned) {
        let Some(assigned) = assigned else { return };
        let variables: &mut Variables = Arc::make_mut(&mut self.flows[id].variables);
        for (name, value) in assigned.iter() {
            variables.insert(name.clone(), Arc::new(value.clone()));
        }
    }

    /// The value of a number field.
    pub(crate) fn amount(
        &mut self,
        id: FlowId,
        amount: &Option<Amount>,
        input: &Value,
    ) -> Result<Option<Value>, Trouble> {
        match amount {
            None => Ok(None),
            Some(Amount::Literal(number)) => Ok(Some(Value::Number(number.clone()))),
            Some(Amount::Path { reference, text, .. }) => {
                self.evaluate(id, Needs::of_reference(reference), input, Extra::default(), |frame, _| {
                    let value = frame.read(reference).map_err(|error| invalid_path(text, &error.message))?;
                    Ok(Some(value))
                })
            }
            Some(Amount::Expression { payload, field }) => {
                let value = self.render(id, payload, input, Extra::default())?;
                match (&*value, payload.as_jsonata()) {
                    (Value::Number(_), _) => Ok(Some((*value).clone())),
                    (other, Some(expression)) => Err(expression.unexpected(field, "number", other)),
                    (other, None) => Err(Trouble::query(format!("{other} is not a number"), Some(field))),
                }
            }
        }
    }

    /// The value of a field that is a whole number of seconds or items, from 0.
    pub(crate) fn whole(
        &mut self,
        id: FlowId,
        amount: &Option<Amount>,
        field: &str,
        input: &Value,
    ) -> Result<Option<u64>, Trouble> {
        let Some(value) = self.amount(id, amount, input)? else { return Ok(None) };
        let whole = match &value {
            Value::Number(number) => whole_number(number),
            // Recorded on AWS: a path may lead to a number written as text.
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let (name, path) = match amount {
            Some(Amount::Path { field, text, .. }) => (*field, format!(": {text}")),
            _ => (field, String::new()),
        };
        match whole {
            Some(whole) => match u64::try_from(whole) {
                Ok(whole) => Ok(Some(whole)),
                Err(_) => Err(Trouble::runtime(format!("{field} cannot be negative."))),
            },
            None => Err(Trouble::runtime(format!(
                "The {name} field refers to value \"{}\" which is not a valid integer{path}",
                plain(&value)
            ))),
        }
    }

    /// The failure a trouble becomes: its cause says in which state it happened.
    pub(crate) fn failure_of(&self, id: FlowId, trouble: &Trouble) -> Failure {
        let flow = &self.flows[id];
        let name = &flow.machine.nodes[flow.state].name;
        let entered = flow.entered;
        let message = &trouble.message;
        let cause = format!(
            "An error occurred while executing the state '{name}' (entered at the event id #{entered}). {message}"
        );
        Failure::new(trouble.error, cause)
    }

    /// The failure of a state whose result is larger than a payload may be.
    pub(crate) fn check_size(&self, id: FlowId, value: &Arc<Value>) -> Result<(), Failure> {
        let flow = &self.flows[id];
        if Arc::ptr_eq(value, &flow.input) || is_within(value, limits::PAYLOAD_BYTES) {
            return Ok(());
        }
        let name = &flow.machine.nodes[flow.state].name;
        Err(Failure::new(
            error_name::DATA_LIMIT_EXCEEDED,
            format!(
                "The state/task '{name}' returned a result with a size exceeding the maximum number of bytes \
                 service limit."
            ),
        ))
    }
}

/// `input` with `result` where the result path says.
pub(crate) fn place(
    path: &ResultPath,
    input: &Arc<Value>,
    result: Arc<Value>,
) -> Result<Arc<Value>, Trouble> {
    match path {
        ResultPath::Replace => Ok(result),
        ResultPath::Discard => Ok(Arc::clone(input)),
        ResultPath::At(reference, text) => {
            let placed = reference.path().set((**input).clone(), Arc::unwrap_or_clone(result));
            // The sentence is known from reports, not verified on AWS.
            placed.map(Arc::new).map_err(|_| Trouble {
                error: error_name::RESULT_PATH_MATCH_FAILURE,
                message: format!("Unable to apply ReferencePath {text} to input {input}"),
                location: None,
            })
        }
    }
}

pub(crate) fn invalid_path(text: &str, message: &str) -> Trouble {
    Trouble::runtime(format!("Invalid path '{text}' : {message}"))
}

/// A value inside a sentence: texts without quotes.
pub(crate) fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// The number, if it has no fraction.
pub(crate) fn whole_number(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let value = number.as_f64()?;
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    })
}

/// Whether a value's compact JSON has at most this many bytes. Stops counting as soon as it has more.
pub(crate) fn is_within(value: &Value, bytes: usize) -> bool {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            match self.0.checked_sub(buffer.len()) {
                Some(left) => {
                    self.0 = left;
                    Ok(buffer.len())
                }
                None => Err(io::Error::other("over the limit")),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Counter(bytes), value).is_ok()
}
