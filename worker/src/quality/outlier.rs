//! Values that lie far from those before them, by the modified z-score of Iglewicz and Hoaglin ("How to Detect and
//! Handle Outliers", ASQC 1993; <https://www.itl.nist.gov/div898/handbook/eda/section3/eda35h.htm>):
//! `0.6745 (x - median) / MAD`, where MAD is the median of the absolute deviations from the median. Median and MAD are
//! those of the `window` values before, so a wild day does not hide itself.
//!
//! It is a window function of DataFusion, because a row's verdict depends on the rows before it in a given order.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::Result as DataResult;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};

use crate::quality::checks::{Change, Outlier};

/// The expected MAD of a normal distribution with deviation 1, as the score's authors round it.
const NORMAL_MAD: f64 = 0.6745;

/// The window function of a check; its one argument is the column as 64-bit float.
pub fn window_function(rule: &Outlier) -> WindowUDF {
    let settings = Settings {
        window: rule.window,
        threshold: rule.threshold.to_bits(),
        change: rule.change,
        signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable),
    };
    WindowUDF::from(settings)
}

/// A check's settings. The threshold is kept by its bits: plans compare and hash their functions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Settings {
    window: usize,
    threshold: u64,
    change: Change,
    signature: Signature,
}

impl WindowUDFImpl for Settings {
    fn name(&self) -> &str {
        "cauce_outlier"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs<'_>) -> DataResult<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            window: self.window,
            threshold: f64::from_bits(self.threshold),
            change: self.change,
        }))
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> DataResult<FieldRef> {
        Ok(Field::new(arguments.name(), DataType::Boolean, false).into())
    }
}

#[derive(Debug)]
struct Evaluator {
    window: usize,
    threshold: f64,
    change: Change,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _: usize) -> DataResult<ArrayRef> {
        let column: &Float64Array = values[0].as_primitive::<Float64Type>();
        let values: Vec<Option<f64>> =
            (0..column.len()).map(|row| (!column.is_null(row)).then(|| column.value(row))).collect();
        let far = outliers(&values, self.window, self.threshold, self.change);
        Ok(Arc::new(BooleanArray::from(far)))
    }
}

/// Which values lie further from those before them than the threshold. What cannot be judged is not far: a value
/// that is absent, or of which there is no change; one with fewer than `window` judgeable values before it; one after
/// values of which half or more are the same, so that there is no spread to measure by.
fn outliers(values: &[Option<f64>], window: usize, threshold: f64, change: Change) -> Vec<bool> {
    let mut far = Vec::with_capacity(values.len());
    let mut before: Vec<f64> = Vec::with_capacity(values.len());
    let mut last = None;
    for value in values {
        let moved = match change {
            Change::None => *value,
            Change::Log => last.zip(*value).and_then(|(last, value)| log_return(last, value)),
        };
        last = value.or(last);
        let judged = moved.zip(before.len().checked_sub(window).map(|from| &before[from..]));
        far.push(
            judged.is_some_and(|(moved, before)| score(moved, before).is_some_and(|z| z.abs() > threshold)),
        );
        before.extend(moved);
    }
    far
}

/// The logarithm of the ratio of two values; of what is not positive there is none.
fn log_return(last: f64, value: f64) -> Option<f64> {
    (last > 0.0 && value > 0.0).then(|| (value / last).ln())
}

/// The modified z-score of a value against others.
fn score(value: f64, others: &[f64]) -> Option<f64> {
    let middle = median(others.to_vec())?;
    let spread = median(others.iter().map(|other| (other - middle).abs()).collect())?;
    (spread > 0.0).then(|| NORMAL_MAD * (value - middle) / spread)
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_that_of_the_handbook() {
        // Median 5, MAD 2: 0.6745 (15 - 5) / 2.
        let z = score(15.0, &[1.0, 3.0, 5.0, 7.0, 9.0]).unwrap();
        assert!((z - 3.3725).abs() < 1e-12, "{z}");
        assert_eq!(score(15.0, &[1.0, 1.0, 1.0, 9.0]), None, "no spread");
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_value_is_judged_by_those_before_it_alone() {
        let calm = [1.0, 2.0, 1.5, 2.5, 1.0, 2.0];
        let values: Vec<Option<f64>> = calm.into_iter().chain([9.0, 9.0]).map(Some).collect();
        let far = outliers(&values, 4, 3.5, Change::None);
        assert_eq!(far[..6], [false; 6], "the first four are not judged, the next two are calm");
        assert!(far[6] && far[7], "{far:?}");
        let few = outliers(&values[..4], 4, 0.0, Change::None);
        assert_eq!(few, [false; 4]);
    }

    #[test]
    fn changes_are_between_neighbours_that_are_there() {
        let values = [Some(100.0), None, Some(110.0), Some(0.0), Some(121.0)];
        let far = outliers(&values, 1, 0.0, Change::Log);
        assert_eq!(far, [false; 5], "one return before has no spread");
        assert!((log_return(100.0, 110.0).unwrap() - 0.095_310_179_804_324_86).abs() < 1e-15);
        assert_eq!(log_return(110.0, 0.0), None);
        assert_eq!(log_return(0.0, 121.0), None);
    }
}
