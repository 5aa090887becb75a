//! List prices, in one place: those of us-east-1, in billionths of a US dollar, without free tiers and
//! discounts.

/// One state transition of a Standard execution. <https://aws.amazon.com/step-functions/pricing/>
pub const TRANSITION_NANO_USD: u64 = 25_000;

/// One Lambda invocation: a request, and 100 ms at 256 MiB. <https://aws.amazon.com/lambda/pricing/>
pub const INVOCATION_NANO_USD: u64 = 200 + 417;

/// A write request unit of an on-demand table. <https://aws.amazon.com/dynamodb/pricing/on-demand/>
pub const WRITE_UNIT_NANO_USD: u64 = 625;

/// Write units of a task that runs once: two transactions of two small items, each written twice
/// as transactions are.
pub const WRITE_UNITS_PER_TASK: u64 = 8;

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

    #[test]
    fn an_hour_of_one_vcpu_and_two_gib_is_the_sum_of_both_prices() {
        let hour = fargate_nano_usd(1024, 2048, 3600);
        assert_eq!(hour, FARGATE_VCPU_HOUR_NANO_USD + 2 * FARGATE_GIB_HOUR_NANO_USD);
        assert_eq!(fargate_nano_usd(1024, 2048, 1), fargate_nano_usd(1024, 2048, 60));
        assert_eq!(fargate_nano_usd(1024, 2048, 7200), 2 * hour);
    }
}
