//! The ports on AWS: DynamoDB, S3, Step Functions, ECS and the services around them.
//!
//! What this is: the implementations of `cauce_ports` that the Lambda functions and
//! `cauce --env` act through; the only room that names an AWS SDK.
//! What it never does: decide; read the environment but in [`Environment::from_env`]; show the value
//! of a secret.
//! Where to start reading: [`Adapters`], all of it made once per process; then [`table::DynamoTable`],
//! which carries all truth.

mod environment;

mod connect;

mod adapters;

pub mod table;

pub mod objects;

pub mod machines;

pub mod compute;

pub mod queues;

pub mod delivery;

pub mod identity;

pub mod inspect;

pub mod logs;

pub mod quotas;

mod failure;

mod pause;

mod signed;

pub use adapters::{Adapters, AdaptersError};
pub use connect::{Connect, ConnectError, Connection};
pub use delivery::Secrets;
pub use environment::{Environment, MissingVariables, variables};
