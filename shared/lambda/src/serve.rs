//! The life of a function's process: made once, then one event after another.

use crate::{Deployed, Failure, log};
use cauce_aws::delivery::Delivery;
use cauce_aws::{Adapters, Connect, Environment};
use cauce_driver::Driver;
use cauce_engine::{Command, Patience, Reply, Settings};
use cauce_model::time::MICROS;
use cauce_model::{Instant, Json};
use cauce_ports::{Clock, Services, with_sources};
use lambda_runtime::{LambdaEvent, service_fn};
use std::cell::{Cell, OnceCell};
use std::process::ExitCode;
use std::time::Duration;
use tracing::Instrument;

/// What a handler acts through.
pub struct Function {
    driver: Driver<Deployed>,
    delivery: OnceCell<Delivery>,
    /// When Lambda ends the present invocation.
    ends_at: Cell<Instant>,
}

/// What is left of an invocation when nothing more is begun: time for what one step takes.
const SPARE_SECONDS: i64 = 10;

impl Function {
    fn new(adapters: Adapters) -> Self {
        let environment = adapters.environment();
        // What differs from run to run (values, network, machines) is in the deployment that a run
        // is pinned to; what is left is the same for all.
        let settings = Settings {
            documents: environment.documents.clone(),
            cluster: environment.cluster.clone(),
            patience: Patience::SCHEDULER,
            ..Settings::default()
        };
        Self {
            driver: Driver::new(Deployed::new(adapters), settings),
            delivery: OnceCell::new(),
            ends_at: Cell::new(Instant::from_micros(0)),
        }
    }

    /// The driver of decisions.
    pub const fn driver(&self) -> &Driver<Deployed> {
        &self.driver
    }

    /// AWS.
    pub fn adapters(&self) -> &Adapters {
        self.driver.services()
    }

    /// What delivers notices. Made when it is first asked for, and kept with the secrets it has read.
    pub fn delivery(&self) -> &Delivery {
        self.delivery.get_or_init(|| self.adapters().delivery())
    }

    /// What the names of everything in this environment begin with.
    pub fn prefix(&self) -> &str {
        &self.adapters().environment().name
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// Something did not answer; the same command may be sent again.
    pub async fn execute(&self, command: &Command) -> Result<Reply, Failure> {
        Ok(self.driver.execute(command).await?)
    }

    /// Whether the present invocation has time for more.
    pub fn has_time(&self) -> bool {
        self.has_time_after(0)
    }

    /// Waits for so many seconds, unless the present invocation has no time for more after that.
    pub async fn rest(&self, seconds: u32) -> bool {
        let has_time = self.has_time_after(seconds);
        if has_time {
            #[expect(clippy::disallowed_methods, reason = "a service's rate is a matter of time alone")]
            tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        }
        has_time
    }

    fn has_time_after(&self, seconds: u32) -> bool {
        let spare = self.ends_at.get().micros_since(self.adapters().clock().now());
        spare > (SPARE_SECONDS + i64::from(seconds)) * MICROS
    }

    /// Sends what cannot be handled to the dead-letter queue, with its reason.
    ///
    /// # Errors
    /// The queue did not take it: it must not be lost, so it has to come again.
    pub async fn bury(&self, body: &str, failure: &Failure) -> Result<(), Failure> {
        tracing::error!(reason = %failure, "sent to the dead letters");
        let put = self.adapters().dead_letters().put(body, &failure.to_string()).await;
        put.map_err(|error| Failure::unavailable(with_sources(&error)))
    }
}

/// Runs a function until Lambda ends its process.
///
/// `handle` gets every event as it comes. It may be called again in the same process, after a
/// failure too, and must keep nothing but what is immutable.
pub fn serve(name: &'static str, handle: impl AsyncFn(&Function, Json) -> Result<Json, Failure>) -> ExitCode {
    // One event at a time: Lambda gives a process the next one only after the answer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(name, handle)),
        Err(error) => Err(format!("no runtime: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!(function = name, "{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    name: &'static str,
    handle: impl AsyncFn(&Function, Json) -> Result<Json, Failure>,
) -> Result<(), String> {
    let environment = match Environment::from_env() {
        Ok(environment) => environment,
        Err(error) => {
            log::start("info");
            return Err(with_sources(&error));
        }
    };
    log::start(&environment.log);
    let adapters =
        Adapters::open(environment, Connect::default()).await.map_err(|error| with_sources(&error))?;
    let function = Function::new(adapters);
    let (function, handle) = (&function, &handle);
    let service = service_fn(move |event: LambdaEvent<Json>| {
        let LambdaEvent { payload, context } = event;
        // In milliseconds since the epoch.
        // https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
        let ends_at = i64::try_from(context.deadline).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
        function.ends_at.set(Instant::from_micros(ends_at));
        let span = log::invocation(name, &context.request_id, &payload);
        let handled = async move {
            let units = function.adapters().table().consumed();
            let before = units.so_far();
            let outcome = handle(function, payload).await;
            log::ended(&outcome, units.so_far().since(before));
            outcome
        };
        handled.instrument(span)
    });
    lambda_runtime::run(service).await.map_err(|error| error.to_string())
}
