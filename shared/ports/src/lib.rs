//! What the drivers ask of the outside world.
