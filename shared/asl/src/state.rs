//! The eight state types.
//!
//! Each struct carries exactly the fields AWS accepts for its type, in the order in which they
//! are written. A field of the other query language is simply left `None`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::field::{is_false, present};
use crate::{Catcher, ChoiceRule, Map, Number, QueryLanguage, Retrier, SubMachine, Text};

/// One state of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "Type")]
pub enum State {
    /// Calls something.
    Task(Box<Task>),
    /// Shapes data.
    Pass(Box<Pass>),
    /// Decides where to go.
    Choice(Box<Choice>),
    /// Lets time pass.
    Wait(Box<Wait>),
    /// Ends its machine well.
    Succeed(Box<Succeed>),
    /// Ends its machine with an error.
    Fail(Box<Fail>),
    /// Runs branches at the same time.
    Parallel(Box<Parallel>),
    /// Runs a machine for each item.
    Map(Box<Map>),
}

macro_rules! state_structs {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty, )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $name {
            /// Free text.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub comment: Option<String>,
            /// The language of this state's expressions; the machine's when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub query_language: Option<QueryLanguage>,
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl From<$name> for State {
            fn from(state: $name) -> Self {
                Self::$name(Box::new(state))
            }
        }
    )*};
}

state_structs! {
    /// Calls a service integration, a Lambda function or an activity.
    Task {
        /// JSONPath: what part of the state's input it works on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        input_path: Option<Option<String>>,
        /// The ARN of what to call.
        resource: String,
        /// JSONPath: the template of what the resource receives.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        parameters: Option<Value>,
        /// JSONata: what the resource receives.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        arguments: Option<Value>,
        /// JSONPath: the template applied to the result.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result_selector: Option<Value>,
        /// JSONPath: where in the input the result goes. `Some(None)` discards it.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result_path: Option<Option<String>>,
        /// JSONPath: what part goes on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output_path: Option<Option<String>>,
        /// The role to assume: `{"RoleArn": ...}`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<Value>,
        /// The longest one attempt may take, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<Number>,
        /// JSONPath: where the input holds that number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds_path: Option<String>,
        /// The longest silence between heartbeats, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat_seconds: Option<Number>,
        /// JSONPath: where the input holds that number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat_seconds_path: Option<String>,
        /// Which errors are tried again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        retry: Vec<Retrier>,
        /// Which errors go on elsewhere.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        catch: Vec<Catcher>,
        /// Variables to set on success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assign: Option<Value>,
        /// JSONata: what goes on.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        /// The state to go on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// Whether the machine ends here.
        #[serde(default, skip_serializing_if = "is_false")]
        end: bool,
    }

    /// Passes its input on, perhaps reshaped.
    Pass {
        /// JSONPath: what part of the state's input it works on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        input_path: Option<Option<String>>,
        /// JSONPath: the template of the effective input.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        parameters: Option<Value>,
        /// JSONPath: a constant that stands for the result.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
        /// JSONPath: where in the input the result goes. `Some(None)` discards it.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result_path: Option<Option<String>>,
        /// JSONPath: what part goes on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output_path: Option<Option<String>>,
        /// Variables to set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assign: Option<Value>,
        /// JSONata: what goes on.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        /// The state to go on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// Whether the machine ends here.
        #[serde(default, skip_serializing_if = "is_false")]
        end: bool,
    }

    /// Goes on with the first rule that matches.
    Choice {
        /// JSONPath: what part of the state's input it works on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        input_path: Option<Option<String>>,
        /// JSONPath: what part goes on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output_path: Option<Option<String>>,
        /// The rules, tried in order.
        choices: Vec<ChoiceRule>,
        /// The state to go on with when no rule matches.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
        /// Variables to set when no rule matches.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assign: Option<Value>,
        /// JSONata: what goes on, unless the rule that matches says otherwise.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
    }

    /// Waits for a time or until an instant; exactly one of the four is set.
    Wait {
        /// JSONPath: what part of the state's input it works on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        input_path: Option<Option<String>>,
        /// How long, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<Number>,
        /// JSONPath: where the input holds that number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds_path: Option<String>,
        /// Until when, as RFC 3339.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timestamp: Option<Text>,
        /// JSONPath: where the input holds that instant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timestamp_path: Option<String>,
        /// JSONPath: what part goes on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output_path: Option<Option<String>>,
        /// Variables to set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assign: Option<Value>,
        /// JSONata: what goes on.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        /// The state to go on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// Whether the machine ends here.
        #[serde(default, skip_serializing_if = "is_false")]
        end: bool,
    }

    /// Ends its machine, or its branch, well.
    Succeed {
        /// JSONPath: what part of the state's input it works on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        input_path: Option<Option<String>>,
        /// JSONPath: what part is the output. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output_path: Option<Option<String>>,
        /// JSONata: the output.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
    }

    /// Ends its machine, or its branch, with an error.
    Fail {
        /// The error name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Text>,
        /// JSONPath: a path or intrinsic function that yields the error name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_path: Option<String>,
        /// What happened, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Text>,
        /// JSONPath: a path or intrinsic function that yields the cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause_path: Option<String>,
    }

    /// Runs its branches at the same time; its result is the array of their outputs.
    Parallel {
        /// JSONPath: what part of the state's input it works on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        input_path: Option<Option<String>>,
        /// JSONPath: the template of what each branch receives.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        parameters: Option<Value>,
        /// JSONata: what each branch receives.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        arguments: Option<Value>,
        /// The machines to run.
        branches: Vec<SubMachine>,
        /// JSONPath: the template applied to the result.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result_selector: Option<Value>,
        /// JSONPath: where in the input the result goes. `Some(None)` discards it.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        result_path: Option<Option<String>>,
        /// JSONPath: what part goes on. `Some(None)` means `{}`.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output_path: Option<Option<String>>,
        /// Which errors are tried again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        retry: Vec<Retrier>,
        /// Which errors go on elsewhere.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        catch: Vec<Catcher>,
        /// Variables to set on success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assign: Option<Value>,
        /// JSONata: what goes on.
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        /// The state to go on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// Whether the machine ends here.
        #[serde(default, skip_serializing_if = "is_false")]
        end: bool,
    }
}

