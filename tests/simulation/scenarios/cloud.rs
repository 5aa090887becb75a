//! Functions as the platform runs them: each invocation a process of its own, which may die or lose replies at
//! any call, while executions and programs go on where they are.

use crate::scenarios::Evidence;
use crate::world::{Sim, settings};
use cauce_driver::{Budget, Driver, DriverError, Ports, SweepReport};
use cauce_engine::command::Event;
use cauce_engine::{Command, Decision, Patience, Reply, Settings};
use cauce_host::Engine;
use cauce_host::simulation::{Collected, MemoryObjects, ScriptedPrograms, VirtualClock};
use cauce_local::memory::MemoryTable;
use cauce_model::Instant;
use cauce_ports::{Clock, Services, Table};
use cauce_testkit::faulty::{Faults, Faulty, Moment, Rates};
use cauce_testkit::prng::Prng;
use std::future::Future;

/// One invocation of a function beside a host, on the same store or on another way to it.
pub(crate) struct Function<T = MemoryTable> {
    driver: Driver<Process<T>>,
    faults: Faults,
    clock: VirtualClock,
}

/// How an invocation ended.
#[derive(Debug)]
pub(crate) enum Told<R> {
    /// It said this.
    Heard(R),
    /// It gave up: whoever asked asks again.
    Failed(DriverError),
    /// Nobody heard of it again.
    Died,
}

struct Process<T> {
    table: Faulty<T>,
    machines: Faulty<Engine>,
    objects: Faulty<MemoryObjects>,
    compute: Faulty<ScriptedPrograms<MemoryObjects>>,
    notifier: Faulty<Collected>,
    clock: Skewed,
}

/// A clock that is wrong by a constant.
struct Skewed {
    clock: VirtualClock,
    micros: i64,
}

impl Clock for Skewed {
    fn now(&self) -> Instant {
        self.clock.now().plus_micros(self.micros)
    }
}

impl Function {
    /// On the host's own store.
    pub(crate) fn of(host: &Sim, faults: &Faults) -> Self {
        Self::skewed(host, faults, 0)
    }

    /// With a clock that is so many seconds ahead.
    pub(crate) fn skewed(host: &Sim, faults: &Faults, seconds: i64) -> Self {
        Self::on(host, Faulty::new(host.world().table.clone(), faults), faults, seconds)
    }
}

impl<T: Table> Function<T> {
    /// On another way to the host's store, such as one that remembers what an index showed.
    pub(crate) fn on(host: &Sim, table: Faulty<T>, faults: &Faults, seconds: i64) -> Self {
        let world = host.world();
        let clock = world.clock.clone();
        let process = Process {
            table,
            machines: Faulty::new(host.driver().services().machines().clone(), faults),
            objects: Faulty::new(world.objects.clone(), faults),
            compute: Faulty::new(world.programs.clone(), faults),
            notifier: Faulty::new(world.notices.clone(), faults),
            clock: Skewed { clock: clock.clone(), micros: seconds * 1_000_000 },
        };
        let settings = settings(Settings { patience: Patience::ALONE, ..Settings::default() });
        Self { driver: Driver::new(process, settings), faults: faults.clone(), clock }
    }

    /// What carries commands out, for those who let two do so at once.
    pub(crate) fn work(&self, command: &Command) -> impl Future<Output = Result<Reply, DriverError>> {
        self.driver.execute(command)
    }

    /// Has a command carried out.
    pub(crate) fn told(&self, command: &Command) -> Told<Reply> {
        self.ends(self.driver.execute(command))
    }

    /// Sweeps.
    pub(crate) fn sweeps(&self, budget: &Budget) -> Told<SweepReport> {
        self.ends(self.driver.sweep(budget))
    }

    fn ends<R>(&self, work: impl Future<Output = Result<R, DriverError>>) -> Told<R> {
        let told = match self.clock.block_on(self.faults.survive(work)) {
            None => panic!("a function waits for what never comes"),
            Some(Err(_)) => Told::Died,
            Some(Ok(Ok(reply))) => Told::Heard(reply),
            Some(Ok(Err(error))) => Told::Failed(error),
        };
        self.faults.revive();
        told
    }
}

impl<T: Table> Services for Process<T> {
    type Table = Faulty<T>;
    type StateMachines = Faulty<Engine>;
    type Objects = Faulty<MemoryObjects>;
    type Compute = Faulty<ScriptedPrograms<MemoryObjects>>;
    type Notifier = Faulty<Collected>;
    type Clock = Skewed;

    fn table(&self) -> &Self::Table {
        &self.table
    }
    fn machines(&self) -> &Self::StateMachines {
        &self.machines
    }
    fn objects(&self) -> &Self::Objects {
        &self.objects
    }
    fn compute(&self) -> &Self::Compute {
        &self.compute
    }
    fn notifier(&self) -> &Self::Notifier {
        &self.notifier
    }
    fn clock(&self) -> &Skewed {
        &self.clock
    }
}

impl<T: Table> Ports for Process<T> {
    type Services = Self;

    fn services(&self) -> &Self {
        self
    }
    // What a function leaves for later lies in the store: here nothing else tells of it.
    fn at(&self, _: Instant, _: Command) {}
    async fn post(&self, _: &Event) {}
    fn decided(&self, _: &Command, _: &Decision) {}
    fn warn(&self, _: &str) {}
}

/// What goes wrong in the invocations of a test.
pub(crate) const WEATHER: Rates =
    Rates { throttled: 100, conflict: 80, lost_before: 80, lost_after: 120, stale: 0 };

/// How often something is asked for before the weather clears.
const TRIES: u32 = 12;

/// Asks until somebody answers, as a queue does: each time another process, in foul weather, every third of
/// which dies at some call. When nobody has answered after [`TRIES`] the weather clears.
pub(crate) fn insist<R>(
    host: &Sim,
    prng: &mut Prng,
    evidence: &mut Evidence,
    mut ask: impl FnMut(&Function) -> Told<R>,
) -> R {
    for attempt in 0.. {
        let rates = if attempt < TRIES { WEATHER } else { Rates::default() };
        let faults = Faults::seeded(prng.next_u64(), rates);
        if attempt < TRIES && prng.below(3) == 0 {
            let moment = if prng.below(2) == 0 { Moment::Before } else { Moment::After };
            faults.crash_at(1 + prng.below(16), moment);
        }
        let told = ask(&Function::of(host, &faults));
        evidence.add(&faults);
        match told {
            Told::Heard(reply) => return reply,
            Told::Failed(error) => {
                assert!(attempt < TRIES, "on a quiet day: {}", cauce_ports::with_sources(&error));
            }
            Told::Died => {}
        }
    }
    unreachable!("the weather clears")
}

/// Invokes for each call that there is a function that dies at it, before or after its work: `scene` makes a
/// host as it was at the beginning, `after` is shown what each death left. Ends when a function outlives its
/// calls.
pub(crate) fn at_every_call(
    command: &Command,
    scene: impl Fn() -> Sim,
    mut after: impl FnMut(&Sim, &Faults, &str),
) {
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let host = scene();
            let faults = Faults::none();
            faults.crash_at(call, moment);
            match Function::of(&host, &faults).told(command) {
                Told::Died => after(&host, &faults, &format!("died at call {call} {moment:?}")),
                Told::Heard(_) => break,
                Told::Failed(error) => panic!("{error}"),
            }
        }
    }
}
