//! A model server for benchmarks and for tests that need one to die alone: it answers right or wrong,
//! soon or late, as its flags and the lines of its standard input say. `--help` lists both.
//!
//! Its first line of output is `listening HOST:PORT`.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use millstream_tests::faults::{Flags, ModelServer, USAGE, obey};

fn serve() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        print!("model-server FLAGS\n\n{USAGE}");
        return Ok(());
    }
    let flags = Flags::parse(arguments.iter().map(String::as_str))?;
    let listen = flags.options.listen;
    let server = ModelServer::start_with(flags.script, &flags.options).map_err(|e| format!("{listen}: {e}"))?;
    say(&format!("listening {}", server.address()))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        match line.trim() {
            "" => {}
            "quit" => return Ok(()),
            line => say(&obey(&server, line).unwrap_or_else(|why| format!("error: {why}")))?,
        }
    }
    if flags.stay {
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

/// A line, now.
fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("model-server: {why}");
            ExitCode::FAILURE
        }
    }
}
