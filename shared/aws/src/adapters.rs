//! Everything of one deployed environment, made once per process.

use crate::compute::Fargate;
use crate::connect::{Connect, ConnectError, Connection};
use crate::delivery::{Delivery, Secrets};
use crate::environment::Environment;
use crate::logs::Logs;
use crate::machines::StepFunctions;
use crate::objects::S3Objects;
use crate::queues::{DeadLetters, QueueNotifier, Triggers};
use crate::quotas::Quotas;
use crate::table::DynamoTable;
use cauce_ports::Services;
use cauce_system::clock::SystemClock;
use cauce_system::ids::UlidIds;
use std::io;

/// The ports of one environment. Making them calls no service; clients share connections and
/// credentials.
pub struct Adapters {
    environment: Environment,
    connection: Connection,
    table: DynamoTable,
    objects: S3Objects,
    machines: StepFunctions,
    compute: Fargate,
    notifier: QueueNotifier,
    dead_letters: DeadLetters,
    triggers: Triggers,
    clock: SystemClock,
    ids: UlidIds,
}

/// Why the ports could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AdaptersError {
    /// AWS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system has no randomness to give.
    #[error("the system has no randomness to give")]
    Randomness(#[source] io::Error),
}

impl Adapters {
    /// The ports of an environment, over whatever AWS configuration this process finds.
    ///
    /// # Errors
    /// No region is known; the system has no randomness to give.
    pub async fn open(environment: Environment, connect: Connect) -> Result<Self, AdaptersError> {
        Self::new(environment, Connection::open(connect).await?)
    }

    /// The ports of an environment over this connection.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new(environment: Environment, connection: Connection) -> Result<Self, AdaptersError> {
        Ok(Self {
            table: DynamoTable::new(&connection, environment.table.clone()),
            objects: S3Objects::new(&connection),
            machines: StepFunctions::new(&connection),
            compute: Fargate::new(&connection, environment.cluster.clone()),
            notifier: QueueNotifier::new(&connection, environment.notices.clone()),
            dead_letters: DeadLetters::new(&connection, environment.dead_letters.clone()),
            triggers: Triggers::new(&connection, environment.triggers.clone()),
            clock: SystemClock,
            ids: UlidIds::new().map_err(AdaptersError::Randomness)?,
            environment,
            connection,
        })
    }

    /// The environment.
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What further clients are made from.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where messages go that nobody could work on.
    pub const fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    /// The queue of events that may start runs.
    pub const fn triggers(&self) -> &Triggers {
        &self.triggers
    }

    /// Unique names.
    pub const fn ids(&self) -> &UlidIds {
        &self.ids
    }

    /// What delivers notices to their channels: for the function `notify`.
    pub fn delivery(&self) -> Delivery {
        Delivery::new(&self.connection)
    }

    /// The values of secrets.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(&self.connection)
    }

    /// The logs of tasks and functions.
    pub fn logs(&self) -> Logs {
        Logs::new(&self.connection)
    }

    /// The account's limits.
    pub fn quotas(&self) -> Quotas {
        Quotas::new(&self.connection)
    }

    /// Who we are: the ARN of the caller, for the audit.
    ///
    /// # Errors
    /// The service did not answer, or the credentials are not valid.
    pub async fn identity(&self) -> Result<String, crate::identity::IdentityError> {
        crate::identity::identity(&self.connection).await
    }
}

impl Services for Adapters {
    type Table = DynamoTable;
    type StateMachines = StepFunctions;
    type Objects = S3Objects;
    type Compute = Fargate;
    type Notifier = QueueNotifier;
    type Clock = SystemClock;

    fn table(&self) -> &DynamoTable {
        &self.table
    }
    fn machines(&self) -> &StepFunctions {
        &self.machines
    }
    fn objects(&self) -> &S3Objects {
        &self.objects
    }
    fn compute(&self) -> &Fargate {
        &self.compute
    }
    /// Notices, on their way to the function that delivers them.
    fn notifier(&self) -> &QueueNotifier {
        &self.notifier
    }
    fn clock(&self) -> &SystemClock {
        &self.clock
    }
}
