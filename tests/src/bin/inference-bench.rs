//! `make inference-bench`: what calls of an external model cost, beside the bars.
//!
//!     inference-bench [--quick] [--json FILE] [NAME…]

use std::process::ExitCode;

use millstream_tests::inference::speed::{Length, NAMES, measure};
use millstream_tests::inference::{Figure, json, table};

fn run() -> Result<(), String> {
    let (mut names, mut file, mut quick) = (Vec::new(), None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--json" => file = Some(arguments.next().ok_or("--json needs a file")?),
            name if NAMES.contains(&name) => names.push(name.to_owned()),
            other => return Err(format!("`{other}` is none of --quick, --json FILE, {}", NAMES.join(", "))),
        }
    }
    if names.is_empty() {
        names = NAMES.iter().map(|name| (*name).to_owned()).collect();
    }
    let mut figures: Vec<Figure> = Vec::new();
    let mut failed = Vec::new();
    for name in &names {
        eprintln!("inference-bench: {name}");
        match measure(name, Length { quick }) {
            Ok(found) => figures.extend(found),
            Err(why) => failed.push(format!("{name}: {why}")),
        }
    }
    print!("{}", table(&figures));
    if let Some(file) = file {
        std::fs::write(&file, format!("{:#}\n", json(&figures))).map_err(|e| format!("{file}: {e}"))?;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("inference-bench: {why}");
            ExitCode::FAILURE
        }
    }
}
