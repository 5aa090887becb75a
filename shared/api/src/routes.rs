//! Every route with its address, its key's scope and what it is for: the one list that the router, the
//! desk and the OpenAPI document are made from.

use cauce_model::access::Scope;

/// What a route does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// The process answers.
    Alive,
    /// The store answers.
    Ready,
    /// The OpenAPI document.
    Description,
    /// Metrics for Prometheus.
    Metrics,
    /// All pipelines.
    ListPipelines,
    /// One pipeline.
    ShowPipeline,
    /// Holds a pipeline's triggers back.
    Pause,
    /// Lets them go on.
    Unpause,
    /// Starts a run.
    StartRun,
    /// Runs, oldest first.
    ListRuns,
    /// One run.
    ShowRun,
    /// Ends a run.
    CancelRun,
    /// The next generation of a run.
    RerunRun,
    /// Says how a task ended.
    MarkTask,
    /// Answers an approval with yes.
    ApproveTask,
    /// Answers an approval with no.
    RejectTask,
    /// What a task's attempt printed.
    ReadLog,
    /// A signed call.
    Hook,
    /// A signed call of one webhook among several.
    NamedHook,
    /// A provider confirms the address.
    ConfirmHook,
    /// A provider confirms the address of one webhook among several.
    ConfirmNamedHook,
}

/// How a route is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// GET, and HEAD.
    Get,
    /// POST.
    Post,
}

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What it does.
    pub operation: Operation,
    /// How it is called.
    pub verb: Verb,
    /// Its address; parts in braces are parameters.
    pub path: &'static str,
    /// What a key needs; `None` takes no key.
    pub scope: Option<Scope>,
    /// One line for people.
    pub summary: &'static str,
}

const fn route(
    operation: Operation,
    verb: Verb,
    path: &'static str,
    scope: Option<Scope>,
    summary: &'static str,
) -> Route {
    Route { operation, verb, path, scope, summary }
}

/// All routes.
pub const ROUTES: [Route; 21] = {
    use Operation as O;
    use Scope as S;
    use Verb::{Get, Post};
    [
        route(O::Alive, Get, "/healthz", None, "whether the process answers"),
        route(O::Ready, Get, "/readyz", None, "whether the store answers"),
        route(O::Description, Get, "/openapi.json", None, "this document"),
        route(O::Metrics, Get, "/metrics", Some(S::MetricsRead), "metrics as Prometheus reads them"),
        route(O::ListPipelines, Get, "/v1/pipelines", Some(S::PipelinesRead), "pipelines by name"),
        route(O::ShowPipeline, Get, "/v1/pipelines/{pipeline}", Some(S::PipelinesRead), "a pipeline"),
        route(
            O::Pause,
            Post,
            "/v1/pipelines/{pipeline}/pause",
            Some(S::PipelinesWrite),
            "hold its triggers back",
        ),
        route(
            O::Unpause,
            Post,
            "/v1/pipelines/{pipeline}/unpause",
            Some(S::PipelinesWrite),
            "let its triggers go on",
        ),
        route(O::StartRun, Post, "/v1/pipelines/{pipeline}/runs", Some(S::RunsWrite), "start a run"),
        route(O::ListRuns, Get, "/v1/runs", Some(S::RunsRead), "runs, oldest first"),
        route(
            O::ShowRun,
            Get,
            "/v1/pipelines/{pipeline}/runs/{run_id}",
            Some(S::RunsRead),
            "a run with its tasks",
        ),
        route(
            O::CancelRun,
            Post,
            "/v1/pipelines/{pipeline}/runs/{run_id}/cancel",
            Some(S::RunsWrite),
            "end a run",
        ),
        route(
            O::RerunRun,
            Post,
            "/v1/pipelines/{pipeline}/runs/{run_id}/rerun",
            Some(S::RunsWrite),
            "the next generation of a run that has ended",
        ),
        route(
            O::MarkTask,
            Post,
            "/v1/pipelines/{pipeline}/runs/{run_id}/tasks/{task}/mark",
            Some(S::RunsWrite),
            "say how a task of an ended run counts",
        ),
        route(
            O::ApproveTask,
            Post,
            "/v1/pipelines/{pipeline}/runs/{run_id}/tasks/{task}/approve",
            Some(S::ApprovalsWrite),
            "answer an approval with yes",
        ),
        route(
            O::RejectTask,
            Post,
            "/v1/pipelines/{pipeline}/runs/{run_id}/tasks/{task}/reject",
            Some(S::ApprovalsWrite),
            "answer an approval with no",
        ),
        route(
            O::ReadLog,
            Get,
            "/v1/pipelines/{pipeline}/runs/{run_id}/tasks/{task}/log",
            Some(S::LogsRead),
            "what an attempt printed",
        ),
        route(O::Hook, Post, "/hooks/{pipeline}", None, "a signed call that starts a run"),
        route(O::NamedHook, Post, "/hooks/{pipeline}/{hook}", None, "the same, of one webhook among several"),
        route(O::ConfirmHook, Get, "/hooks/{pipeline}", None, "a provider confirms the address"),
        route(O::ConfirmNamedHook, Get, "/hooks/{pipeline}/{hook}", None, "the same, of one among several"),
    ]
};

impl Operation {
    /// Its route.
    pub fn route(self) -> &'static Route {
        // Every operation is in the table: a test counts them.
        ROUTES.iter().find(|route| route.operation == self).unwrap_or(&ROUTES[0])
    }

    /// Its name in records, metrics and the OpenAPI document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Ready => "ready",
            Self::Description => "description",
            Self::Metrics => "metrics",
            Self::ListPipelines => "list_pipelines",
            Self::ShowPipeline => "show_pipeline",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::StartRun => "start_run",
            Self::ListRuns => "list_runs",
            Self::ShowRun => "show_run",
            Self::CancelRun => "cancel_run",
            Self::RerunRun => "rerun_run",
            Self::MarkTask => "mark_task",
            Self::ApproveTask => "approve_task",
            Self::RejectTask => "reject_task",
            Self::ReadLog => "read_log",
            Self::Hook => "hook",
            Self::NamedHook => "named_hook",
            Self::ConfirmHook => "confirm_hook",
            Self::ConfirmNamedHook => "confirm_named_hook",
        }
    }

    /// Whether it is a webhook's.
    pub const fn is_hook(self) -> bool {
        matches!(self, Self::Hook | Self::NamedHook | Self::ConfirmHook | Self::ConfirmNamedHook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_one_route_and_one_name() {
        let names: BTreeSet<&str> = ROUTES.iter().map(|route| route.operation.name()).collect();
        assert_eq!(names.len(), ROUTES.len());
        for route in ROUTES {
            assert_eq!(route.operation.route().path, route.path);
            let open = route.scope.is_none();
            assert_eq!(open, !route.path.starts_with("/v1/") && route.path != "/metrics", "{}", route.path);
        }
    }
}
