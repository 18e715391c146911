//! A line may only name what its room may touch. The rules are tables: a row
//! says what, where, and why. Test code is free.

mod source;

use std::{collections::BTreeSet, fs};

use source::{Named, Source};

/// A module at the top of the crate, and the others that it may touch.
struct Room {
    name: &'static str,
    may: &'static [&'static str],
    why: &'static str,
}

const fn room(name: &'static str, may: &'static [&'static str], why: &'static str) -> Room {
    Room { name, may, why }
}

/// Free to all rooms.
const FREE: [&str; 4] = ["ids", "clock", "telemetry", "planted"];

/// Rooms that do not exist yet have their row already.
const ROOMS: [Room; 26] = [
    room("main", &["cli"], "the program parses, dispatches and exits"),
    room("ids", &[], "everything stands on it"),
    room("clock", &[], "everything stands on it"),
    room("planted", &[], "a bug may be planted anywhere, and is there in no release"),
    room("telemetry", &["config"], "it is set up from the settings, and knows nothing else"),
    room("proto", &[], "it is generated"),
    room("domain", &[], "rules are values in, values out: whoever reads them needs nothing else"),
    room("checkpoint", &["domain"], "whoever checks a statement has no gate and no database"),
    room("store", &["domain"], "statements carry out what was decided, and decide nothing"),
    room("ledger", &["domain", "store"], "the one door to credits does not know who knocks"),
    room("billing", &["domain", "ledger", "store"], "use cases are the same from every edge"),
    room(
        "import",
        &["domain", "ledger", "billing"],
        "a file's lines end as use cases and commands",
    ),
    room("paddle", &["billing", "domain"], "a provider's events end as use cases"),
    room("events", &["domain", "ledger", "store"], "what is told was decided before"),
    room("parking", &["domain", "ledger", "events"], "who waits asks as everybody does"),
    room(
        "delivery",
        &["domain", "events", "ledger", "store"],
        "what is sent was told before, and decides nothing",
    ),
    room("auth", &["store", "domain"], "who calls is known before what the call is about"),
    room(
        "workers",
        &["domain", "ledger", "billing", "store", "paddle"],
        "what is done without a caller takes the same road as what is done for one",
    ),
    room(
        "grpc",
        &["domain", "ledger", "billing", "events", "parking", "delivery", "auth", "proto"],
        "a handler decodes, makes one call and encodes: rules and SQL are elsewhere",
    ),
    room(
        "http",
        &["domain", "ledger", "billing", "auth", "paddle"],
        "a handler decodes, makes one call and encodes: rules and SQL are elsewhere",
    ),
    room("config", &[], "settings are read before anything is there"),
    room(
        "server",
        &[
            "domain",
            "store",
            "ledger",
            "billing",
            "events",
            "delivery",
            "checkpoint",
            "import",
            "paddle",
            "auth",
            "workers",
            "grpc",
            "http",
            "config",
            "proto",
        ],
        "it assembles the parts, and is no part of a command line",
    ),
    room("dev", &[], "a managed PostgreSQL is processes and directories, of whatever is in it"),
    room("client", &["proto"], "a client knows the contract, not the server"),
    room(
        "bench",
        &["domain", "store", "ledger", "server", "config", "dev", "client", "proto"],
        "it measures the product from beside it: nothing of it is in the product's path",
    ),
    room(
        "cli",
        &["server", "client", "config", "dev", "proto", "bench"],
        "a command starts a server or calls one: it reaches past neither",
    ),
];

/// Where something may be named: modules, with all that is in them.
enum Place {
    Only(&'static [&'static str]),
    Not(&'static [&'static str]),
}
use Place::{Not, Only};

/// Paths, and where they may be named. `*::` in front stands for any beginning.
struct Rule {
    paths: &'static [&'static str],
    place: Place,
    why: &'static str,
}

const fn rule(paths: &'static [&'static str], place: Place, why: &'static str) -> Rule {
    Rule { paths, place, why }
}

