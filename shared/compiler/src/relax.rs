//! A prime set: which joins keep their edges, and where those go that wait behind a gate.
//!
//! A *join* is a task with two or more cover parents in the set. With no join required the set is a
//! forest, and a forest always builds. From there:
//!
//! 1. Classes of joins with equal parents are required again, the largest first, where the part of
//!    the forest they make still builds, and where no more gated tasks lose their place after one of
//!    their own parents than gates are saved. Sets of classes that build are closed
//!    under subsets, so taking them greedily is sound.
//! 2. The parts are put into one nest, in the order of their first tasks: each as late as all its
//!    sources allow, so that a gated task's Begin is not entered long before its gate can open.
//!    Putting a part beside others only adds true order and loses none that was enforced.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::bits;
use crate::build::{Builder, Prime};
use crate::draft::{DraftId, Kind};

/// Words of bits that trying classes may touch per nest; what is left then stays gated.
const WORK_LIMIT: u64 = 1 << 26;

/// Parts are put no deeper than this many nested `Par`: every level is four levels of JSON, and
/// parsers stop at 128.
const DEEPEST_PLACE: usize = 12;

/// Parents after which a place is looked for; the deepest come first.
const PLACES_TRIED: usize = 8;

/// Tasks that required edges join.
struct Part {
    /// Ascending.
    tasks: Vec<u32>,
    /// Those without a required parent.
    sources: Vec<u32>,
    /// What precedes every source.
    common: Vec<u64>,
}

/// Where a part can be put: beside the children `from..to` of a sequence.
struct Place {
    seq: DraftId,
    from: usize,
    to: usize,
    /// Level of the task it follows: the higher, the later.
    level: u32,
}

/// What the work on one prime set shares.
struct Scope {
    /// The set as bits.
    set: Vec<u64>,
    /// `None` once merged into another.
    parts: Vec<Option<Part>>,
    marks: Marks,
}

/// Notes about tasks, by position. Prime sets share no task, so what one leaves behind does not
/// concern another, and a graph with many of them allocates once.
#[derive(Default)]
pub(crate) struct Marks {
    /// Which part of its set a task is in.
    part_of: Vec<usize>,
    /// Tasks that the nest shall enforce after a task.
    followers: Vec<Vec<u32>>,
    /// Gated tasks of which a task is a cover parent.
    gated_below: Vec<Vec<u32>>,
    /// The cover parents of a gated task, in its set, right after which it can still be put.
    free: Vec<Vec<u32>>,
}

impl Marks {
    pub(crate) fn new(len: usize) -> Self {
        let lists = || vec![Vec::new(); len];
        Self { part_of: vec![0; len], followers: lists(), gated_below: lists(), free: lists() }
    }
}

