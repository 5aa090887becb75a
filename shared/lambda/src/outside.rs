//! The adapters as a driver's outside.

use cauce_aws::Adapters;
use cauce_driver::Ports;
use cauce_engine::{Command, Decision};
use cauce_model::Instant;
use std::rc::Rc;

/// The outside of a deployed function: AWS, and its log.
pub struct Deployed {
    adapters: Rc<Adapters>,
}

impl Deployed {
    pub(crate) const fn new(adapters: Rc<Adapters>) -> Self {
        Self { adapters }
    }
}

impl Ports for Deployed {
    type Table = cauce_aws::table::DynamoTable;
    type StateMachines = cauce_aws::machines::StepFunctions;
    type Objects = cauce_aws::objects::S3Objects;
    type Notifier = cauce_aws::queues::QueueNotifier;
    type Clock = cauce_system::clock::SystemClock;
    type Compute = cauce_aws::compute::Fargate;

    fn table(&self) -> &Self::Table {
        self.adapters.table()
    }
    fn machines(&self) -> &Self::StateMachines {
        self.adapters.machines()
    }
    fn objects(&self) -> &Self::Objects {
        self.adapters.objects()
    }
    fn notifier(&self) -> &Self::Notifier {
        self.adapters.notifier()
    }
    fn clock(&self) -> &Self::Clock {
        self.adapters.clock()
    }

    fn compute(&self) -> &Self::Compute {
        self.adapters.compute()
    }

    /// A function is gone before a timer rings: what is due lies in the store's due list, and the
    /// sweep finds it there.
    fn at(&self, _at: Instant, _command: Command) {}

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
