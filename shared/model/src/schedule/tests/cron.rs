//! Reading expressions, refusing them, and writing them for EventBridge.

use crate::plan::Tick;
use crate::schedule::{Cron, EXPRESSION_CHARACTERS_MAX, Schedule};
use jiff::civil::{DateTime, date};
use proptest::prelude::*;

use super::{at, planned, schedule};

#[test]
fn spellings_of_one_schedule_are_equal() {
    for (one, other) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * sun"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 jan *"),
        ("@annually", " 0  0\t1 1 * "),
        ("*/15 * * * *", "0,15,30,45 0-23 1-31 1-12 0-6"),
        ("0-30/10 * * * *", "0,10,20,30 * * * *"),
        ("50/4 * * * *", "50,54,58 * * * *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * fri-sun"),
        ("0 0 * * Sat-Sun", "0 0 * * 0,6"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 0 1 JAN,jul *", "0 0 1 1,7 *"),
        ("0 9 * * MON-FRI", "0 9 * * 1-5"),
        ("*/90 * * * *", "0 * * * *"),
    ] {
        assert_eq!(Cron::parse(one), Cron::parse(other), "{one} and {other}");
        assert!(Cron::parse(one).is_ok(), "{one}");
    }
}

#[test]
fn a_refusal_names_the_part_and_what_is_allowed() {
    for (text, part, message) in [
        ("", "", "cron has five fields (minute, hour, day of month, month, day of week), this has 0"),
        (
            "0 2 * *",
            "0 2 * *",
            "cron has five fields (minute, hour, day of month, month, day of week), this has 4",
        ),
        (
            "0 2 * * ? *",
            "0 2 * * ? *",
            "cron has five fields (minute, hour, day of month, month, day of week), this has 6: leave out seconds or year",
        ),
        (
            "@dayly",
            "@dayly",
            "there is no preset `@dayly`; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually",
        ),
        ("60 2 * * *", "60", "`60` is no minute; allowed are 0 to 59"),
        ("0 24 * * *", "24", "`24` is no hour; allowed are 0 to 23"),
        ("0 0 0 * *", "0", "`0` is no day of month; allowed are 1 to 31"),
        ("0 0 1 13 *", "13", "`13` is no month; allowed are 1 to 12, and jan to dec"),
        ("0 0 * * 8", "8", "`8` is no day of week; allowed are 0 to 7 (0 and 7 are Sunday), and sun to sat"),
        (
            "0 0 * * 1,lun",
            "lun",
            "`lun` is no day of week; allowed are 0 to 7 (0 and 7 are Sunday), and sun to sat",
        ),
        ("  0 2,+3 * * *", "+3", "`+3` is no hour; allowed are 0 to 23"),
        (
            "0 2, * * *",
            "",
            "hour has an empty part; between commas stand a value, a range `a-b`, or a step `*/n`",
        ),
        (
            "0 22-5 * * *",
            "22-5",
            "the range `22-5` of hour runs backwards; write it as two ranges with a comma between",
        ),
        ("*/0 * * * *", "0", "`0` is no step of minute; after `/` stands a number of 1 or more"),
        ("*/ * * * *", "", "`` is no step of minute; after `/` stands a number of 1 or more"),
        (
            "0 0 ? * *",
            "?",
            "`?` is not Unix cron: `?`, `L`, `W` and `#` belong to Quartz and EventBridge; allowed in day of month are 1 to 31",
        ),
        (
            "0 0 LW * *",
            "LW",
            "`LW` is not Unix cron: `?`, `L`, `W` and `#` belong to Quartz and EventBridge; allowed in day of month are 1 to 31",
        ),
        (
            "0 0 * * 5#2",
            "5#2",
            "`5#2` is not Unix cron: `?`, `L`, `W` and `#` belong to Quartz and EventBridge; allowed in day of week are 0 to 7 (0 and 7 are Sunday), and sun to sat",
        ),
        ("0 0 30 feb *", "30", "no month that it names has a day 30, so it never ticks"),
        ("0 0 31 4,6,9,11 *", "31", "no month that it names has a day 31, so it never ticks"),
        ("0 0 ñ * *", "ñ", "`ñ` is no day of month; allowed are 1 to 31"),
    ] {
        let error = Cron::parse(text).unwrap_err();
        assert_eq!(&text[error.span.clone()], part, "{text}");
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn a_day_that_the_other_field_reaches_is_not_impossible() {
    // 30 February never comes, but every Monday of February does.
    let schedule = schedule("0 0 30 2 1", "UTC");
    assert_eq!(schedule.next_tick(at("2023-12-31T00:00:00Z")), Some(at("2024-02-05T00:00:00Z")));
}

#[test]
fn either_day_field_suffices_where_neither_is_a_star() {
    let days = |cron: &str| -> Vec<i8> {
        let cron = Cron::parse(cron).unwrap();
        (1..=31).filter(|day| cron.matches(date(2024, 1, *day).at(0, 0, 0, 0))).collect()
    };
    assert_eq!(days("0 0 1,15 * mon"), [1, 8, 15, 22, 29]);
    assert_eq!(days("0 0 2 * mon"), [1, 2, 8, 15, 22, 29]);
    assert_eq!(days("0 0 31 * *"), [31]);
    assert_eq!(days("0 0 */1 * mon"), [1, 8, 15, 22, 29]);
    assert_eq!(days("0 0 1-31 * mon").len(), 31);
    assert_eq!(days("0 0 31 * 0-6").len(), 31);
    // Vixie cron reads this as "the 1st, 11th, 21st and 31st if Mondays"; Airflow, and EventBridge's two schedules, do not.
    assert_eq!(days("0 0 */10 * mon"), [1, 8, 11, 15, 21, 22, 29, 31]);
}

#[test]
fn six_fields_for_eventbridge() {
    for (cron, expected) in [
        ("0 2 * * *", &["cron(0 2 * * ? *)"][..]),
        ("*/15 * * * *", &["cron(0,15,30,45 * * * ? *)"]),
        ("0 9 * * 1-5", &["cron(0 9 ? * 2-6 *)"]),
        ("0 9 * * sun", &["cron(0 9 ? * 1 *)"]),
        ("0 9 * * 7,6", &["cron(0 9 ? * 1,7 *)"]),
        ("0 0 1 1,7 *", &["cron(0 0 1 1,7 ? *)"]),
        ("30 8-18 1-5,20 * 3", &["cron(30 8-18 1-5,20 * ? *)", "cron(30 8-18 ? * 4 *)"]),
    ] {
        assert_eq!(Cron::parse(cron).unwrap().to_eventbridge(), expected, "{cron}");
    }
}

#[test]
fn rates_and_single_moments_for_eventbridge() {
    let expression = |every: Tick| {
        let mut plan = planned("0 0 * * *", "Europe/Madrid");
        plan.every = every;
        let only = Schedule::new(&plan).unwrap().to_eventbridge();
        assert_eq!(only.len(), 1);
        assert_eq!(only[0].timezone, "UTC");
        only[0].expression.clone()
    };
    assert_eq!(expression(Tick::RateSeconds(60)), "rate(1 minute)");
    assert_eq!(expression(Tick::RateSeconds(5_400)), "rate(90 minutes)");
    assert_eq!(expression(Tick::RateSeconds(3_600)), "rate(1 hour)");
    assert_eq!(expression(Tick::RateSeconds(172_800)), "rate(2 days)");
    let once = Tick::Once(at("2024-07-01T09:30:00+02:00"));
    assert_eq!(expression(once), "at(2024-07-01T07:30:00)");
    let zoned = schedule("0 9 * * *", "america/argentina/buenos_aires").to_eventbridge();
    assert_eq!(zoned[0].timezone, "America/Argentina/Buenos_Aires");
}

/// The fields of a random expression; no step behind a star in a day field, which croner reads as
/// Vixie cron does.
fn plain_cron() -> impl Strategy<Value = String> {
    fn field(low: u8, high: u8, stars: bool) -> impl Strategy<Value = String> {
        let value = low..=high;
        let range = (low..=high, low..=high).prop_map(|(a, b)| (a.min(b), a.max(b)));
        let part = prop_oneof![
            4 => value.prop_map(|v| v.to_string()),
            2 => range.clone().prop_map(|(a, b)| format!("{a}-{b}")),
            1 => (range, 1..9u8).prop_map(|((a, b), step)| format!("{a}-{b}/{step}")),
            1 => (1..9u8).prop_map(move |step| if stars { format!("*/{step}") } else { low.to_string() }),
        ];
        prop_oneof![
            1 => Just("*".to_owned()),
            2 => prop::collection::vec(part, 1..4).prop_map(|parts| parts.join(",")),
        ]
    }
    (field(0, 59, true), field(0, 23, true), field(1, 31, false), field(1, 12, true), field(0, 6, false))
        .prop_map(|(m, h, d, mo, w)| format!("{m} {h} {d} {mo} {w}"))
}

proptest! {
    #[test]
    fn croner_finds_the_same_local_times(text in plain_cron(), day in 0..3_000i64, minute in 0..1_440i64) {
        let from: DateTime = date(2020, 1, 1).at(0, 0, 0, 0)
            + jiff::SignedDuration::from_secs(day * 86_400 + minute * 60);
        let Ok(ours) = Cron::parse(&text) else {
            // The only refusal such an expression can meet is a day that no month has.
            prop_assert!(Cron::parse(&text).unwrap_err().to_string().contains("never ticks"));
            return Ok(());
        };
        let theirs = croner::parser::CronParser::new().parse(&text).unwrap();
        let mut ours_at = from;
        let mut theirs_at = from;
        for inclusive in [true, false, false, false] {
            let start = if inclusive { ours_at } else { ours_at + jiff::SignedDuration::from_secs(60) };
            ours_at = ours.at_or_after(start).unwrap();
            theirs_at = theirs.find_next_occurrence(&theirs_at, inclusive).unwrap();
            prop_assert_eq!(ours_at, theirs_at, "{} from {}", text, from);
        }
        prop_assert_eq!(
            ours.at_or_before(from).unwrap(),
            theirs.find_previous_occurrence(&from, true).unwrap()
        );
    }

    #[test]
    fn expressions_for_eventbridge_fit(text in plain_cron()) {
        if let Ok(cron) = Cron::parse(&text) {
            for expression in cron.to_eventbridge() {
                prop_assert!(expression.len() <= EXPRESSION_CHARACTERS_MAX);
                prop_assert_eq!(expression.matches('?').count(), 1);
                prop_assert_eq!(expression.split(' ').count(), 6);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[ 0-9a-zA-Z*,/@#?ñ-]{0,24}") {
        if let Err(error) = Cron::parse(&text) {
            prop_assert!(text.get(error.span).is_some());
        }
    }
}
