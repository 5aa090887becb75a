//! Which run is meant: dates, intervals and parameters of the command line.

use cauce_driver::ask::{WhichError, which, which_of_case};
use cauce_engine::schedule::{Dating, Interval};
use cauce_engine::trigger::{NewRun, of_interval};
use cauce_local::ids::UlidIds;
use cauce_model::params::ParamSpec;
use cauce_model::plan::Plan;
use cauce_model::{Instant, Json};
use cauce_ports::Ids;
use serde_json::Map;
use std::collections::BTreeMap;
use std::path::Path;

use crate::context::Context;
use crate::engine::item::{Chosen, dating};
use crate::error::Failure;
use crate::project;
use crate::suggest::nearest;

/// A moment or a date on the command line; a date is its midnight in the pipeline's zone.
fn moment(text: &str, dating: &Dating) -> Result<Instant, Failure> {
    if let Ok(at) = Instant::parse(text) {
        return Ok(at);
    }
    let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10);
    date.and_then(|date| dating.zone().start_of_day(date)).ok_or_else(|| {
        Failure::bad_input(format!(
            "'{text}' is neither a date (1997-01-05) nor a moment (1997-01-05T02:00:00Z)"
        ))
    })
}

/// A date of a range.
pub(crate) fn date(text: &str) -> Result<jiff::civil::Date, Failure> {
    let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10);
    date.ok_or_else(|| Failure::bad_input(format!("'{text}' is not a date such as 1997-01-05")))
}

/// The run that `cauce run` means.
///
/// # Errors
/// A date that names no data interval, an interval that is none.
pub(crate) fn new_run(
    plan: &Plan,
    chosen: Option<&Chosen>,
    logical_date: Option<&str>,
    interval: Option<&str>,
    now: Instant,
) -> Result<NewRun, Failure> {
    let dating = dating(plan, chosen)?;
    let mut new = dated(plan, (chosen, &dating), logical_date, interval, now)?;
    if let Some(chosen) = chosen {
        new.run_id = format!("{}-{}", chosen.item.key, new.run_id);
    }
    Ok(new)
}

fn dated(
    plan: &Plan,
    (chosen, dating): (Option<&Chosen>, &Dating),
    logical_date: Option<&str>,
    interval: Option<&str>,
    now: Instant,
) -> Result<NewRun, Failure> {
    if let Some(text) = interval {
        let Some((from, to)) = text.split_once("..") else {
            return Err(Failure::bad_input(format!("'{text}' is not an interval"))
                .help("write two dates or moments with two dots between: 1997-01-01..1997-02-01"));
        };
        let (start, end) = (moment(from, dating)?, moment(to, dating)?);
        if end < start {
            return Err(Failure::bad_input(format!("the interval {text} ends before it starts")));
        }
        let interval = Interval { logical_date: start, start, end };
        return Ok(of_interval(dating, interval));
    }
    let id = || {
        let ids = UlidIds::new().map_err(|error| Failure::system(format!("no random numbers: {error}")))?;
        Ok::<_, Failure>(format!("manual-{}", ids.ulid(now).to_ascii_lowercase()))
    };
    let found = match chosen {
        None => which(plan, logical_date, now, id)?,
        Some(chosen) => which_of_case(plan, chosen.case.as_deref(), logical_date, now, id)?,
    };
    found.map_err(|error| match error {
        WhichError::Wrong(problem) => Failure::bad_input(problem),
        WhichError::NoneComplete => Failure::bad_input("no data interval of the schedule is complete yet")
            .help("name one with --logical-date, or a range with --interval"),
    })
}

/// The parameters of the command line, read by their declared types.
///
/// # Errors
/// Unknown names, texts that do not fit their type, a file that is no object.
pub(crate) fn params(
    declared: &BTreeMap<String, ParamSpec>,
    given: &[String],
    file: Option<&Path>,
    context: &Context,
) -> Result<Json, Failure> {
    let mut params = match file {
        None => Map::new(),
        Some(file) => {
            let path = context.absolute(file);
            let text = project::read(&path)?;
            match serde_json::from_slice(&text) {
                Ok(Json::Object(fields)) => fields,
                Ok(_) => return Err(Failure::bad_input(format!("{}: not a JSON object", file.display()))),
                Err(error) => return Err(Failure::bad_input(format!("{}: {error}", file.display()))),
            }
        }
    };
    for pair in given {
        let Some((name, text)) = pair.split_once('=') else {
            return Err(
                Failure::bad_input(format!("'{pair}' is not a parameter")).help("write --param name=value")
            );
        };
        let Some(spec) = declared.get(name) else {
            let failure = Failure::bad_input(format!("the pipeline has no parameter '{name}'"));
            return Err(match nearest(name, declared.keys().map(String::as_str)) {
                Some(near) => failure.help(format!("did you mean '{near}'?")),
                None => failure.help("declare it under 'params'"),
            });
        };
        let value = spec
            .parse(text)
            .map_err(|problem| Failure::bad_input(format!("parameter '{name}': {problem}")))?;
        params.insert(name.to_owned(), value);
    }
    let pairs = declared.iter().map(|(name, spec)| (name.as_str(), spec));
    if let Err(problems) = cauce_model::params::validate(pairs, &params) {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(Failure::bad_input(problems.join("\n")));
    }
    Ok(Json::Object(params))
}