/// The wire, and the rooms at its ends.
const WIRE: Place = Only(&["lib", "grpc", "auth", "server", "client", "cli", "bench"]);
/// The same, and where spans are sent by it.
const SPOKEN: Place =
    Only(&["lib", "grpc", "auth", "server", "client", "cli", "bench", "telemetry"]);

const RULES: [Rule; 13] = [
    // The baselines of a bench have statements of their own: what they are compared with.
    rule(&["sqlx"], Only(&["store", "bench"]), "every SQL statement is in one room"),
    rule(&["deadpool"], Only(&["store"]), "connections are shared in one room"),
    rule(
        &["tonic", "tonic_health", "tonic_prost", "tonic_reflection", "tonic_types"],
        SPOKEN,
        "what a credit is does not depend on the wire",
    ),
    rule(
        &["prost", "prost_reflect", "prost_types"],
        WIRE,
        "what a credit is does not depend on the wire",
    ),
    rule(&["axum"], Only(&["http", "server"]), "HTTP has a room"),
    rule(
        &["tokio", "tokio_stream", "tokio_util", "futures_util"],
        Not(&["domain", "ids", "clock"]),
        "rules wait for nothing",
    ),
    rule(
        &["std::env", "std::fs", "std::io", "std::net", "std::process", "std::thread", "rand"],
        Not(&["domain", "ids"]),
        "rules touch nothing: the same values in, the same values out",
    ),
    rule(
        &["std::time::Instant", "std::time::SystemTime", "*::now", "*::now_v7"],
        Not(&["domain"]),
        "the time is the database's, and ids are handed in: neither is drawn in a rule",
    ),
    rule(
        &["std::process::Command", "tokio::process", "nix"],
        Only(&["dev", "cli", "bench"]),
        "processes belong to the managed PostgreSQL, to `creditgate run` and to a bench",
    ),
    rule(&["clap"], Only(&["main", "cli", "config"]), "arguments are read in one room"),
    rule(&["anyhow", "eyre"], Only(&["cli"]), "errors have types: callers act on them"),
    rule(
        &[
            "*::Status::new",
            "*::Status::with_details",
            "*::Status::with_metadata",
            "*::Status::with_details_and_metadata",
            "*::Status::with_error_details",
            "*::Status::with_error_details_and_metadata",
            "*::Status::with_error_details_vec",
            "*::Status::from_error",
            "*::Status::cancelled",
            "*::Status::unknown",
            "*::Status::invalid_argument",
            "*::Status::deadline_exceeded",
            "*::Status::not_found",
            "*::Status::already_exists",
            "*::Status::permission_denied",
            "*::Status::resource_exhausted",
            "*::Status::failed_precondition",
            "*::Status::aborted",
            "*::Status::out_of_range",
            "*::Status::unimplemented",
            "*::Status::internal",
            "*::Status::unavailable",
            "*::Status::data_loss",
            "*::Status::unauthenticated",
        ],
        Only(&["grpc::status", "bench::baseline::service"]),
        "built in one place, every error has a reason for programs",
    ),
    rule(
        &["clippy::unwrap_used", "clippy::expect_used", "clippy::panic", "clippy::todo"],
        Only(&[]),
        "a panic takes other callers with it: no file may allow itself one",
    ),
];

/// Words, and the rooms that have no use for them.
const WORDS: [(&str, &[&str], &str); 2] = [
    ("async", &["domain", "ids", "clock"], "rules wait for nothing"),
    ("await", &["domain", "ids", "clock"], "rules wait for nothing"),
];

/// Longer files than [`MAX_LINES`], each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];
/// About where to look for a seam.
const MAX_LINES: usize = 400;

fn within(module: &[String], scope: &str) -> bool {
    let mut segments = module.iter();
    scope.split("::").all(|part| segments.next().is_some_and(|segment| segment == part))
}

