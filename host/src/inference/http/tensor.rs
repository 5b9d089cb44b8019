//! Numbers, or texts, out of JSON arrays of any nesting, straight into one vector: a reply of many
//! rows is read without a value for each of them. What rows and widths must be is checked here for
//! all protocols.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};

use super::protocol::{Outputs, ReplyError};
use crate::inference::external::PredictionType;

/// Deepest nesting that is followed. Models answer with two levels, now and then with three.
const MAX_DEPTH: usize = 8;

/// What was read, and the shape that it stood in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tensor {
    pub numbers: Vec<f32>,
    pub texts: Vec<String>,
    /// Length of the arrays at each level; none has been seen where it is none.
    lengths: [Option<usize>; MAX_DEPTH],
    /// Level of the values: 0 for one outside of any array.
    rank: Option<usize>,
}

impl Tensor {
    /// One text outside of any array.
    pub fn text(text: String) -> Self {
        Self { texts: vec![text], ..Self::default() }
    }

    /// Sizes of the array, outermost first.
    pub fn shape(&self) -> impl Iterator<Item = usize> {
        self.lengths.into_iter().map_while(|length| length)
    }

    /// A value at `depth`. All values of an array stand equally deep.
    fn value(&mut self, depth: usize) -> Result<(), &'static str> {
        match *self.rank.get_or_insert(depth) == depth {
            true => Ok(()),
            false => Err("numbers at different depths"),
        }
    }

    /// The end of an array at `depth`. All arrays of a level are equally long.
    fn array(&mut self, depth: usize, length: usize) -> Result<(), &'static str> {
        match *self.lengths[depth].get_or_insert(length) == length {
            true => Ok(()),
            false => Err("arrays of different lengths"),
        }
    }
}

/// Reads a value, or arrays of values, behind what is in the tensor.
pub(super) struct Collect<'t> {
    pub into: &'t mut Tensor,
    /// What the values must be.
    pub prediction: PredictionType,
    pub depth: usize,
}

impl<'t> Collect<'t> {
    /// Reads a whole tensor.
    pub fn into(into: &'t mut Tensor, prediction: PredictionType) -> Self {
        Self { into, prediction, depth: 0 }
    }