/// Gives a state type `next` and `end`, the two ways in which it can go on.
macro_rules! transitions {
    ($($name:ident)*) => {$(
        impl $name {
            /// The same state, going on with this one.
            #[must_use]
            pub fn next(mut self, state: impl Into<String>) -> Self {
                self.next = Some(state.into());
                self.end = false;
                self
            }

            /// The same state, ending its machine.
            #[must_use]
            pub fn end(mut self) -> Self {
                self.next = None;
                self.end = true;
                self
            }
        }
    )*};
}

transitions! { Task Pass Wait Parallel Map }

impl From<Map> for State {
    fn from(state: Map) -> Self {
        Self::Map(Box::new(state))
    }
}

impl Task {
    /// A task that calls this resource.
    pub fn new(resource: impl Into<String>) -> Self {
        Self { resource: resource.into(), ..Self::default() }
    }
}

impl Fail {
    /// A failure with this error name and cause.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()), ..Self::default() }
    }
}

impl State {
    /// The state's type as the language spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Task(_) => "Task",
            Self::Pass(_) => "Pass",
            Self::Choice(_) => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed(_) => "Succeed",
            Self::Fail(_) => "Fail",
            Self::Parallel(_) => "Parallel",
            Self::Map(_) => "Map",
        }
    }

    /// The language this state names for itself, if any.
    pub fn query_language(&self) -> Option<QueryLanguage> {
        match self {
            Self::Task(state) => state.query_language,
            Self::Pass(state) => state.query_language,
            Self::Choice(state) => state.query_language,
            Self::Wait(state) => state.query_language,
            Self::Succeed(state) => state.query_language,
            Self::Fail(state) => state.query_language,
            Self::Parallel(state) => state.query_language,
            Self::Map(state) => state.query_language,
        }
    }
}
