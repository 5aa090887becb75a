//! Words everyone shares: ids, statuses, time, the plan, store items, error codes.
