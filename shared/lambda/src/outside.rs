//! The adapters as a driver's outside.

use cauce_aws::Adapters;
use cauce_driver::{Ports, payload};
use cauce_engine::command::Event;
use cauce_engine::{Command, Decision};
use cauce_model::Instant;

/// The outside of a deployed function: AWS, and its log.
pub struct Deployed {
    adapters: Adapters,
}

impl Deployed {
    pub(crate) const fn new(adapters: Adapters) -> Self {
        Self { adapters }
    }
}

impl Ports for Deployed {
    type Services = Adapters;

    fn services(&self) -> &Adapters {
        &self.adapters
    }

    /// A function is gone before a timer rings: what is due lies in the store's due list, and the
    /// sweep finds it there.
    fn at(&self, _at: Instant, _command: Command) {}

    /// trigger-run posts to the queue that calls it, as often in a row as a consumer has updates to book.
    /// Lambda would end such a chain after about 16 rounds; Terraform allows it for that function:
    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>. A message that is lost all
    /// the same delays what it tells of until the sweep looks.
    async fn post(&self, event: &Event) {
        let Some(body) = payload::posted(event) else { return };
        if let Err(error) = self.adapters.triggers().send(&body).await {
            tracing::warn!("{error}");
        }
    }

    fn decided(&self, command: &Command, decision: &Decision) {
        // A command's own words would tell parameters and tokens; its kind is enough to follow a run.
        tracing::info!(
            command = command.name(),
            writes = decision.writes.len(),
            effects = decision.effects.len(),
            "decided"
        );
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}
