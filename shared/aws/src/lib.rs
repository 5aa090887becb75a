//! The ports on AWS: DynamoDB, S3, Step Functions, ECS and the services around them.
//!
//! What this is: the implementations of `cauce_ports` that the Lambda functions and
//! `cauce --env` act through; the only room that names an AWS SDK.
//! What it never does: decide.