    fn number<E: Error>(self, number: f32) -> Result<(), E> {
        if self.prediction == PredictionType::Text {
            return Err(E::custom("a number where text is expected"));
        }
        self.into.value(self.depth).map_err(E::custom)?;
        self.into.numbers.push(number);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.prediction {
            PredictionType::Numbers(_) => "numbers",
            PredictionType::Text => "text",
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.number(number as f32)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(number as f32)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(number as f32)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.number(f32::from(u8::from(flag)))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.depth {
            // A tensor that was left out.
            0 => Ok(()),
            _ => self.number(f32::NAN),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.prediction == PredictionType::Text {
            self.into.value(self.depth).map_err(E::custom)?;
            self.into.texts.push(text.to_owned());
            return Ok(());
        }
        // As `lenient` writes the tokens, and some servers themselves.
        self.number(match text {
            "NaN" => f32::NAN,
            "Infinity" => f32::INFINITY,
            "-Infinity" => f32::NEG_INFINITY,
            _ => return Err(E::custom("text where a number is expected")),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { into, prediction, depth } = self;
        if depth == MAX_DEPTH {
            return Err(A::Error::custom("arrays nested too deep"));
        }
        let mut length = 0;
        while items.next_element_seed(Collect { into, prediction, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        into.array(depth, length).map_err(A::Error::custom)
    }
}

/// `tensor` as the predictions of `rows` rows: `[rows]` or `[rows, …]`, and for one row also its
/// numbers alone. `shape` is what the tensor says of itself.
pub(super) fn outputs(
    tensor: Tensor,
    shape: impl IntoIterator<Item = usize>,
    rows: usize,
    prediction: PredictionType,
) -> Result<Outputs, ReplyError> {
    let (count, width) = match prediction {
        PredictionType::Numbers(width) => (tensor.numbers.len(), width),
        PredictionType::Text => (tensor.texts.len(), 1),
    };
    let shape: Vec<usize> = shape.into_iter().collect();
    let size = shape.iter().try_fold(1usize, |size, &length| size.checked_mul(length));
    let is_by_row = rows == 1 || shape.first() == Some(&rows);
    if size != Some(count) || !is_by_row || Some(count) != rows.checked_mul(width) {
        let wanted = match prediction {
            PredictionType::Numbers(1) => format!("[{rows}] or [{rows}, 1]"),
            PredictionType::Numbers(width) => format!("[{rows}, {width}]"),
            PredictionType::Text => format!("[{rows}]"),
        };
        let values = if prediction == PredictionType::Text { "texts" } else { "numbers" };
        return Err(ReplyError::bad(format!("{count} {values} of shape {shape:?} instead of {wanted}")));
    }
    Ok(match prediction {
        PredictionType::Numbers(width) => Outputs::Numbers { values: tensor.numbers, width },
        PredictionType::Text => Outputs::Texts(tensor.texts),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, prediction: PredictionType) -> Result<Tensor, String> {
        let mut tensor = Tensor::default();
        let mut from = serde_json::Deserializer::from_str(json);
        Collect::into(&mut tensor, prediction).deserialize(&mut from).map_err(|e| e.to_string())?;
        Ok(tensor)
    }

    fn numbers(json: &str) -> Result<(Vec<f32>, Vec<usize>), String> {
        let tensor = read(json, PredictionType::Numbers(1))?;
        let shape = tensor.shape().collect();
        Ok((tensor.numbers, shape))
    }

    #[test]
    fn arrays_of_any_nesting_are_read_in_order() {
        assert_eq!(numbers("[1, 2.5, true]").unwrap(), (vec![1.0, 2.5, 1.0], vec![3]));
        assert_eq!(numbers("[[1,2],[3,4],[5,6]]").unwrap(), (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![3, 2]));
        assert_eq!(numbers("7").unwrap(), (vec![7.0], vec![]));
        assert_eq!(numbers("[]").unwrap(), (vec![], vec![0]));
        assert_eq!(numbers("[1e300,-1e300]").unwrap().0, [f32::INFINITY, f32::NEG_INFINITY]);
        assert!(numbers("[null]").unwrap().0[0].is_nan());
        assert_eq!(numbers("null").unwrap(), (vec![], vec![]));
        assert_eq!(read(r#"["a","b"]"#, PredictionType::Text).unwrap().texts, ["a", "b"]);
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused() {
        for (json, why) in [
            ("[[1],[2,3]]", "different lengths"),
            ("[1,[2]]", "different depths"),
            ("[[1],2]", "different depths"),
            (r#"["0.5"]"#, "text where a number"),
            (r#"[{"a":1}]"#, "invalid type: map"),
            ("[[[[[[[[[1]]]]]]]]]", "nested too deep"),
        ] {
            let error = numbers(json).unwrap_err();
            assert!(error.contains(why), "{json}: {error}");
        }
        assert!(read("[1]", PredictionType::Text).unwrap_err().contains("where text is expected"));
    }

    #[test]
    fn shapes_are_checked_against_rows_and_width() {
        let of = |json: &str, rows, width| {
            let tensor = read(json, PredictionType::Numbers(width)).unwrap();
            let shape: Vec<usize> = tensor.shape().collect();
            outputs(tensor, shape, rows, PredictionType::Numbers(width)).map_err(|e| e.reason)
        };
        assert!(of("[1,2]", 2, 1).is_ok());
        assert!(of("[[1],[2]]", 2, 1).is_ok());
        assert!(of("[[[1,2]],[[3,4]]]", 2, 2).is_ok());
        assert!(of("[1,2,3]", 1, 3).is_ok());
        assert!(of("0.5", 1, 1).is_ok());
        assert_eq!(of("[1,2,3]", 2, 1).unwrap_err(), "3 numbers of shape [3] instead of [2] or [2, 1]");
        assert_eq!(of("[[1,2],[3,4]]", 2, 3).unwrap_err(), "4 numbers of shape [2, 2] instead of [2, 3]");
        assert_eq!(of("[[1,2]]", 2, 1).unwrap_err(), "2 numbers of shape [1, 2] instead of [2] or [2, 1]");
        assert_eq!(of("null", 1, 1).unwrap_err(), "0 numbers of shape [] instead of [1] or [1, 1]");
        assert_eq!(of("[]", 1, 1).unwrap_err(), "0 numbers of shape [0] instead of [1] or [1, 1]");
    }
}
