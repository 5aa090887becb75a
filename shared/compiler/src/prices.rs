//! List prices, in one place: those of us-east-1, in billionths of a US dollar, without free tiers and
//! discounts.

/// One state transition of a Standard execution. <https://aws.amazon.com/step-functions/pricing/>
pub const TRANSITION_NANO_USD: u64 = 25_000;

/// One Lambda invocation: a request, and 100 ms at 256 MiB. <https://aws.amazon.com/lambda/pricing/>
pub const INVOCATION_NANO_USD: u64 = 200 + 417;

/// What an invocation logs: one kilobyte, Lambda's own lines among it, taken in by CloudWatch Logs.
/// <https://aws.amazon.com/cloudwatch/pricing/>
pub const INVOCATION_LOG_NANO_USD: u64 = 500;

/// A write request unit of an on-demand table. <https://aws.amazon.com/dynamodb/pricing/on-demand/>
pub const WRITE_UNIT_NANO_USD: u64 = 625;

/// A read request unit of an on-demand table.
pub const READ_UNIT_NANO_USD: u64 = 125;

/// An event that comes through a queue: it is sent, received and deleted, alone in its batch.
/// <https://aws.amazon.com/sqs/pricing/>
pub const QUEUED_EVENT_NANO_USD: u64 = 3 * 400;

/// A schedule's tick. <https://aws.amazon.com/eventbridge/pricing/>
pub const TICK_NANO_USD: u64 = 1_000;

/// A vCPU of Fargate for one hour, Linux on x86, on demand. <https://aws.amazon.com/fargate/pricing/>
pub const FARGATE_VCPU_HOUR_NANO_USD: u64 = 40_480_000;

/// A GiB of memory of Fargate for one hour, likewise.
pub const FARGATE_GIB_HOUR_NANO_USD: u64 = 4_445_000;

/// Fargate bills by the second, at least one minute.
pub const FARGATE_SECONDS_MIN: u64 = 60;

/// A PUT or LIST request of S3. <https://aws.amazon.com/s3/pricing/>
pub const S3_PUT_NANO_USD: u64 = 5_000;

/// A GET request of S3.
pub const S3_GET_NANO_USD: u64 = 400;

/// What something asks of the services that orchestrate.
///
/// The units of the table are those that `shared/aws/tests/contract/units.rs` measures.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Calls {
    /// State transitions.
    pub transitions: u64,
    /// Lambda invocations.
    pub invocations: u64,
    /// Read units of the table.
    pub read_units: u64,
    /// Write units of the table.
    pub write_units: u64,
    /// Events that come through a queue.
    pub queued_events: u64,
    /// Ticks of schedules.
    pub ticks: u64,
    /// Documents written to S3.
    pub documents_put: u64,
    /// Documents read from S3.
    pub documents_read: u64,
}

impl Calls {
    /// A run, without its tasks and its machine's states: its trigger (a tick), Open, Close, and the event
    /// of its end.
    pub const RUN: Self = Self {
        transitions: 0,
        invocations: 4,
        read_units: 9,
        write_units: 20,
        queued_events: 1,
        ticks: 1,
        documents_put: 0,
        documents_read: 0,
    };

    /// A container that runs once and succeeds, in its own machine: Begin, Launch, Finish, and the event of
    /// its container's stop. Its input is written and read, and so is its output.
    pub const CONTAINER: Self = Self {
        transitions: 3,
        invocations: 3,
        read_units: 7,
        write_units: 6,
        queued_events: 1,
        ticks: 0,
        documents_put: 2,
        documents_read: 2,
    };

    /// What another service does, likewise: nobody tells of its end but the state that waits for it.
    pub const CALL: Self = Self {
        invocations: 2,
        read_units: 5,
        queued_events: 0,
        documents_put: 0,
        documents_read: 0,
        ..Self::CONTAINER
    };

