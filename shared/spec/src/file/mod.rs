//! The pipeline file, type by type.
//!
//! Read [`pipeline`] first, then [`task`] and [`kind`]. `data` holds the kinds that the worker
//! runs, `words` the lists of words that the plan shares, `later` what is in the schema already and
//! not supported yet.

pub mod access;
pub mod calendar;
pub mod channel;
pub mod control;
pub mod data;
pub mod dataset;
pub mod fragment;
pub mod kind;
pub mod later;
pub mod matrix;
pub mod params;
pub mod pipeline;
pub mod project;
pub mod services;
pub mod task;
pub mod trigger;
pub mod webhook;
mod words;
