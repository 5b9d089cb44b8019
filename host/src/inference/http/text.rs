//! Small texts: JSON strings and numbers written without an intermediate value, path segments, and
//! what an error body says in one line.

use serde_json::Value;

/// Characters of a server's message that are kept: enough for the sentence, not for the stack trace.
const MESSAGE_CHARS: usize = 300;

/// Bytes of an error body that are looked at.
const ERROR_BODY_BYTES: usize = 64 * 1024;

/// Appends `text` as a JSON string.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Appends `text` as it stands between the quotes of a JSON string.
pub(super) fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        match short.is_empty() {
            false => out.extend_from_slice(short),
            true => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        from = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
}

/// Appends a whole number.
pub(super) fn write_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
}

/// Appends numbers with commas between them. Stops at the first that JSON cannot say and returns its
/// place.
pub(super) fn write_numbers(values: &[f32], out: &mut Vec<u8>) -> Result<(), usize> {
    // The longest f32 is 15 bytes; most are shorter.
    out.reserve(values.len() * 12);
    let mut buffer = zmij::Buffer::new();
    for (at, &value) in values.iter().enumerate() {
        if !value.is_finite() {
            return Err(at);
        }
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(buffer.format_finite(value).as_bytes());
    }
    Ok(())
}

/// `text` as one segment of a path: what is not unreserved is percent-encoded, a slash too.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `text` in one line of bounded length: white space and what is no character become one space.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::new();
    let mut left = MESSAGE_CHARS;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
            left = left.saturating_sub(1);
        }
        for c in word.chars() {
            if left == 0 {
                out.push('…');
                return out;
            }
            out.push(c);
            left -= 1;
        }
    }
    out
}

/// What a server says about an unsuccessful request, behind its status. Understood are the bodies of
/// the model servers that there are, the rest is quoted:
///
/// ```text
/// {"error": "…"}                       Open Inference Protocol, TensorFlow Serving
/// {"error": {"message": "…", …}}       OpenAI
/// {"code": …, "type": …, "message": "…"}   TorchServe, and older servers in OpenAI's manner
/// {"detail": "…"} or {"detail": […]}   FastAPI
/// ```
pub(super) fn error_message(status: u16, body: &[u8]) -> String {
    let body = &body[..body.len().min(ERROR_BODY_BYTES)];
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(value) => said(&value).unwrap_or_else(|| value.to_string()),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    match one_line(&said) {
        line if line.is_empty() => format!("HTTP {status} without a body"),
        line => format!("HTTP {status}: {line}"),
    }
}

/// The sentence in an error body.
fn said(value: &Value) -> Option<String> {
    let Value::Object(fields) = value else { return value.as_str().map(str::to_owned) };
    ["error", "message", "detail"].iter().find_map(|&name| match fields.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(inner) => {
            let message = inner.get("message").and_then(Value::as_str)?;
            Some(match inner.get("code").or_else(|| inner.get("type")).and_then(Value::as_str) {
                Some(code) => format!("{message} ({code})"),
                None => message.to_owned(),
            })
        }
        other => Some(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn error_bodies_of_all_servers_are_understood() {
        let message = |status, body: &str| error_message(status, body.as_bytes());
        assert_eq!(message(400, r#"{"error":"unexpected shape"}"#), "HTTP 400: unexpected shape");
        assert_eq!(
            message(503, r#"{"code":503,"type":"ServiceUnavailableException","message":"Model \"m\" has no worker."}"#),
            "HTTP 503: Model \"m\" has no worker."
        );
        assert_eq!(
            message(429, r#"{"error":{"message":"Quota\nspent","type":"q","param":null,"code":"insufficient_quota"}}"#),
            "HTTP 429: Quota spent (insufficient_quota)"
        );
        assert_eq!(message(400, r#"{"object":"error","message":"too long","code":40303}"#), "HTTP 400: too long");
        assert_eq!(message(422, r#"{"detail":[{"msg":"field required"}]}"#), r#"HTTP 422: [{"msg":"field required"}]"#);
        assert_eq!(message(502, "<html>\r\n<h1>Bad Gateway</h1>"), "HTTP 502: <html> <h1>Bad Gateway</h1>");
        assert_eq!(message(500, ""), "HTTP 500 without a body");
        assert_eq!(error_message(500, b"\xff\x00"), "HTTP 500: \u{fffd}");
    }

    #[test]
    fn a_line_is_bounded() {
        let line = one_line(&"word ".repeat(1000));
        assert_eq!(line.chars().count(), MESSAGE_CHARS + 1);
        assert!(line.ends_with('…'));
    }

    #[test]
    fn a_slash_in_a_model_name_does_not_make_a_path() {
        assert_eq!(segment("org/model v1.2"), "org%2Fmodel%20v1.2");
    }

    proptest! {
        #[test]
        fn strings_are_read_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn numbers_are_read_back_to_the_bit(values in prop::collection::vec(any::<f32>().prop_filter("finite", |v| v.is_finite()), 0..40)) {
            let mut out = vec![b'['];
            write_numbers(&values, &mut out).unwrap();
            out.push(b']');
            let read: Vec<f32> = serde_json::from_slice(&out).unwrap();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&values));
        }

        #[test]
        fn no_error_body_breaks_the_message(body in prop::collection::vec(any::<u8>(), 0..2000), status in any::<u16>()) {
            let line = error_message(status, &body);
            prop_assert!(line.chars().count() <= MESSAGE_CHARS + 20);
            prop_assert!(!line.contains(['\n', '\r']));
        }
    }
}
