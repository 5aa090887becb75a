//! Amazon States Language: typed definitions, limits, validation.
