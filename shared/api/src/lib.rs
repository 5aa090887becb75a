//! The HTTP interface: runs, pipelines, approvals, metrics, and webhooks that start runs.
//!
//! What this is: one router, served by the Lambda `api` and by `cauce up --listen`. The HTTP side
//! ([`router`]) reads a request whole and hands it to a [`Desk`], which knows the caller, looks into the
//! store and asks for decisions. The two talk through a channel, because ports are not shared between
//! threads and the router is.
//! What it never does: decide about runs (that is `Command`s), know where it is served ([`Place`] does),
//! log or store a secret, a body or a signature.
//! Where to start reading: `routes`, the table that router, desk and OpenAPI document are made from; then
//! `desk`; [`webhook`] is the pure check of signed calls.

mod routes;

mod problem;

mod shapes;

mod place;

mod http;

mod desk;

pub mod webhook;

mod throttle;

#[cfg(test)]
mod openapi;

pub use axum::body::{Body, to_bytes};
pub use axum::http as message;
pub use cauce_model::access::{Access, AccessKey, Scope};
pub use desk::{Desk, Memory};
#[cfg(feature = "serve")]
pub use http::listen;
pub use http::{BODY_MAX, Front, HOOK_BODY_MAX, Inbox, front, router};
pub use place::{LogPart, LogRequest, Place, Trouble};
pub use routes::{Operation, ROUTES, Route, Verb};
