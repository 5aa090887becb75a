//! Jinja templates: parse, list the names used, render strictly.
//!
//! A template is text with `{{ expressions }}`. It is parsed once, says which names it reads
//! (so that a pipeline file can be checked without running it) and is rendered against a
//! [`Context`] any number of times. Rendering is strict: a name without a value is an error, never
//! an empty string. A template that is one whole `{{ expression }}` keeps the type of its value.
//!
//! Two other braces pass through here: `${{ env.x }}` is a value of the environment that is chosen
//! at deployment, and stays a placeholder until [`Template::fill_env`]; `${{ matrix.x }}` is filled
//! in the same manner when a pipeline is built.
//!
//! What this crate never does: read the clock, the environment, files or randomness; loop without
//! end (see [`FUEL`]) or produce without bound (see [`MAX_OUTPUT_BYTES`]).
//!
//! Start reading at [`Template`], then [`names`] for what is found in it and `filters` for the
//! functions that templates may use.

mod engine;
mod filters;
pub mod names;
mod text;
mod value;

pub use engine::{Context, FUEL, MAX_OUTPUT_BYTES};
pub use names::NameUse;
pub use text::{MAX_TEMPLATE_BYTES, Template, TemplateError};
pub use value::TemplateValue;
