//! `${NAME}` and `${NAME:-default}` in strings. `$${` writes a literal `${`.
//!
//! Messages name the variable, never its value: it may be a secret.

/// Looks up a variable of the environment.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// `text` with every variable replaced, or what is wrong with it.
pub(super) fn substitute(text: &str, environment: &Environment<'_>) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (variable, after) = after.split_once('}').ok_or(Problem::Unclosed)?;
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Problem::BadName(name.to_owned()));
        }
        // As in a shell, `:-` also replaces an empty value.
        let value = environment(name).filter(|value| !(value.is_empty() && default.is_some()));
        match (value, default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(Problem::Unset(name.to_owned())),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// What can be wrong with a variable in a string.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// `${` without `}`.
    Unclosed,
    /// Not the name of a variable.
    BadName(String),
    /// No such variable, and no default.
    Unset(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Problem> {
        substitute(text, &|name| match name {
            "HOST" => Some("db1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_replaced_and_defaults_fill_gaps() {
        assert_eq!(read("a ${HOST}:${PORT:-80}/${HOST}").as_deref(), Ok("a db1:80/db1"));
        assert_eq!(read("${EMPTY:-x}${EMPTY}").as_deref(), Ok("x"));
        assert_eq!(read("no $variable { here }").as_deref(), Ok("no $variable { here }"));
        assert_eq!(read("$${HOST} costs $5").as_deref(), Ok("${HOST} costs $5"));
    }

    #[test]
    fn problems_name_the_variable() {
        assert_eq!(read("${PORT}"), Err(Problem::Unset("PORT".to_owned())));
        assert_eq!(read("${HOST"), Err(Problem::Unclosed));
        assert_eq!(read("${a b}"), Err(Problem::BadName("a b".to_owned())));
        assert_eq!(read("${}"), Err(Problem::BadName(String::new())));
    }
}
