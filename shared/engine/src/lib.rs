//! Every decision: rules, retries, slots, schedules. Pure.