fn matches(path: &Named, pattern: &str) -> bool {
    let segments = &path.segments;
    if let Some(end) = pattern.strip_prefix("*::") {
        let end: Vec<&str> = end.split("::").collect();
        let plain: Vec<&str> = segments.iter().map(String::as_str).collect();
        return plain.len() > 1 && plain.ends_with(&end);
    }
    within(segments, pattern)
}

/// What a file does that it may not.
fn findings(source: &Source) -> Vec<String> {
    let module = &source.module;
    let at = |line: usize, what: &str, why: &str| format!("{}:{line}: {what}: {why}", source.file);
    let mut findings = Vec::new();
    // The root declares all rooms, and is none.
    let home = ROOMS.iter().find(|room| room.name == module[0]);
    if home.is_none() && module[0] != "lib" {
        findings.push(at(1, "this room has no row in ROOMS", "say what it may touch"));
    }
    for path in source.paths() {
        let name = path.segments.join("::");
        if let (Some(home), [first, other, ..]) = (home, path.segments.as_slice())
            && first == "crate"
            && other != home.name
            && !home.may.iter().chain(&FREE).any(|room| room == other)
        {
            let what = format!("`{}` may not touch `{name}`", home.name);
            findings.push(at(path.line, &what, home.why));
        }
        for rule in &RULES {
            let allowed = match rule.place {
                Only(scopes) => scopes.iter().any(|scope| within(module, scope)),
                Not(scopes) => !scopes.iter().any(|scope| within(module, scope)),
            };
            if !allowed && rule.paths.iter().any(|pattern| matches(&path, pattern)) {
                findings.push(at(path.line, &format!("`{name}` is not for here"), rule.why));
            }
        }
    }
    for (word, rooms, why) in WORDS {
        if rooms.iter().any(|room| within(module, room)) {
            let lines = source.lines_with(word);
            findings.extend(lines.map(|line| at(line, &format!("`{word}` is not for here"), why)));
        }
    }
    findings
}

