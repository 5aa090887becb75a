//! Load, decide, write, perform: the body of every function.
