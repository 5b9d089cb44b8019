//! A script in words: the flags of the binary `model-server`, and of its command `set`.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::script::{Fault, Latency, Overload, Rule, Script, When};
use super::server::Options;

/// What the flags are.
pub const USAGE: &str = "\
what it does (also after `set`, which replaces all of it):
  --delay-ms F            time of each request (default 0)
  --spread-ms F           uniformly up to this more
  --tail SHARE:MS         this share takes so long instead, e.g. 0.01:150
  --workers N             requests at work at a time, the others wait
  --queue N               … but no more than these; 503 beyond (default 0)
  --row-us F              more time for each row, with --workers
  --outputs N             numbers of a prediction (default 1)
  --version TEXT          version that replies name (default 1)
  --poison F              a row that begins with this is answered 400
  --slow-row F:MS         a row that begins with this takes so long
  --fault WHAT[,HOW…]     may be given several times; the first that strikes counts
      WHAT  a status (503), reset-before-head, reset-after-head, close-before-head, close-after-head,
            truncated, malformed, fewer-rows, wider, other-type, shape-mismatch, stall, stall-in-body,
            drip=MS, huge=BYTES, goaway, redirect=URL, unfinished
      HOW   retry-after=TEXT, share=F, nth=N, first=N, up=MS and down=MS (flapping), at-once, told
where it runs:
  --listen HOST:PORT      (default 127.0.0.1:0, any free port)
  --threads N             (default 1)
  --http2                 HTTP/2 only; else a connection decides
  --keys                  keeps idempotency keys
  --seed N                of what is left to chance (default 1)
  --stay                  goes on when standard input ends
commands on standard input, each answered by one line:
  set FLAGS…, die, return, cut, goodbye, flap UP_MS DOWN_MS, steady, counters, quit
";

/// What flags say.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// What the server does.
    pub script: Script,
    /// Where it runs. Keys are not kept unless `--keys` says so.
    pub options: Options,
    /// Whether it goes on when standard input ends.
    pub stay: bool,
}

impl Flags {
    /// Reads them.
    ///
    /// # Errors
    /// Names the flag and the value that cannot be understood.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut flags = Self { options: Options { keys: false, ..Options::default() }, ..Self::default() };
        let mut words = words.into_iter();
        while let Some(flag) = words.next() {
            match flag {
                "--http2" => flags.options.http2 = true,
                "--keys" => flags.options.keys = true,
                "--stay" => flags.stay = true,
                _ => {
                    let value = words.next().ok_or_else(|| format!("{flag} needs a value, or is unknown"))?;
                    flags.take(flag, value).map_err(|why| format!("{flag} {value}: {why}"))?;
                }
            }
        }
        Ok(flags)
    }

    fn take(&mut self, flag: &str, value: &str) -> Result<(), String> {
        let Self { script, options, .. } = self;
        let overload = Overload { workers: 1, queue: 0, row: Duration::ZERO };
        match flag {
            "--listen" => options.listen = read::<SocketAddr>(value)?,
            "--threads" => options.threads = read(value)?,
            "--seed" => options.seed = read(value)?,
            "--delay-ms" => script.latency.base = ms(value)?,
            "--spread-ms" => script.latency.spread = ms(value)?,
            "--tail" => {
                let (share, slow) = pair(value)?;
                script.latency = Latency::tail(script.latency, read(share)?, ms(slow)?);
            }
            "--workers" => script.overload.get_or_insert(overload).workers = read(value)?,
            "--queue" => script.overload.get_or_insert(overload).queue = read(value)?,
            "--row-us" => script.overload.get_or_insert(overload).row = ms(value)? / 1_000,
            "--outputs" => script.outputs = read(value)?,
            "--version" => value.clone_into(&mut script.version),
            "--poison" => script.poison = Some(read(value)?),
            "--slow-row" => {
                let (first, time) = pair(value)?;
                script.slow_row = Some((read(first)?, ms(time)?));
            }
            "--fault" => script.rules.push(rule(value)?),
            _ => return Err("there is no such flag".into()),
        }
        Ok(())
    }
}

fn read<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` cannot be read"))
}

fn ms(text: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(read::<f64>(text)? / 1_000.0).map_err(|e| e.to_string())
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once(':').ok_or_else(|| "two values with a colon between them".into())
}

fn rule(text: &str) -> Result<Rule, String> {
    let (what, how) = text.split_once(',').unwrap_or((text, ""));
    let (name, value) = what.split_once('=').unwrap_or((what, ""));
    let words: Vec<(&str, &str)> =
        how.split(',').filter(|w| !w.is_empty()).map(|w| w.split_once('=').unwrap_or((w, ""))).collect();
    let of = |key: &str| words.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let known = ["retry-after", "share", "nth", "first", "up", "down", "at-once", "told"];
    if let Some((word, _)) = words.iter().find(|(k, _)| !known.contains(k)) {
        return Err(format!("`{word}` is none of {}", known.join(", ")));
    }
    let fault = match name {
        "reset-before-head" => Fault::ResetBeforeHead,
        "reset-after-head" => Fault::ResetAfterHead,
        "close-before-head" => Fault::CloseBeforeHead,
        "close-after-head" => Fault::CloseAfterHead,
        "truncated" => Fault::Truncated,
        "malformed" => Fault::Malformed,
        "fewer-rows" => Fault::FewerRows,
        "wider" => Fault::Wider,
        "other-type" => Fault::OtherType,
        "shape-mismatch" => Fault::ShapeMismatch,
        "stall" => Fault::Stall,
        "stall-in-body" => Fault::StallInBody,
        "drip" => Fault::Drip(ms(value)?),
        "huge" => Fault::Huge(read(value)?, of("told").is_some()),
        "goaway" => Fault::GoAway,
        "redirect" => Fault::Redirect(value.to_owned()),
        "unfinished" => Fault::Unfinished,
        status => Fault::Status(read(status)?, of("retry-after").map(str::to_owned)),
    };
    let when = match (of("share"), of("nth"), of("first"), of("up"), of("down")) {
        (None, None, None, None, None) => When::Always,
        (Some(share), None, None, None, None) => When::Share(read(share)?),
        (None, Some(n), None, None, None) => When::Nth(read(n)?),
        (None, None, Some(n), None, None) => When::First(read(n)?),
        (None, None, None, Some(up), Some(down)) => When::Flapping { up: ms(up)?, down: ms(down)? },
        _ => return Err("one of share, nth, first, or up and down".into()),
    };
    let rule = Rule::new(fault, when);
    Ok(if of("at-once").is_some() { rule.at_once() } else { rule })
}