#[test]
fn every_line_stays_in_its_room() {
    let sources = source::sources();
    assert!(sources.len() > 40, "the sources were not found: {}", sources.len());
    let findings: Vec<String> = sources.iter().flat_map(findings).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut long = BTreeSet::new();
    let mut findings = Vec::new();
    for file in ["src", "tests"].into_iter().flat_map(source::files) {
        // What is no text, such as a cache of Python's, has no lines.
        let Ok(text) = fs::read_to_string(source::root().join(&file)) else { continue };
        let lines = text.lines().count();
        if lines <= MAX_LINES {
            continue;
        }
        if !LONG_FILES.iter().any(|(known, _)| *known == file) {
            findings.push(format!("{file}:{lines}: more than {MAX_LINES} lines: look for a seam"));
        }
        long.insert(file);
    }
    for (known, _) in LONG_FILES {
        if !long.contains(known) {
            findings.push(format!("{known} is not long any more: take it off LONG_FILES"));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Clippy finds every panic better than words do: here only that it is asked.
#[test]
fn lints_against_panics_are_on() {
    let manifest = fs::read_to_string(source::root().join("Cargo.toml")).unwrap();
    let (_, lints) = manifest.split_once("[lints.clippy]").unwrap();
    let lints: Vec<&str> =
        lints.lines().skip(1).take_while(|line| !line.starts_with('[')).collect();
    for lint in ["unwrap_used", "expect_used", "panic", "todo"] {
        let on = ["warn", "deny", "forbid"].map(|level| format!("{lint} = \"{level}\""));
        assert!(on.iter().any(|line| lints.contains(&line.as_str())), "{lint} is off");
    }
}

/// Rules that find nothing in good sources must find something in bad ones.
#[test]
fn each_rule_finds_what_it_is_for() {
    // File, text, the line of the one finding, and what it names; line 0: none.
    let cases = [
        ("src/ledger/mod.rs", "use sqlx::PgPool;", 1, "sqlx::PgPool"),
        ("src/ledger/mod.rs", "\nfn f() {\n sqlx::query!(\"SELECT 1\") }", 3, "sqlx::query"),
        ("src/store/a.rs", "use sqlx::{PgPool, query};", 0, ""),
        (
            "src/store/a.rs",
            "use crate::{\n clock::Clock,\n ledger::Ledger,\n};",
            3,
            "crate::ledger",
        ),
        ("src/store/batch/a.rs", "use super::super::super::billing::Billing;", 1, "crate::billing"),
        ("src/store/batch/mod.rs", "use super::{Cell, queries::{self, Lot}};", 0, ""),
        ("src/store/mod.rs", "mod inner { use super::super::grpc; }", 1, "crate::grpc"),
        ("src/store/mod.rs", "mod inner { use super::rows; }\nuse self::rows::Row as R;", 0, ""),
        ("src/ledger/mod.rs", "type T = crate::proto::Block;", 1, "crate::proto"),
        ("src/billing/a.rs", "use ::prost::Message as _;", 1, "prost::Message"),
        ("src/domain/a.rs", "pub async fn f() {}", 1, "async"),
        ("src/domain/a.rs", "use chrono::Utc;\nlet now = Utc::now();", 2, "Utc::now"),
        ("src/domain/a.rs", "use std::{collections::BTreeMap, fs};", 1, "std::fs"),
        (
            "src/domain/a.rs",
            "// use tokio::x;\nlet s = \"tokio::x\"; let r = r#\"a\"b::c\"#;",
            0,
            "",
        ),
        (
            "src/domain/a.rs",
            "fn f<'a>(c: char) -> &'a str { if c == '\"' {} tokio::x() }",
            1,
            "tokio",
        ),
        ("src/domain/a.rs", "#[cfg(test)]\nmod tests { use tokio::x; fn f() {} }", 0, ""),
        ("src/domain/a.rs", "#[cfg(test)]\nmod tests {}\nuse tokio::x;", 3, "tokio::x"),
        ("src/grpc/gate.rs", "return Err(Status::internal(e.to_string()));", 1, "Status::internal"),
        ("src/server.rs", "tonic::Status::new(code, \"\")", 1, "tonic::Status::new"),
        ("src/grpc/status.rs", "Status::new(code, \"\")", 0, ""),
        ("src/grpc/gate.rs", "use crate::store::Database;", 1, "crate::store"),
        ("src/paddle/event.rs", "use crate::store::Database;", 1, "crate::store"),
        ("src/paddle/event.rs", "use crate::{billing::ProviderKeys, domain::provider};", 0, ""),
        ("src/billing/mod.rs", "use crate::paddle::PROVIDER;", 1, "crate::paddle"),
        ("src/http/mod.rs", "use tonic::Status;", 1, "tonic::Status"),
        ("src/cli/verify.rs", "use crate::ledger::verify;", 1, "crate::ledger::verify"),
        ("src/cli/serve.rs", "use crate::{config::Settings, dev, server};", 0, ""),
        ("src/client/mod.rs", "use crate::{proto, server};", 1, "crate::server"),
        ("src/main.rs", "use creditgate::server;", 1, "crate::server"),
        ("src/main.rs", "use creditgate::cli::Cli;", 0, ""),
        ("src/paddle.rs", "#![allow(clippy::unwrap_used)]", 1, "clippy::unwrap_used"),
        ("src/attic/mod.rs", "", 1, "no row in ROOMS"),
        ("src/lib.rs", "pub mod attic;\npub mod proto { tonic::include_proto!(\"x\"); }", 0, ""),
    ];
    for (file, text, line, names) in cases {
        let found = findings(&Source::parse(file, text).0);
        let found: Vec<&String> = found.iter().collect();
        match (line, found.as_slice()) {
            (0, []) => {}
            (1.., [one]) if one.starts_with(&format!("{file}:{line}: ")) && one.contains(names) => {
            }
            _ => panic!("{file}: {text:?}: wanted {names:?} in line {line}, found {found:#?}"),
        }
    }
}
