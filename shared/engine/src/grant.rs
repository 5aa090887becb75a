//! Going along a pool's line: who is granted, who is told, who does not wait any more.
//!
//! What this holds, whoever dies or is slow at any point:
//! 1. A grant is one conditional change of the pool: slots, the lease, and the name among those who have
//!    not heard. Whoever looks for everybody's sake tells those again until they have said that they know.
//! 2. A name leaves a line for good: by its start, by its end, or by whoever granted it. So one that has
//!    granted and finds the place gone, and the name still among those who have not heard, has granted to
//!    nobody, and takes it back.
//! 3. The mark that somebody is awaited goes only with a look at the pool, then at the whole line without
//!    anybody in it who waits, and then only if nobody has joined since that look at the pool.

use crate::View;
use crate::command::{Command, Decision, Effect};
use crate::line::{self, Ahead, LINE, Waiter, is_granted, stands_for};
use crate::slots::{self, AWAITED, FENCE, GRANTED, HOLDERS, Holder, JOINED, SLOTS, USED};
use crate::slots::{is_awaited, leases, number, pool_item};
use crate::stop::Stop;
use cauce_model::item::{Change, Cond, Step, TRANSACTION_MAX, When};
use cauce_model::{Expect, Instant, Item, Json, Write, names};
use std::collections::BTreeSet;

/// For whose sake a line is looked at.
///
/// If each of a thousand at the same moment granted all that is free, or told all who were granted, each
/// would do what the others do: so who comes for its own sake does its own part, and what is left over is
/// for those who look by the clock.
#[derive(Clone, Copy)]
pub(crate) enum Whom<'a> {
    /// Everybody's: all that is free is granted, and those are told whom somebody granted who may have died
    /// before it told, and who wants more than there is. The `whole` line: those are all told, and those who
    /// wait no more lose their places. Otherwise a full pool costs one read, however many wait.
    All {
        /// To its end.
        whole: bool,
    },
    /// That of one who has just joined: is it granted by now? It grants one slot.
    Joined(&'a str),
    /// That of those behind one who gave back so many slots: as many are granted.
    Gave(&'a str, u32),
}

/// Places of a line read at a time, at most. One that grants a few reads a few.
const PLACES_MAX: u32 = 100;

/// Places read beyond those that the free slots reach.
const PLACES_BEYOND: u32 = 4;

/// Grants of one look: the rest is for the next, which begins at once. A decision is made anew at each
/// thing that it lacks, so a long one costs the square of a short one.
const GRANTS_MAX: usize = 32;

/// So many times somebody else was quicker before the line is looked at anew.
const OVERTAKEN_MAX: usize = 3;

/// Grants whom it can, and tells whom it granted. Also: whether somebody waits still.
pub(crate) fn look(
    pool: &str,
    whom: Whom<'_>,
    item: &Item,
    view: &View,
    now: Instant,
) -> Result<(Decision, bool), Stop> {
    let capacity = number(item, SLOTS);
    let most = match whom {
        Whom::All { .. } => i64::MAX,
        Whom::Joined(_) => 1,
        Whom::Gave(_, slots) => i64::from(slots),
    };
    let free = capacity - number(item, USED);
    // More are held than there are: it was made smaller, and who waits may want too much now.
    let whole = match whom {
        Whom::All { whole } => whole || free < 0,
        Whom::Joined(_) | Whom::Gave(..) => false,
    };
    let mut look = Look {
        pool,
        whom,
        whole,
        item,
        view,
        now,
        capacity,
        free,
        most,
        barred: false,
        overtaken: 0,
        granted: 0,
        decision: Decision::default(),
    };
    let told = look.tell()?;
    let waits = if is_awaited(item) { look.walk()? } else { false };
    Ok((look.decision, waits || told))
}

struct Look<'a> {
    pool: &'a str,
    whom: Whom<'a>,
    /// Whether the line is looked at to its end.
    whole: bool,
    /// The pool, as it was before anything else was read.
    item: &'a Item,
    view: &'a View,
    now: Instant,
    capacity: i64,
    /// Slots that nobody holds.
    free: i64,
    /// How many of them this look is to grant.
    most: i64,
    /// Somebody waits whom those behind must not pass.
    barred: bool,
    overtaken: usize,
    granted: usize,
    decision: Decision,
}

impl<'a> Look<'a> {
    /// Whether there is anything left to grant.
    fn is_open(&self) -> bool {
        self.free.min(self.most) > 0 && !self.barred
    }

