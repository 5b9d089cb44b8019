//! A server that is steered by lines of text, as the binary `model-server` is by its standard input.

use super::flags::Flags;
use super::server::ModelServer;

/// Carries a command out, and returns what is answered: `ok`, a line of JSON or, as an error, why not.
///
/// # Errors
/// When the command cannot be understood.
pub fn obey(server: &ModelServer, line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (command, rest) = words.split_first().ok_or("no command")?;
    match (*command, rest) {
        ("set", flags) => server.set(Flags::parse(flags.iter().copied())?.script),
        ("die", []) => server.die(),
        ("return", []) => server.come_back(),
        ("cut", []) => server.cut(),
        ("goodbye", []) => server.say_goodbye(),
        ("steady", []) => server.steady(),
        ("counters", []) => return Ok(server.counts().json().to_string()),
        ("flap", [up, down]) => {
            let ms =
                |text: &str| text.parse().map(std::time::Duration::from_millis).map_err(|e| format!("{text}: {e}"));
            server.flap(ms(up)?, ms(down)?);
        }
        _ => return Err(format!("`{line}` is no command")),
    }
    Ok("ok".into())
}