    /// What begin-task begins, does and finishes at once, in the pipeline's own machine.
    pub const AT_ONCE: Self = Self {
        transitions: 0,
        invocations: 1,
        read_units: 3,
        write_units: 1,
        queued_events: 0,
        documents_put: 0,
        documents_read: 0,
        ..Self::CONTAINER
    };

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            transitions: self.transitions + other.transitions,
            invocations: self.invocations + other.invocations,
            read_units: self.read_units + other.read_units,
            write_units: self.write_units + other.write_units,
            queued_events: self.queued_events + other.queued_events,
            ticks: self.ticks + other.ticks,
            documents_put: self.documents_put + other.documents_put,
            documents_read: self.documents_read + other.documents_read,
        }
    }

    /// What it costs by service, in billionths of a dollar.
    pub const fn nano_usd_by_service(self) -> [(&'static str, u64); 6] {
        [
            ("step_functions", self.transitions * TRANSITION_NANO_USD),
            ("lambda", self.invocations * INVOCATION_NANO_USD),
            ("dynamodb", self.write_units * WRITE_UNIT_NANO_USD + self.read_units * READ_UNIT_NANO_USD),
            ("s3", self.documents_put * S3_PUT_NANO_USD + self.documents_read * S3_GET_NANO_USD),
            ("sqs_and_scheduler", self.queued_events * QUEUED_EVENT_NANO_USD + self.ticks * TICK_NANO_USD),
            ("logs", self.invocations * INVOCATION_LOG_NANO_USD),
        ]
    }

    /// What it costs, in billionths of a dollar.
    pub fn nano_usd(self) -> u64 {
        self.nano_usd_by_service().into_iter().map(|(_, nano)| nano).sum()
    }
}

/// What one attempt of a container costs, in billionths of a dollar, for so many CPU units (1,024 are a
/// vCPU), MiB of memory and seconds.
pub const fn fargate_nano_usd(cpu: u64, memory_mib: u64, seconds: u64) -> u64 {
    let seconds = if seconds < FARGATE_SECONDS_MIN { FARGATE_SECONDS_MIN } else { seconds };
    let hourly = cpu * FARGATE_VCPU_HOUR_NANO_USD + memory_mib * FARGATE_GIB_HOUR_NANO_USD;
    // Both are in 1,024ths. 16 vCPUs for a year stay far below the bound of u64.
    hourly * seconds / 3600 / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/aws-store.md states these, for 6,000 runs of ten containers: 60,000 tasks.
    #[test]
    fn sixty_thousand_tasks_a_month_cost_what_the_documentation_says() {
        // Open, Close, and for each task the state that starts its machine.
        let states = Calls { transitions: 2 + 10, ..Calls::default() };
        let run = (0..10).fold(Calls::RUN.and(states), |run, _| run.and(Calls::CONTAINER));
        let month = |nano: u64| nano * 6_000 / 10_000_000;
        let cents = run.nano_usd_by_service().map(|(service, nano)| (service, month(nano)));
        let wanted = [
            ("step_functions", 630),
            ("lambda", 12),
            ("dynamodb", 35),
            ("s3", 64),
            ("sqs_and_scheduler", 8),
            ("logs", 10),
        ];
        assert_eq!(cents, wanted);
        assert_eq!(month(run.nano_usd()), 762);
        assert_eq!(fargate_nano_usd(256, 512, 60) * 60_000 / 10_000_000, 1_234);
    }

    #[test]
    fn an_hour_of_one_vcpu_and_two_gib_is_the_sum_of_both_prices() {
        let hour = fargate_nano_usd(1024, 2048, 3600);
        assert_eq!(hour, FARGATE_VCPU_HOUR_NANO_USD + 2 * FARGATE_GIB_HOUR_NANO_USD);
        assert_eq!(fargate_nano_usd(1024, 2048, 1), fargate_nano_usd(1024, 2048, 60));
        assert_eq!(fargate_nano_usd(1024, 2048, 7200), 2 * hour);
    }
}
