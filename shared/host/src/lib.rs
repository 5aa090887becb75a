//! Interpreter, driver and ports together: executions, tokens, timers.
