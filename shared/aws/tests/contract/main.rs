//! The ports on AWS against emulators of it: one suite, two independent servers.
//!
//! A server's program is looked for in `CAUCE_MINISTACK` and `CAUCE_MOTO`, else in
//! `${XDG_CACHE_HOME:-~/.cache}/cauce/venv/{ministack,moto}/bin/`. Where it is not, its tests say so and
//! pass. Emulators are not AWS: what they cannot show is said where it is left out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by ending")]
#![expect(clippy::print_stderr, reason = "what cannot run here is said")]

mod server;

mod stores;

mod units;

mod services;

mod post;

mod delivery;

mod compute;

mod looking;
