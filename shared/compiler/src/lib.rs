//! A pipeline to its plan, its state machines and its forecast.