    /// Tells those who were granted and have not heard; whether there are any. Whoever granted may have died
    /// before it told, and one that has just joined may have had no token yet.
    fn tell(&mut self) -> Result<bool, Stop> {
        let unheard: BTreeSet<&str> = slots::texts(self.item, GRANTED).collect();
        let concerns = |name: &str| match self.whom {
            Whom::All { .. } => unheard.contains(name),
            // Whether somebody granted it, or its own first try took and the reply was lost.
            Whom::Joined(own) => own == name,
            Whom::Gave(..) => false,
        };
        let held = leases(self.item).filter(|(name, _)| concerns(name));
        let held: Vec<(&str, i64, Holder)> =
            held.filter_map(|(name, slots)| Some((name, i64::from(slots), Holder::parse(name)?))).collect();
        line::want(held.iter().map(|(.., holder)| holder), self.view)?;
        for (name, slots, holder) in held {
            match line::waiter(&holder, self.view)? {
                Waiter::Waits(token) => self.refuse(token),
                // Without a token yet, it looks itself.
                Waiter::NotYet => {}
                Waiter::Gone => {
                    if self.take_back("gone", name, slots)? {
                        // It died before it knew: those in line are granted what it gives back.
                        self.free += slots;
                        self.most = self.most.saturating_add(slots);
                    }
                }
            }
        }
        Ok(!unheard.is_empty())
    }

    /// Goes along the line as far as there is something to grant; whether somebody waits still.
    fn walk(&mut self) -> Result<bool, Stop> {
        let partition = pool_item(self.pool).partition;
        let (mut after, mut waits, mut pages) = (None, false, 0);
        while self.whole || self.is_open() {
            let few = u32::try_from(self.free.max(0)).unwrap_or(PLACES_MAX).saturating_add(PLACES_BEYOND);
            let limit = if self.whole { PLACES_MAX } else { (few << pages.min(5)).min(PLACES_MAX) };
            let (places, next) = self.view.page(partition.clone(), LINE.to_owned(), after.clone(), limit)?;
            waits |= self.page(places)?;
            let is_full = self.granted >= GRANTS_MAX || self.decision.writes.len() >= TRANSACTION_MAX;
            if is_full || self.overtaken >= OVERTAKEN_MAX {
                self.decision.effects.push(self.anew());
                return Ok(true);
            }
            after.clone_from(next);
            if after.is_none() {
                return Ok(waits || !self.clear()?);
            }
            pages += 1;
        }
        Ok(true)
    }

    /// Nobody waits: whoever comes next need not stand in line. True: so it is.
    fn clear(&self) -> Result<bool, Stop> {
        let change = Change { steps: vec![Step::Remove(AWAITED.into())] };
        let joined = Json::from(number(self.item, JOINED));
        let when = When { all: vec![Cond::Equals(JOINED.into(), joined)] };
        let name = format!("clear:{}", self.pool);
        Ok(self.view.update(name, pool_item(self.pool), change, when)?.is_some())
    }

    /// Grants to those of a page whom the free slots reach; whether somebody there waits still.
    fn page(&mut self, places: &'a [Item]) -> Result<bool, Stop> {
        let mut waiting = self.waiting(places)?;
        let mut met = BTreeSet::new();
        loop {
            let (reached, left, barred) = self.reached(&waiting)?;
            let (several, mut single): (Vec<&Item>, Vec<&Item>) =
                reached.into_iter().partition(|place| !line::several(place).is_empty());
            for place in several {
                // It takes them itself, all in one transaction; what is free here is kept for it.
                if met.insert(&place.key) && line::is_ready(place, self.view, self.now)? {
                    self.call(place)?;
                }
            }
            // All of them are granted now, each by one of those who gave back: who began with the same one
            // would find that somebody was quicker.
            let first = self.first(single.len());
            single.rotate_left(first);
            single.retain(|place| !met.contains(&place.key));
            let few = usize::try_from(self.most).unwrap_or(usize::MAX).min(single.len());
            self.want(&single[..few])?;
            let mut missing = None;
            for place in single {
                if self.most <= 0 || self.overtaken >= OVERTAKEN_MAX || self.granted >= GRANTS_MAX {
                    break;
                }
                met.insert(&place.key);
                if self.is_gone(place)? {
                    missing = Some(place);
                    break;
                }
                match self.grant(place)? {
                    Granted::Yes => {
                        self.free -= number(place, line::SLOTS);
                        waiting.retain(|other| other.key != place.key);
                    }
                    Granted::Overtaken => self.overtaken += 1,
                    Granted::Nobody => {
                        missing = Some(place);
                        break;
                    }
                }
            }
            // What one would have taken that is not there reaches further.
            match missing {
                Some(place) => waiting.retain(|other| other.key != place.key),
                None => {
                    self.free = left;
                    self.barred = barred;
                    return Ok(!waiting.is_empty());
                }
            }
        }
    }

