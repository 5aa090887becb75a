//! Watching runs: what is decided about tasks, told to people as it happens.

use std::cell::RefCell;
use std::rc::Rc;

use cauce_model::ids::RunRef;
use cauce_model::plan::Plan;

use crate::context::Context;
use crate::engine::start::task_changes;
use crate::engine::world::Watch;
use crate::engine::progress::{Change, Progress};

/// A progress display that decisions are fed to.
#[derive(Clone)]
pub(crate) struct Watching(Rc<RefCell<Progress>>);

impl Watching {
    /// A display, and the hook through which a host feeds it.
    pub(crate) fn new(context: &Context) -> (Watch, Self) {
        let watching = Self(Rc::new(RefCell::new(Progress::new(context))));
        let fed = watching.clone();
        let watch: Watch = Box::new(move |_, decision| {
            let mut progress = fed.0.borrow_mut();
            for record in task_changes(decision) {
                progress.change(Change::of(&record));
            }
        });
        (watch, watching)
    }

    /// Tells which tasks there are.
    pub(crate) fn plan(&self, plan: &Plan) {
        self.0.borrow_mut().plan(plan);
    }

    /// Runs begin.
    pub(crate) fn begin(&self, names: &[RunRef]) {
        self.0.borrow_mut().begin(names);
    }

    /// Time passed.
    pub(crate) fn tick(&self) {
        self.0.borrow_mut().tick();
    }

    /// Whether somebody wants ticks.
    pub(crate) fn wants_ticks(&self) -> bool {
        self.0.borrow().wants_ticks()
    }

    /// Nothing follows: the display is cleared.
    pub(crate) fn end(&self) {
        self.0.borrow_mut().end();
    }
}
