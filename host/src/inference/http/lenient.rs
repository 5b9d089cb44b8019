//! `NaN`, `Infinity` and `-Infinity` in JSON: no JSON, but what TensorFlow Serving is documented to
//! write, and Python's `json` writes unasked. They are put into quotes, for a second reading of a
//! reply that could not be read the first time; a reply without them is not looked at twice.

use serde_json::Error;

/// Reads `body`, and once more with these tokens in quotes if it holds any.
pub(super) fn parse<T>(body: &[u8], read: impl Fn(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
    read(body).or_else(|error| match quote(body) {
        Some(quoted) => read(&quoted),
        None => Err(error),
    })
}

/// `body` with the tokens in quotes, where it has any outside of strings.
fn quote(body: &[u8]) -> Option<Vec<u8>> {
    const TOKENS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut out = Vec::new();
    let (mut at, mut from, mut in_string) = (0, 0, false);
    while let Some(&byte) = body.get(at) {
        match (byte, in_string) {
            (b'\\', true) => at += 1,
            (b'"', _) => in_string = !in_string,
            (b'N' | b'I' | b'-', false) => {
                if let Some(token) = TOKENS.iter().find(|token| body[at..].starts_with(token)) {
                    out.extend_from_slice(&body[from..at]);
                    out.push(b'"');
                    out.extend_from_slice(token);
                    out.push(b'"');
                    at += token.len();
                    from = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if from == 0 {
        return None;
    }
    out.extend_from_slice(&body[from..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_outside_of_strings_are_quoted() {
        let quoted = |text: &str| quote(text.as_bytes()).map(|q| String::from_utf8(q).unwrap());
        assert_eq!(
            quoted(r#"{"NaN":"a \" NaN","p":[NaN,-Infinity,Infinity,-1]}"#).unwrap(),
            r#"{"NaN":"a \" NaN","p":["NaN","-Infinity","Infinity",-1]}"#
        );
        assert_eq!(quoted(r#"{"a":"Infinity","b":-1}"#), None);
        assert_eq!(quoted("\"\\"), None);
    }
}
