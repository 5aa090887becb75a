//! The router with its desk over a store in memory: every route, and everything that can be wrong with a
//! request.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]

mod served;

mod keys;

mod runs;

mod hooks;

mod schemathesis;
