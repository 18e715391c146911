//! `creditgate import`: brings in what another system has.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    CliError, Outcome, Output,
    migrate::DatabaseArgs,
    serve::stop_on_signals,
    table::{Column, Table, shown},
};
use crate::server::import::{Format, Import, Progress, Report, Tally};

/// Bytes that are read from a file at once.
const BUFFER_BYTES: usize = 1 << 20;
/// How often progress is told.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// What to bring in, and where to.
#[derive(Debug, Args)]
#[command(
    long_about = "Bring in accounts, projects, lots of credits and subscriptions from a file.\n\n\
    Without --apply nothing is written: the file is checked, also against the database, and it \
    is said what would be done. A file with a bad line is not applied at all. Applying a file \
    again changes nothing; one that was interrupted is finished by applying it again.\n\n\
    A lot comes with the credits that remain of it, and is granted once, by its lot_id. \
    deploy/IMPORT.md describes the columns.",
    after_help = "Examples:\n  \
      creditgate import customers.csv\n  \
      creditgate import customers.csv --apply\n  \
      zcat lots.jsonl.gz | creditgate import - --format jsonl --output json\n\n\
    Exit codes: 0 all is well, 1 a line is bad or the import did not end, 2 usage."
)]
pub(super) struct ImportArgs {
    /// The file; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write, where no line is bad.
    #[arg(long)]
    apply: bool,
    /// How the file is written [default: by its extension, .csv, .jsonl or .ndjson].
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FormatArg>,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// Comma-separated values under a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// Imports; bad lines are an error.
pub(super) async fn run(out: &Output, args: ImportArgs) -> Result<Outcome, CliError> {
    let settings = args.database.settings()?;
    let format = match args.format {
        Some(FormatArg::Csv) => Format::Csv,
        Some(FormatArg::Jsonl) => Format::JsonLines,
        None => Format::of(&args.file).ok_or_else(|| {
            let file = args.file.display();
            CliError::Usage(format!("of what format is {file}? say --format csv or --format jsonl"))
        })?,
    };
    let file = open(&args.file)?;
    let meter = Meter::new();
    let tell = |what: &str, done, of| meter.tell(what, done, of);
    let report = match Import::check(&settings, file, format, &Progress(&tell)).await {
        Ok(import) if args.apply => {
            // Until here an interrupt just ends the process: nothing is written.
            let stop = CancellationToken::new();
            stop_on_signals(stop.clone())?;
            Ok(import.apply(Progress(&tell), stop).await)
        }
        Ok(import) => Ok(import.report().clone()),
        Err(error) => Err(error),
    };
    meter.clear();
    let report = report?;
    out.document(&text(&report, args.apply), &document(&report))?;
    let is_well = report.bad.count == 0 && report.stopped.is_none();
    Ok(if is_well { Outcome::Done } else { Outcome::Code(1) })
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, CliError> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())));
    }
    let file = File::open(path)
        .map_err(|error| CliError::io(format!("open {}", path.display()), error))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// The bad lines, the table, and what it comes to.
fn text(report: &Report, apply: bool) -> String {
    let mut text = String::new();
    for (line, what) in &report.bad.first {
        text.push_str(&format!("line {line}: {}\n", shown(what)));
    }
    let told = report.bad.first.len() as u64;
    if report.bad.count > told {
        text.push_str(&format!("... and {} bad lines more\n", report.bad.count - told));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let new = if report.applied { "CREATED" } else { "NEW" };
    let mut table = Table::new([
        Column::Left(""),
        Column::Right("IN FILE"),
        Column::Right(new),
        Column::Right("ALREADY THERE"),
    ]);
    let mut row = |name: &str, tally: &Tally| {
        let numbers = [tally.in_file, tally.new, tally.already_there];
        table.row(std::iter::once(name.to_owned()).chain(numbers.map(|n| n.to_string())));
    };
    row("accounts", &report.accounts);
    row("projects", &report.projects);
    row("lots", &report.lots);
    row("subscriptions", &report.subscriptions);
    for (credit_type, tally) in &report.credits {
        row(&format!("{credit_type} credits"), tally);
    }
    text.push_str(&table.render());
    text.push('\n');
    text.push_str(&verdict(report, apply));
    text
}

fn verdict(report: &Report, apply: bool) -> String {
    if report.bad.count > 0 {
        let (count, lines) = (report.bad.count, report.lines);
        let are = if count == 1 { "is" } else { "are" };
        return format!("{count} of {lines} lines {are} bad: nothing was written");
    }
    match &report.stopped {
        Some(why) => format!(
            "not finished: {}\nwhat was created stays; the same command again goes on from there",
            shown(why)
        ),
        None if report.is_all_there() => "all of it is there already: nothing to do".to_owned(),
        None if apply => "done".to_owned(),
        None => "no line is bad; nothing was written: --apply does it".to_owned(),
    }
}

fn document(report: &Report) -> Value {
    let tally = |tally: &Tally| {
        json!({
            "in_file": tally.in_file,
            "new": tally.new,
            "already_there": tally.already_there,
        })
    };
    let credits: serde_json::Map<String, Value> =
        report.credits.iter().map(|(name, credits)| (name.to_string(), tally(credits))).collect();
    let bad: Vec<Value> =
        report.bad.first.iter().map(|(line, what)| json!({ "line": line, "what": what })).collect();
    json!({
        "applied": report.applied,
        "stopped": report.stopped,
        "lines": report.lines,
        "bad_lines": report.bad.count,
        "first_bad_lines": bad,
        "accounts": tally(&report.accounts),
        "projects": tally(&report.projects),
        "lots": tally(&report.lots),
        "subscriptions": tally(&report.subscriptions),
        "credits": credits,
    })
}

/// A line on the terminal that says how far it is; nothing where stderr is none.
struct Meter {
    is_shown: bool,
    told: Mutex<Option<Instant>>,
}

impl Meter {
    fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal(), told: Mutex::new(None) }
    }

    fn tell(&self, what: &str, done: u64, of: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = told.is_some_and(|told| told.elapsed() < PROGRESS_PERIOD);
        if !self.is_shown || (is_early && done < of) {
            return;
        }
        *told = Some(Instant::now());
        let line = if of == 0 { what.to_owned() } else { format!("{what}: {done} of {of}") };
        write(&format!("\r\u{1b}[K{line}"));
    }

    fn clear(&self) {
        if self.is_shown {
            write("\r\u{1b}[K");
        }
    }
}

/// That it cannot be written is nobody's to hear.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
