//! Amazon States Language, typed.
//!
//! This crate reads and writes state machine definitions, names the limits that Step Functions
//! puts on them and reports what is wrong with one, as `ValidateStateMachineDefinition` would. It
//! never runs a definition, and it knows nothing of pipelines: the compiler builds these types,
//! the interpreter prepares them for execution.
//!
//! Output is compact and stable: fields that are absent stay absent, and the rest appear in the
//! order in which the structs declare them, so equal definitions are equal bytes.
//!
//! Start reading at [`StateMachine`], then [`State`].
//!
//! ```
//! use cauce_asl::{Pass, StateMachine, Task};
//!
//! let mut machine = StateMachine::new("Work");
//! machine.states.insert("Work".into(), Task::new("arn:aws:states:::lambda:invoke").next("Done").into());
//! machine.states.insert("Done".into(), Pass::default().end().into());
//! assert_eq!(
//!     machine.to_compact_json(),
//!     r#"{"StartAt":"Work","States":{"Work":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Next":"Done"},"Done":{"Type":"Pass","End":true}}}"#,
//! );
//! ```
//!
//! Source: <https://states-language.net/spec.html> and
//! <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html>.

mod choice;
mod error_handling;
pub mod error_name;
mod field;
pub mod limits;
mod machine;
mod map;
mod state;
mod validation;

pub use choice::{ChoiceRule, Comparison, Condition, Operand, Operator};
pub use error_handling::{Catcher, JitterStrategy, Retrier};
pub use field::{Number, Text};
pub use machine::{ParseError, QueryLanguage, StateMachine, States, SubMachine};
pub use map::{
    ExecutionType, ItemBatcher, ItemReader, Map, ProcessorConfig, ProcessorMode, ReaderConfig, ResultWriter,
    WriterConfig,
};
pub use state::{Choice, Fail, Parallel, Pass, State, Succeed, Task, Wait};
pub use validation::{Diagnostic, Report, Severity, ValidationResult, validate, validate_text};