    /// Those of a page who stand there without a grant. On the way along the whole line the dead are left
    /// out, and those are told who want more than there is: they fail.
    fn waiting(&mut self, places: &'a [Item]) -> Result<Vec<&'a Item>, Stop> {
        let stands = |place: &&Item| stands_for(place).is_some() && !is_granted(place, self.item);
        let waiting: Vec<&Item> = places.iter().filter(stands).collect();
        if !self.whole {
            for place in &waiting {
                if matches!(self.whom, Whom::All { .. }) && number(place, line::SLOTS) > self.capacity {
                    self.call(place)?;
                }
            }
            return Ok(waiting);
        }
        self.want(&waiting)?;
        let mut alive = Vec::new();
        for place in waiting {
            if self.is_gone(place)? {
                continue;
            }
            if number(place, line::SLOTS) > self.capacity {
                self.call(place)?;
            }
            alive.push(place);
        }
        Ok(alive)
    }

    /// Whom of those who wait the free slots reach, how many are left after them, and whether one bars the
    /// line.
    fn reached(&self, waiting: &[&'a Item]) -> Result<(Vec<&'a Item>, i64, bool), Stop> {
        let (mut reached, mut left) = (Vec::new(), self.free);
        for place in waiting {
            match line::ahead(place, left, self.view, self.now)? {
                Ahead::Takes(slots) => {
                    left -= slots;
                    reached.push(*place);
                }
                Ahead::Passed => {}
                Ahead::Bars => return Ok((reached, left, true)),
            }
        }
        Ok((reached, left, false))
    }

    /// Which of those who are reached is met first. FNV-1a of the name of whose sake it is.
    fn first(&self, reached: usize) -> usize {
        let (Whom::Joined(own) | Whom::Gave(own, _)) = self.whom else { return 0 };
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = own.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        usize::try_from((hash >> 32) % reached.max(1) as u64).unwrap_or(0)
    }

    /// Asks for the records of those in these places.
    fn want(&self, places: &[&Item]) -> Result<(), Stop> {
        let holders = places.iter().copied().filter_map(stands_for).filter_map(Holder::parse);
        line::want(&holders.collect::<Vec<_>>(), self.view)
    }

    /// Whether the one in a place does not wait any more: then the place goes.
    fn is_gone(&mut self, place: &Item) -> Result<bool, Stop> {
        let holder = stands_for(place).and_then(Holder::parse);
        let is_gone = match holder {
            Some(holder) => line::waiter(&holder, self.view)? == Waiter::Gone,
            None => true,
        };
        if is_gone {
            self.remove(place);
        }
        Ok(is_gone)
    }

    /// A place that stays because a transaction takes no more goes another time: its own start takes it out,
    /// or whoever finds nobody there.
    fn remove(&mut self, place: &Item) {
        if self.decision.writes.len() < TRANSACTION_MAX {
            self.decision.writes.push(Write::Delete { key: place.key.clone(), expect: Expect::Any });
        }
    }

    /// Wakes the one in a place, if it can be told.
    fn call(&mut self, place: &Item) -> Result<(), Stop> {
        self.want(&[place])?;
        let Some(holder) = stands_for(place).and_then(Holder::parse) else { return Ok(()) };
        if let Waiter::Waits(token) = line::waiter(&holder, self.view)? {
            self.refuse(token);
        }
        Ok(())
    }

    fn refuse(&mut self, token: String) {
        let cause = format!("slots of {} are free", self.pool);
        self.decision.effects.push(Effect::Refuse { token, error: names::AGAIN, cause });
    }

    /// Grants to the one in a place, and tells it.
    fn grant(&mut self, place: &Item) -> Result<Granted, Stop> {
        let wants = number(place, line::SLOTS);
        let Some(name) = stands_for(place) else { return Ok(Granted::Nobody) };
        let lease = slots::lease(name, u32::try_from(wants).unwrap_or(u32::MAX));
        let steps = vec![
            Step::Add(USED.into(), wants),
            Step::Add(FENCE.into(), 1),
            Step::Insert(HOLDERS.into(), lease.clone()),
            Step::Insert(GRANTED.into(), name.to_owned()),
        ];
        let all = vec![
            Cond::AtMost(USED.into(), self.capacity - wants),
            Cond::Equals(SLOTS.into(), Json::from(self.capacity)),
            Cond::Lacks(HOLDERS.into(), lease),
        ];
        let key = pool_item(self.pool);
        if self.view.update(format!("grant:{name}"), key, Change { steps }, When { all })?.is_none() {
            return Ok(Granted::Overtaken);
        }
        if self.view.item(&place.key)?.is_none() && self.take_back("nobody", name, wants)? {
            return Ok(Granted::Nobody);
        }
        self.granted += 1;
        self.most -= wants;
        self.remove(place);
        self.call(place)?;
        Ok(Granted::Yes)
    }

    /// Takes back what one was granted that has not heard of it.
    fn take_back(&self, why: &str, name: &str, wants: i64) -> Result<bool, Stop> {
        let unheard = Cond::Contains(GRANTED.into(), name.to_owned());
        let key = pool_item(self.pool);
        Ok(slots::give(why, &key, name, wants, Some(unheard), self.view)?.is_some())
    }

    /// What looks again for the same sake, at what is there by then.
    fn anew(&self) -> Effect {
        match self.whom {
            Whom::All { whole: true } => slots::give_back(self.pool, "", 0),
            Whom::All { whole: false } => slots::look_once(self.pool),
            Whom::Joined(own) => {
                let (pool, own) = (self.pool.to_owned(), own.to_owned());
                Effect::Command(Box::new(Command::Look { pool, own, seconds: 0 }))
            }
            Whom::Gave(own, slots) => slots::give_back(self.pool, own, slots),
        }
    }
}

/// What came of a grant.
enum Granted {
    Yes,
    /// Somebody else granted it, or the slots to another.
    Overtaken,
    /// It is not in the line any more.
    Nobody,
}
