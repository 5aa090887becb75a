//! What every Lambda function of the control plane does around its handler: the environment to
//! adapters, an event in, a reply or a named error out, one JSON line per thing worth telling.
//!
//! What it never does: decide; know an AWS SDK.
