//! The sizes that Fargate offers, and the next one for a program that ran out of memory.

use serde::{Deserialize, Serialize};

/// Cpu units, least and greatest memory in MiB, and the step between, as Fargate offers them.
/// 256 units go with 512, 1024 and 2048 MiB, which has no step.
/// Source: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size>.
pub const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2_048, 0),
    (512, 1_024, 4_096, 1_024),
    (1_024, 2_048, 8_192, 1_024),
    (2_048, 4_096, 16_384, 1_024),
    (4_096, 8_192, 30_720, 1_024),
    (8_192, 16_384, 61_440, 4_096),
    (16_384, 32_768, 122_880, 8_192),
];

/// The most memory that Fargate offers, in MiB.
pub const MEMORY_MAX: u32 = 122_880;

/// What a container is launched with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// CPU units of 1/1024 vCPU.
    pub cpu: u32,
    /// Memory in MiB.
    pub memory: u32,
}

/// As people read it: `2048 MiB, 256 cpu units`.
impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MiB, {} cpu units", self.memory, self.cpu)
    }
}

/// How a task's memory grows after an attempt that ran out of it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthPlan {
    /// How many times the memory of the attempt that ran out of it the next one has.
    pub factor: f64,
    /// MiB that no attempt goes above.
    pub max: u32,
}

impl GrowthPlan {
    /// What follows an attempt of size `ran_out`: its memory times the factor, at most `max`, rounded up to
    /// what Fargate offers; never less than `ran_out`. The cpu stays as long as it goes with so much memory.
    pub fn after(&self, ran_out: Size) -> Size {
        // A float becomes a whole number at its bounds where it is beyond them.
        let wanted = (f64::from(ran_out.memory) * self.factor).ceil() as u32;
        let wanted = wanted.min(self.max);
        let up = offered(ran_out.cpu).find(|size| size.memory >= wanted);
        let grown = match up.filter(|size| size.memory <= self.max) {
            Some(size) => Some(size),
            // Nothing between what is wanted and the most: the greatest below.
            None => offered(ran_out.cpu)
                .filter(|size| size.memory <= self.max)
                .max_by_key(|size| (size.memory, std::cmp::Reverse(size.cpu))),
        };
        grown.filter(|size| size.memory > ran_out.memory).unwrap_or(ran_out)
    }
}

/// The sizes with at least so many cpu units: those with the least of them first, each in order of memory.
fn offered(cpu: u32) -> impl Iterator<Item = Size> {
    SIZES.into_iter().filter(move |(units, ..)| *units >= cpu).flat_map(|(cpu, low, high, step)| {
        let steps: Vec<u32> = if step == 0 {
            std::iter::successors(Some(low), |memory| Some(memory * 2)).take_while(|m| *m <= high).collect()
        } else {
            (low..=high).step_by(step as usize).collect()
        };
        steps.into_iter().map(move |memory| Size { cpu, memory })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(factor: f64, max: u32, cpu: u32, memory: u32) -> (u32, u32) {
        let size = GrowthPlan { factor, max }.after(Size { cpu, memory });
        (size.cpu, size.memory)
    }

    #[test]
    fn memory_grows_to_the_next_size_with_its_cpu() {
        assert_eq!(grown(2.0, 8_192, 256, 512), (256, 1_024));
        assert_eq!(grown(1.5, 8_192, 512, 1_024), (512, 2_048));
        assert_eq!(grown(3.0, 8_192, 512, 1_024), (512, 3_072));
        // 256 units go with 512, 1024 and 2048 MiB only: what is between goes up to the next.
        assert_eq!(grown(1.2, 8_192, 256, 1_024), (256, 2_048));
        assert_eq!(grown(1.1, 122_880, 8_192, 16_384), (8_192, 20_480));
    }

    #[test]
    fn more_than_its_cpu_goes_with_takes_the_least_cpu_that_does() {
        assert_eq!(grown(2.0, 8_192, 256, 2_048), (512, 4_096));
        assert_eq!(grown(10.0, 122_880, 256, 2_048), (4_096, 20_480));
        assert_eq!(grown(2.0, 122_880, 4_096, 30_720), (8_192, 61_440));
    }

    #[test]
    fn memory_never_passes_its_bound_and_never_shrinks() {
        assert_eq!(grown(4.0, 3_000, 512, 1_024), (512, 2_048));
        assert_eq!(grown(2.0, 2_048, 256, 2_048), (256, 2_048));
        assert_eq!(grown(2.0, 1_500, 512, 2_048), (512, 2_048));
        assert_eq!(grown(f64::MAX, u32::MAX, 256, 512), (16_384, 122_880));
        assert_eq!(grown(f64::NAN, 8_192, 256, 1_024), (256, 1_024));
    }

    #[test]
    fn what_follows_is_always_on_offer() {
        for start in offered(0) {
            for factor in [1.1, 1.5, 2.0, 3.7, 16.0] {
                for max in [512, 2_047, 2_048, 5_000, 30_720, 40_000, MEMORY_MAX] {
                    let next = GrowthPlan { factor, max }.after(start);
                    assert!(
                        offered(start.cpu).any(|size| size == next),
                        "{start} x{factor} max {max}: {next}"
                    );
                    assert!(next.memory <= max.max(start.memory), "{start} x{factor} max {max}: {next}");
                }
            }
        }
    }
}