impl Builder<'_> {
    /// The nest of a prime set, ascending.
    pub(crate) fn relax(&mut self, tasks: &[u32]) -> DraftId {
        let mut set = vec![0; bits::words_for(self.order.len())];
        for &v in tasks {
            bits::insert(&mut set, v);
        }
        let mut classes: BTreeMap<Vec<u32>, Vec<u32>> = BTreeMap::new();
        for &v in tasks {
            let covers = self.order.covers(v).iter().copied();
            let inside: Vec<u32> = covers.filter(|&p| bits::has(&set, p)).collect();
            let early = self.order.is_early(v);
            if inside.len() < 2 && !early {
                self.required[v as usize] = inside;
            } else {
                self.required[v as usize] = Vec::new();
                if !early {
                    classes.entry(inside).or_default().push(v);
                }
            }
        }
        let mut scope = self.forest(tasks, set);
        let mut classes: Vec<(Vec<u32>, Vec<u32>)> = classes.into_iter().collect();
        classes.sort_by_key(|(parents, joins)| (Reverse(joins.len()), parents.len(), joins[0]));
        let limit = self.work + WORK_LIMIT;
        for (parents, joins) in classes {
            if self.work > limit {
                break;
            }
            self.require(&mut scope, &parents, &joins);
        }
        self.assemble(scope)
    }

    /// The parts without any join required.
    fn forest(&mut self, tasks: &[u32], set: Vec<u64>) -> Scope {
        let mut scope = Scope { set, parts: Vec::new(), marks: std::mem::take(&mut self.marks) };
        for &v in tasks {
            for &p in &self.required[v as usize] {
                scope.marks.followers[p as usize].push(v);
            }
            if self.required[v as usize].is_empty() {
                let covers = self.order.covers(v).iter().copied();
                for p in covers.filter(|&p| bits::has(&scope.set, p)) {
                    scope.marks.gated_below[p as usize].push(v);
                    scope.marks.free[v as usize].push(p);
                }
            }
        }
        for tasks in self.components(tasks) {
            for &v in &tasks {
                scope.marks.part_of[v as usize] = scope.parts.len();
            }
            let sources = vec![tasks[0]];
            let part = self.part(&scope.set, tasks, sources);
            scope.parts.push(Some(part));
        }
        scope
    }

    fn part(&self, set: &[u64], tasks: Vec<u32>, sources: Vec<u32>) -> Part {
        let mut common = set.to_vec();
        for &source in &sources {
            bits::intersect(&mut common, self.order.before(source));
        }
        Part { tasks, sources, common }
    }

    /// Requires a class of joins after all its parents, if that builds and is worth it.
    fn require(&mut self, scope: &mut Scope, parents: &[u32], joins: &[u32]) {
        // A follower q of one parent that another parent p does not precede makes an N of p, q, the
        // parent and the join: no nest has both edges.
        for &parent in parents {
            for &q in &scope.marks.followers[parent as usize] {
                if parents.iter().any(|&p| !self.order.precedes(p, q)) {
                    return;
                }
            }
        }
        let mut merged: Vec<usize> =
            parents.iter().chain(joins).map(|&v| scope.marks.part_of[v as usize]).collect();
        merged.sort_unstable();
        merged.dedup();
        let mut tasks = Vec::new();
        let mut sources = Vec::new();
        for part in merged.iter().filter_map(|&part| scope.parts[part].as_ref()) {
            tasks.extend_from_slice(&part.tasks);
            sources.extend(part.sources.iter().filter(|source| !joins.contains(source)));
        }
        tasks.sort_unstable();
        let part = self.part(&scope.set, tasks, sources);
        let taken = self.places_taken(scope, parents, joins);
        let lost = newly_lost(scope, &part, &taken);
        if lost > joins.len() {
            return;
        }

        for &join in joins {
            self.required[join as usize] = parents.to_vec();
        }
        let mark = self.drafts.len();
        let fits = match self.build(part.tasks.clone()) {
            Ok(node) => self.drafts.height(node) <= DEEPEST_PLACE,
            Err(Prime) => false,
        };
        self.drafts.truncate(mark);
        if !fits {
            for &join in joins {
                self.required[join as usize] = Vec::new();
            }
            return;
        }
        for (v, parent) in taken {
            scope.marks.free[v as usize].retain(|&p| p != parent);
        }
        for &join in joins {
            scope.marks.free[join as usize].clear();
        }
        for &parent in parents {
            scope.marks.followers[parent as usize].extend_from_slice(joins);
        }
        for &v in &part.tasks {
            scope.marks.part_of[v as usize] = merged[0];
        }
        for &gone in &merged[1..] {
            scope.parts[gone] = None;
        }
        scope.parts[merged[0]] = Some(part);
    }

    /// The places right after a parent, as (gated task, parent), that requiring a class takes away:
    /// what is put between the joins and the start of their block would delay them.
    fn places_taken(&self, scope: &Scope, parents: &[u32], joins: &[u32]) -> Vec<(u32, u32)> {
        let mut taken = Vec::new();
        let mut seen = BTreeSet::new();
        let mut stack = parents.to_vec();
        while let Some(p) = stack.pop() {
            let leads_to_all = parents.iter().all(|&parent| self.order.precedes(p, parent));
            if leads_to_all || !seen.insert(p) {
                continue;
            }
            for &v in &scope.marks.gated_below[p as usize] {
                let follows_all = parents.iter().all(|&parent| self.order.precedes(parent, v));
                if !follows_all && !joins.contains(&v) && scope.marks.free[v as usize].contains(&p) {
                    taken.push((v, p));
                }
            }
            stack.extend_from_slice(&self.required[p as usize]);
        }
        taken.sort_unstable();
        taken
    }

    /// Puts the parts together.
    fn assemble(&mut self, scope: Scope) -> DraftId {
        let root = self.drafts.add(Kind::Par);
        self.marks = scope.marks;
        let mut parts: Vec<Part> = scope.parts.into_iter().flatten().collect();
        parts.sort_unstable_by_key(|part| part.tasks[0]);
        for part in parts {
            let Ok(node) = self.build(part.tasks.clone()) else {
                unreachable!("a forest always builds, and a merged part was built before");
            };
            match self.place(&part, node) {
                Some(place) => self.drafts.put_beside(place.seq, place.from, place.to, node),
                None => self.drafts.append(root, node),
            }
        }
        root
    }

    /// The latest place for a part after a task that precedes all its sources. Those tasks are in
    /// the nest: the part that holds such a task starts before this one does.
    fn place(&mut self, part: &Part, node: DraftId) -> Option<Place> {
        let mut last: Vec<u32> = Vec::new();
        for v in bits::descending(&part.common) {
            if !last.iter().any(|&w| self.order.precedes(v, w)) {
                last.push(v);
            }
            if last.len() == PLACES_TRIED {
                break;
            }
        }
        last.sort_by_key(|&v| Reverse(self.order.level(v)));
        let mut following = vec![0; bits::words_for(self.order.len())];
        following.fill(u64::MAX);
        for &v in &part.tasks {
            bits::intersect(&mut following, self.order.after(v));
        }
        let height = self.drafts.height(node);
        let mut best: Option<Place> = None;
        for v in last {
            let place = self.place_after(v, part, &following, height);
            if best.as_ref().is_none_or(|best| place.level > best.level) {
                best = Some(place);
            }
        }
        best
    }

    /// The deepest place for a part that follows as much as possible of what leads to `task`.
    fn place_after(&mut self, task: u32, part: &Part, following: &[u64], height: usize) -> Place {
        let leaf = self.drafts.leaf(task);
        self.drafts.sequence_of(leaf);
        let mut way = vec![leaf];
        while let Some(parent) = way.last().and_then(|&node| self.drafts.parent(node)) {
            way.push(parent);
        }
        let mut depth = way.iter().filter(|&&node| self.drafts.kind(node) == Kind::Par).count();
        let mut place: Option<Place> = None;
        for step in way.windows(2) {
            let (child, node) = (step[0], step[1]);
            if self.drafts.kind(node) == Kind::Par {
                depth -= 1;
                continue;
            }
            let children = self.drafts.children(node);
            let slot = self.drafts.slot(node, child);
            // What comes later in this sequence would wait for the part, wherever it is below.
            let later_waits_anyway =
                children[slot + 1..].iter().all(|&later| self.drafts.all_in(later, following));
            let fits = depth + 1 + height <= DEEPEST_PLACE;
            if place.is_some() && later_waits_anyway && fits {
                continue;
            }
            let precede =
                children[slot..].iter().take_while(|&&child| self.drafts.all_in(child, &part.common)).count();
            let from = slot + precede;
            let follow = children[from..]
                .iter()
                .rev()
                .take_while(|&&child| self.drafts.all_in(child, following))
                .count();
            let level = from
                .checked_sub(1)
                .and_then(|before| self.drafts.last_task(children[before]))
                .map_or(0, |before| self.order.level(before) + 1);
            place = Some(Place { seq: node, from, to: children.len() - follow, level });
        }
        // The leaf's own sequence is always on the way.
        place.unwrap_or(Place { seq: leaf, from: 0, to: 0, level: 0 })
    }
}

/// How many gated tasks would have no place left right after a parent, that have one now, if these
/// places were taken and `merged` were a part.
fn newly_lost(scope: &Scope, merged: &Part, taken: &[(u32, u32)]) -> usize {
    let mut affected: Vec<u32> = taken.iter().map(|&(v, _)| v).collect();
    affected.extend_from_slice(&merged.sources);
    affected.sort_unstable();
    affected.dedup();
    affected
        .into_iter()
        .filter(|&v| {
            let now = scope.parts[scope.marks.part_of[v as usize]].as_ref();
            let then = if merged.sources.contains(&v) { Some(merged) } else { now };
            let follows = |part: Option<&Part>, p: u32| part.is_some_and(|part| bits::has(&part.common, p));
            let free = &scope.marks.free[v as usize];
            free.iter().any(|&p| follows(now, p))
                && !free.iter().any(|&p| follows(then, p) && taken.binary_search(&(v, p)).is_err())
        })
        .count()
}
